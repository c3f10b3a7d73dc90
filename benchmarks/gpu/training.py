"""Training step of ``full``: speed by precision, batch size and compilation, and time by stage."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.record import Record
from benchmarks.gpu.runs import speed_of_run
from benchmarks.gpu.setting import SHORT_RUN, Setting
from benchmarks.training import Training, scenes, stages
from panoptic.data.batch import Batch

MIXED = "16-mixed"
SECONDS_TO_COMPILE = 75.0


def run(record: Record, setting: Setting) -> None:
    """Measure all figures, the slow ones last."""
    batch = scenes(setting.batch, setting.size, setting.hardware.device)
    mixed = Training(batch, *setting.overrides, precision=MIXED)
    record.measure("peak memory, GB", lambda: peak_memory(setting, mixed))
    record.measure(f"step, {MIXED}", lambda: beside_backbone(setting, mixed, mixed))
    record.measure("by stage", lambda: setting.hardware.paces(stages(mixed), setting.repeats))
    record.measure("kernels", lambda: kernels(setting, mixed))
    record.measure("step, cuDNN's fastest", lambda: searched(setting, mixed))
    for precision in ("bf16-mixed", "32-true"):
        record.measure(f"step, {precision}", partial(another, setting, batch, precision=precision))
    record.measure("step, Muon", lambda: another(setting, batch, "optimizer=muon", precision=MIXED))
    for count in setting.larger_batches:
        record.measure(f"step, batch {count}", partial(larger, setting, count))
    record.measure("step, CUDA graph", lambda: graphed(setting, batch, mixed))
    record.measure("run, scenes painted anew", lambda: speed(record, setting), needs=0.0 if setting.tiny else 20.0)
    for precision in (MIXED, "bf16-mixed"):
        record.measure(
            f"step, {precision}, compiled",
            partial(compiled, setting, batch, precision),
            needs=0.0 if setting.tiny else SECONDS_TO_COMPILE,
        )


def beside_backbone(setting: Setting, training: Training, reference: Training) -> dict[str, float]:
    """Measure a step, and forward and backward pass of a backbone alone.

    Args:
        setting: Setting of the benchmark.
        training: Training whose step is measured.
        reference: Training whose backbone is measured, in the same precision.
    """
    seconds = setting.hardware.paces({"step": training.step, "backbone": reference.backbone}, setting.repeats)
    return {
        "seconds": seconds["step"],
        "backbone, seconds": seconds["backbone"],
        "x backbone": seconds["step"] / seconds["backbone"],
        "images/s": len(training.batch.names) / seconds["step"],
    }


def another(setting: Setting, batch: Batch, *overrides: str, precision: str) -> dict[str, float]:
    """Measure a step in another precision or with overrides."""
    training = Training(batch, *setting.overrides, *overrides, precision=precision)
    return beside_backbone(setting, training, training)


def peak_memory(setting: Setting, training: Training) -> dict[str, float]:
    """Measure peak memory of a step and of the backbone alone, with weights, gradients and optimizer state."""
    peaks = {"backbone alone": setting.hardware.peak_memory(training.backbone)}
    return peaks | {"step": setting.hardware.peak_memory(training.step)}


def kernels(setting: Setting, training: Training) -> dict[str, Any]:
    """Measure kernel time and wall time of a step; if the share is far below 1, kernel launches are the bottleneck."""
    kernel_times = setting.hardware.kernels(training.step)
    clock = setting.hardware.pace(training.step, setting.repeats)
    return kernel_times._asdict() | {"seconds on the clock": clock, "share": kernel_times.seconds / clock}


def searched(setting: Setting, training: Training) -> dict[str, float]:
    """Measure a step with the convolution algorithms that cuDNN selects by benchmarking."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        return beside_backbone(setting, training, training)
    finally:
        torch.backends.cudnn.benchmark = before


def larger(setting: Setting, count: int) -> dict[str, float]:
    """Measure a step with a larger batch."""
    training = Training(scenes(count, setting.size, setting.hardware.device), *setting.overrides, precision=MIXED)
    memory = setting.hardware.peak_memory(training.step)
    return beside_backbone(setting, training, training) | {"peak memory, GB": memory}


def graphed(setting: Setting, batch: Batch, reference: Training) -> dict[str, float]:
    """Measure a step with forward and backward pass of the network as CUDA graphs."""
    training = Training(batch, *setting.overrides, precision=MIXED)
    with torch.autocast(training.device.type, training.half, cache_enabled=False):
        training.network = setting.hardware.graphed(training.network, batch.images)
    return beside_backbone(setting, training, reference)


def compiled(setting: Setting, batch: Batch, precision: str) -> dict[str, float]:
    """Measure a step of the compiled network, and the backbone without compilation."""
    training, reference = (Training(batch, *setting.overrides, precision=precision) for _ in range(2))
    training.network.compile(backend=setting.compiler)
    start = time.perf_counter()
    training.step()
    setting.hardware.synchronize()
    first = time.perf_counter() - start
    return beside_backbone(setting, training, reference) | {"first step, seconds": first}


def speed(record: Record, setting: Setting) -> dict[str, float]:
    """Measure the speed of a real run of two epochs, including the loader."""
    return speed_of_run(setting, *setting.short, *SHORT_RUN, "data.cache=false", seconds=record.left())
