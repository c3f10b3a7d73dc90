"""Interface to CUDA events, graphs and counters, with substitutes on a CPU.

All CUDA-specific code of the benchmark is here, so that the other code also runs on a CPU.
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
"""Number of turns of calls that are measured alternately."""


class Kernels(NamedTuple):
    """Kernels that a call runs on the device.

    Attributes:
        seconds: Total duration of the kernels.
        count: Number of kernels.
        longest: Seconds of the longest kernels, by name.
    """

    seconds: float
    count: int
    longest: dict[str, float]


class Hardware:
    """CPU, as a substitute for a GPU.

    Attributes:
        device: Device for tensors.
    """

    device = torch.device("cpu")

    def describe(self) -> dict[str, Any]:
        """Describe device, versions, and the state of the device."""
        return machine()

    def synchronize(self) -> None:
        """Wait for all work on the device."""

    def pace(self, call: Call, repeats: int) -> float:
        """Return the median seconds from one call to the next without synchronization, after three warm-up calls."""
        return statistics.median(self._throughput_times(call, repeats, 3))

    def latencies(self, calls: dict[str, Call], repeats: int) -> dict[str, float]:
        """Return the median seconds of synchronized calls, run in turns so that variations affect all alike."""
        return self._in_turn(self._latency_times, calls, repeats)

    def paces(self, calls: dict[str, Call], repeats: int) -> dict[str, float]:
        """Return :meth:`pace` of several calls, run in turns."""
        return self._in_turn(self._throughput_times, calls, repeats)

    def _in_turn(
        self, measure: Callable[[Call, int, int], list[float]], calls: dict[str, Call], repeats: int
    ) -> dict[str, float]:
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(TURNS):
            for name, call in calls.items():
                seconds[name] += measure(call, -(-repeats // TURNS), 1 if turn else 3)
        return {name: statistics.median(values) for name, values in seconds.items()}

    def _latency_times(self, call: Call, repeats: int, warmup: int) -> list[float]:
        seconds = []
        for i in range(-warmup, repeats):
            self.synchronize()
            start = time.perf_counter()
            call()
            self.synchronize()
            if i >= 0:
                seconds.append(time.perf_counter() - start)
        return seconds

    def _throughput_times(self, call: Call, repeats: int, warmup: int) -> list[float]:
        return self._latency_times(call, repeats, warmup)

    def peak_memory(self, call: Call) -> float:
        """Return the peak memory in gigabytes of a call, after one warm-up call."""
        call()
        return peak_memory(call, self.device)

    def kernels(self, call: Call) -> Kernels:
        """Profile the kernels that a call runs on the device."""
        call()
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            call()
        return _kernels((event.key, event.self_cpu_time_total / 1e6, event.count) for event in recorded.key_averages())

    def graphed(self, network: nn.Module, images: Tensor) -> Callable[[Tensor], Any]:
        """Capture forward and backward pass of a network as CUDA graphs, for one input shape and current autocast."""
        return network

    def replay(self, call: Call) -> Call:
        """Capture a call as a CUDA graph; it must not synchronize, and its tensors keep their addresses."""
        return call


class Cuda(Hardware):
    """Current CUDA device."""

    device = torch.device("cuda")

    def describe(self) -> dict[str, Any]:
        """Describe device, versions, and the state of the device."""
        properties = torch.cuda.get_device_properties(0)
        gpu = {
            "name": properties.name,
            "memory, GB": properties.total_memory / 1e9,
            "multiprocessors": properties.multi_processor_count,
            "capability": f"{properties.major}.{properties.minor}",
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
        }
        return machine() | {"GPU": gpu | _nvidia_smi()}

    def synchronize(self) -> None:
        """Wait for all work on the device."""
        torch.cuda.synchronize()

    def _throughput_times(self, call: Call, repeats: int, warmup: int) -> list[float]:
        for _ in range(warmup):
            call()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        events[0].record()
        for event in events[1:]:
            call()
            event.record()
        torch.cuda.synchronize()
        return [before.elapsed_time(after) / 1000 for before, after in pairwise(events)]

    def kernels(self, call: Call) -> Kernels:
        """Profile the kernels that a call runs on the device."""
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
        """Capture forward and backward pass of a network as CUDA graphs, for one input shape and current autocast."""
        return torch.cuda.make_graphed_callables(network, (images,), allow_unused_input=True)

    def replay(self, call: Call) -> Call:
        """Capture a call as a CUDA graph; it must not synchronize, and its tensors keep their addresses."""
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
"""Hardware classes by name of the device."""


def _kernels(rows: Iterable[tuple[str, float, int]], most: int = 12) -> Kernels:
    ordered = sorted(rows, key=lambda row: row[1], reverse=True)
    longest = {name[:200]: seconds for name, seconds, _ in ordered[:most]}
    return Kernels(sum(row[1] for row in ordered), sum(row[2] for row in ordered), longest)


def _nvidia_smi() -> dict[str, str]:
    """Query driver, clocks, power and temperature; empty if ``nvidia-smi`` is not available."""
    fields = {
        "driver": "driver_version",
        "clock of multiprocessors": "clocks.sm",
        "its maximum": "clocks.max.sm",
        "clock of memory": "clocks.mem",
        "power limit": "power.limit",
        "temperature": "temperature.gpu",
    }
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", f"--query-gpu={','.join(fields.values())}", "--format=csv,noheader"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return {}
    return dict(zip(fields, (value.strip() for value in output.splitlines()[0].split(",")), strict=True))
