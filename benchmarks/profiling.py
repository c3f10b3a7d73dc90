"""``python -m benchmarks.profiling``: time of inference and of a training step by operation.

The experiment ``full``: inference of a 512x1024 image with a hundred things to decode, and a training step of four
images. Times are the self times of operations in ``torch.profiler``, after two warm-up runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import cpu_tables
from benchmarks.inference import crowded, our_network
from benchmarks.measuring import at_least_one, find_device, machine, write
from benchmarks.training import Training, scenes
from panoptic.utils.malloc import keep_freed_memory


def operations(call: Callable[[], Any], device: torch.device, most: int) -> dict[str, dict[str, float]]:
    """Profile a call, and return milliseconds and number of calls of the operations with the largest self time.

    Args:
        call: Function to profile.
        device: Device whose time is measured.
        most: Number of operations to list; the others are summed up.
    """
    for _ in range(2):
        call()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as recorded:
        call()
    self_time = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    events = sorted(recorded.key_averages(), key=lambda event: getattr(event, self_time), reverse=True)
    total = sum(getattr(event, self_time) for event in events) / 1000
    rows = {event.key: {"ms": getattr(event, self_time) / 1000, "calls": event.count} for event in events[:most]}
    rest = {"ms": total - sum(row["ms"] for row in rows.values()), "calls": sum(e.count for e in events[most:])}
    return rows | {"all others": rest}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=at_least_one, default=10, help="number of operations to show")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    device, size = find_device(), (512, 1024)
    _, predictor = our_network(device)
    images = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    outputs = crowded(predictor.codec, 1, size, 100, device)

    @torch.inference_mode()
    def inference() -> None:
        predictor.network(images)
        predictor.codec.decode(outputs, size)

    report: dict[str, Any] = {"machine": machine()}
    calls = {"one inference": inference, "one training step": Training(scenes(4, size, device)).step}
    for name, call in calls.items():
        report[name] = operations(call, device, arguments.most)
    print(cpu_tables.profiling(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
