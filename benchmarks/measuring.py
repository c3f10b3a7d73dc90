"""Shared code of the benchmarks: timing, memory, description of the hardware, tables and JSON files."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra import compose
from omegaconf import DictConfig

from panoptic.config.composing import with_hydra
from panoptic.utils.files import write_json

PACKAGES = ("torch", "torchvision", "timm", "lightning", "albumentations", "opencv-python-headless", "numpy")


def machine(*packages: str) -> dict[str, Any]:
    """Describe the processor, the accelerator, and the versions of the packages.

    Args:
        packages: Packages to list in addition to :data:`PACKAGES`.
    """
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "processors": processors,
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in (*PACKAGES, *packages)},
    }


def experiment(name: str, *overrides: str) -> DictConfig:
    """Compose the configuration of an experiment, with random weights."""
    with with_hydra():
        return compose("train", [f"experiment={name}", "model.backbone.weights=random", *overrides])


def find_device() -> torch.device:
    """Return a GPU if available, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize(device: torch.device) -> None:
    """Wait for all work on the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median(call: Callable[[], Any], repeats: int, device: torch.device | None = None) -> float:
    """Return the median seconds of a call, after one warm-up call."""
    return in_turn({"": call}, repeats, device)[""]


def in_turn(calls: dict[str, Callable[[], Any]], repeats: int, device: torch.device | None = None) -> dict[str, float]:
    """Return the median seconds of several calls, run alternately so that variations of speed affect all alike."""
    device = device or torch.device("cpu")
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(repeats + 1):
        for name, call in calls.items():
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            if i > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory(call: Callable[[], Any], device: torch.device) -> float:
    """Return the peak memory of a call in gigabytes: allocated on the GPU, or resident in the whole process.

    On a CPU, the process should have done nothing else.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) / 1e9
    call()
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage starts with the peak of the parent process
        peaks = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return peaks[0] * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_own_process(module: str, *arguments: str, **environment: str) -> Any:
    """Run a benchmark in a fresh process, and return its last line of output, parsed as JSON."""
    process = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {process.stderr.strip().splitlines()[-1:]}")
    return json.loads(process.stdout.strip().splitlines()[-1])


@torch.inference_mode()
def arithmetic_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the peak operations per second in a large matrix product or 3x3 convolution.

    The faster of the two counts, since on some processors only the convolution reaches the peak.
    """
    size, batch = (8192, 32) if device.type == "cuda" else (2048, 1)
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    maps = torch.randn(batch, 256, 128, 128, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(256, 256, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    product = median(lambda: one @ other, 7, device)
    convolution = median(lambda: torch.nn.functional.conv2d(maps, kernel, padding=1), 7, device)
    return max(2 * size**3 / product, 2 * maps.numel() * kernel[0].numel() / convolution)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a table with title in Markdown."""
    lines = [f"**{title}**", "", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n" + "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return "" if value is None else str(value)


def show(title: str, rows: Iterable[tuple[str, Any]]) -> None:
    """Print a part of a report."""
    print(f"\n{title}")
    for name, value in rows:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        print(f"  {name:<48}{text:>24}", flush=True)


def at_least_one(text: str) -> int:
    """Parse a positive integer on the command line.

    Raises:
        argparse.ArgumentTypeError: If the text is not a positive integer.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def write(path: Path | None, report: dict[str, Any]) -> None:
    """Write a report as JSON atomically, if a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, report)


def read(path: Path) -> dict[str, Any]:
    """Read the report in a JSON file; exit with a message if there is none."""
    try:
        report = json.loads(path.read_text())
    except OSError as error:
        sys.exit(f"{path}: expected a JSON file of figures, got: {error.strerror}")
    except ValueError:
        sys.exit(f"{path}: expected a JSON file of figures, got one that cannot be read as JSON")
    if not isinstance(report, dict):
        sys.exit(f"{path}: expected a JSON file of figures, got one with other content")
    return report
