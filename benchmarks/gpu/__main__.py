"""The command: parts in their order, each in a process of its own, all within the minutes given.

python -m benchmarks.gpu [--minutes 9] [--output benchmarks/results/gpu.json]
python -m benchmarks.gpu --device cpu --tiny        a trial of every part, whose figures mean nothing
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import checks, floor, full, inference, training
from benchmarks.gpu.hardware import find_hardware
from benchmarks.gpu.record import Record, without_paths, write_json
from benchmarks.gpu.setting import make_setting
from benchmarks.measuring import at_least_one
from panoptic.memory import keep_freed_memory

PARTS = {"checks": checks, "training": training, "inference": inference, "floor": floor, "full": full}
SHARES = {"checks": 0.2, "training": 0.24, "inference": 0.13, "floor": 0.05, "full": 0.36}
"""Of the time that is left when a part begins, against those of the parts after it: what one spares, others get."""
RESERVE = 5.0
"""Seconds that a part gets beyond its time before it is ended, and the command to end in."""


def main() -> None:
    """Run the parts, or one of them, which is what the processes that this one starts are told to do."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=_minutes, default=9.0, help="that all may take (default: 9)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu.json"), help="JSON file to write")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: a trial of every part")
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="others are kept as they are"
    )
    parser.add_argument("--variants", nargs="+", choices=list(full.VARIANTS), default=list(full.VARIANTS))
    parser.add_argument(
        "--steps", type=at_least_one, help="of each run of full (default: as many as there is time for)"
    )
    parser.add_argument("--override", action="append", default=[], metavar="KEY=VALUE", help="of the runs of full")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "SECONDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: expected cuda to be available, got none; --device cpu --tiny tries every part without")
    if arguments.device == "cpu" and not arguments.tiny:
        parser.error(
            "--device cpu: expected --tiny with it; benchmarks.training and benchmarks.inference measure a CPU"
        )
    if not arguments.part and (trouble := _trouble(arguments.output)):
        parser.error(f"--output: {trouble}")
    if arguments.part:
        run_part(arguments)
    else:
        run_all(arguments)


def _trouble(output: Path) -> str | None:
    """Why figures cannot go to a file, found out before any time is spent; ``None`` if they can."""
    if output.is_dir():
        return f"expected a JSON file to write, got a folder: {output}"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
        if output.is_file() and not isinstance(json.loads(output.read_text()).get("parts"), dict):
            raise ValueError
    except OSError as error:
        return f"expected a folder that can be written, got {output.parent}: {error.strerror}"
    except (ValueError, AttributeError):
        return f"expected a file of this command or none, got one with other content: {output}"
    return None


def run_all(arguments: argparse.Namespace) -> None:
    """Run the parts one after the other, and print what they found."""
    ends = time.monotonic() + 60 * arguments.minutes - RESERVE
    output: Path = arguments.output.resolve()
    report = _earlier(output, arguments.tiny)
    report |= {
        "date": datetime.date.today().isoformat(),
        "device": arguments.device,
        "tiny": arguments.tiny,
    }
    parts = [name for name in PARTS if name in arguments.parts]
    for i, name in enumerate(parts):
        left = ends - time.monotonic()
        seconds = left * SHARES[name] / sum(SHARES[later] for later in parts[i:])
        report["parts"][name] = _one(name, seconds, output)
        write_json(output, report)
        _print(name, report["parts"][name])
    print(f"\nresults: {output}")


def _earlier(output: Path, tiny: bool) -> dict[str, Any]:
    """The parts that an earlier run has left, where it was of the same kind."""
    if output.is_file():
        report = json.loads(output.read_text())
        if report.get("tiny") == tiny:
            return report
    return {"parts": {}}


def _one(name: str, seconds: float, output: Path) -> dict[str, Any]:
    """Run a part in a process of its own, which is ended when its time is over; what it found until then."""
    file = output.with_name(f"{output.stem}.{name}.json")
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--part", name, f"{seconds:.1f}"]
    start = time.monotonic()
    print(f"{name}: up to {seconds:.0f} s", flush=True)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    outcome, said = "done", ""
    try:
        _, said = process.communicate(timeout=seconds + RESERVE)
        if process.returncode:
            outcome = f"ended with {process.returncode}: {without_paths(said)[-3000:]}"
    except subprocess.TimeoutExpired:
        outcome = "stopped: its time was over"
    finally:  # also where this process is interrupted: nothing is left running
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    found = json.loads(file.read_text()) if file.is_file() else {"figures": {}, "failures": {}, "left out": {}}
    file.unlink(missing_ok=True)
    return {"outcome": outcome, "seconds": round(time.monotonic() - start, 1), "date": _today(), **found}


def _today() -> str:
    return datetime.date.today().isoformat()


def run_part(arguments: argparse.Namespace) -> None:
    """Run one part in this process."""
    name, seconds = arguments.part
    keep_freed_memory()
    torch.manual_seed(0)
    output: Path = arguments.output.resolve()
    setting = make_setting(find_hardware(arguments.device), output.parent, arguments.tiny)
    record = Record(output.with_name(f"{output.stem}.{name}.json"), float(seconds))
    if name == "full":
        full.run(record, setting, full.Plan(tuple(arguments.variants), arguments.steps, tuple(arguments.override)))
    else:
        PARTS[name].run(record, setting)
    record.write()


def _print(name: str, part: dict[str, Any]) -> None:
    """The figures of a part, a line each, and what failed."""
    print(f"{name}: {part['outcome']}, {part['seconds']} s")
    for figure, value in part["figures"].items():
        print(f"  {figure}: {_short(value)}")
    for figure, reason in part["left out"].items():
        print(f"  {figure}: left out: {reason}")
    for figure, said in part["failures"].items():
        print(f"  {figure}: FAILED: {said.strip().splitlines()[-1]}")
    sys.stdout.flush()


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(v)}" for key, v in value.items() if key not in HIDDEN) + "}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


HIDDEN = ("longest", "loss", "config", "versions", "fusion", "said")
"""What is for the JSON file alone."""


def _minutes(text: str) -> float:
    if not 0.5 <= float(text) <= 600:
        raise ValueError
    return float(text)


if __name__ == "__main__":
    main()
