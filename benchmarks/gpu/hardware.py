"""What only a CUDA device has, behind one interface, with stand-ins on a CPU.

Everything in the benchmark that needs CUDA's events, graphs or counters asks for it here, so that all other code runs
on a CPU too.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.measuring import machine, peak_memory

Call = Callable[[], Any]

TURNS = 3
"""That calls take which are measured beside each other."""


class Kernels(NamedTuple):
    """What a call runs on the device.

    Attributes:
        seconds: sum of the durations of its kernels.
        count: number of kernels.
        longest: seconds by name of those that take most.
    """

    seconds: float
    count: int
    longest: dict[str, float]


class Hardware:
    """A CPU, standing in for a GPU.

    Attributes:
        device: to put tensors on.
    """

    device = torch.device("cpu")

    def describe(self) -> dict[str, Any]:
        """Device, versions, and the state that the device is in."""
        return machine()

    def synchronize(self) -> None:
        """Wait for the device."""

    def pace(self, call: Call, repeats: int) -> float:
        """Median seconds from one call to the next, with nothing waiting for a result; three do not count."""
        return statistics.median(self._one_after_another(call, repeats, 3))

    def latencies(self, calls: dict[str, Call], repeats: int) -> dict[str, float]:
        """Median seconds of calls whose results are waited for, and which take turns: all meet the same host."""
        return self._in_turn(self._waited_for, calls, repeats)

    def paces(self, calls: dict[str, Call], repeats: int) -> dict[str, float]:
        """:meth:`pace` of calls that take turns."""
        return self._in_turn(self._one_after_another, calls, repeats)

    def _in_turn(
        self, measure: Callable[[Call, int, int], list[float]], calls: dict[str, Call], repeats: int
    ) -> dict[str, float]:
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(TURNS):
            for name, call in calls.items():
                seconds[name] += measure(call, -(-repeats // TURNS), 1 if turn else 3)
        return {name: statistics.median(values) for name, values in seconds.items()}

    def _waited_for(self, call: Call, repeats: int, uncounted: int) -> list[float]:
        seconds = []
        for i in range(-uncounted, repeats):
            self.synchronize()
            start = time.perf_counter()
            call()
            self.synchronize()
            if i >= 0:
                seconds.append(time.perf_counter() - start)
        return seconds

    def _one_after_another(self, call: Call, repeats: int, uncounted: int) -> list[float]:
        return self._waited_for(call, repeats, uncounted)

    def peak_memory(self, call: Call) -> float:
        """Gigabytes at the peak of a second call."""
        call()
        return peak_memory(call, self.device)

    def kernels(self, call: Call) -> Kernels:
        """What a call runs on the device, by the profiler."""
        call()
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            call()
        return _kernels((event.key, event.self_cpu_time_total / 1e6, event.count) for event in recorded.key_averages())

    def graphed(self, network: nn.Module, images: Tensor) -> Callable[[Tensor], Any]:
        """A network's training pass as a CUDA graph for images of one shape, under the autocast in force."""
        return network

    def replay(self, call: Call) -> Call:
        """A call captured as a CUDA graph; it must not ask the device for a value, and its tensors stay in place."""
        return call


class Cuda(Hardware):
    """The current CUDA device."""

    device = torch.device("cuda")

    def describe(self) -> dict[str, Any]:
        properties = torch.cuda.get_device_properties(0)
        found = {
            "name": properties.name,
            "memory, GB": properties.total_memory / 1e9,
            "multiprocessors": properties.multi_processor_count,
            "capability": f"{properties.major}.{properties.minor}",
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
        }
        return machine() | {"GPU": found | _nvidia_smi()}

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def _one_after_another(self, call: Call, repeats: int, uncounted: int) -> list[float]:
        for _ in range(uncounted):
            call()
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        marks[0].record()
        for mark in marks[1:]:
            call()
            mark.record()
        torch.cuda.synchronize()
        return [before.elapsed_time(after) / 1000 for before, after in pairwise(marks)]

    def kernels(self, call: Call) -> Kernels:
        for _ in range(2):
            call()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as recorded:
            call()
            torch.cuda.synchronize()
        return _kernels(
            (event.key, event.self_device_time_total / 1e6, event.count)
            for event in recorded.key_averages()
            if event.device_type == torch.autograd.DeviceType.CUDA
        )

    def graphed(self, network: nn.Module, images: Tensor) -> Callable[[Tensor], Any]:
        return torch.cuda.make_graphed_callables(network, (images,), allow_unused_input=True)

    def replay(self, call: Call) -> Call:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay


HARDWARE = {"cuda": Cuda, "cpu": Hardware}
"""By the name of the device."""


def _kernels(rows: Iterable[tuple[str, float, int]], most: int = 12) -> Kernels:
    ordered = sorted(rows, key=lambda row: row[1], reverse=True)
    longest = {name[:200]: seconds for name, seconds, _ in ordered[:most]}
    return Kernels(sum(row[1] for row in ordered), sum(row[2] for row in ordered), longest)


def _nvidia_smi() -> dict[str, str]:
    """Driver, clocks, power and temperature, where the tool is there to say so."""
    asked = {
        "driver": "driver_version",
        "clock of multiprocessors": "clocks.sm",
        "its maximum": "clocks.max.sm",
        "clock of memory": "clocks.mem",
        "power limit": "power.limit",
        "temperature": "temperature.gpu",
    }
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", f"--query-gpu={','.join(asked.values())}", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return {}
    return dict(zip(asked, (value.strip() for value in told.splitlines()[0].split(",")), strict=True))
