"""The training step of ``full``: images a second by precision, batch and compilation; where its time goes."""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmarks.gpu.record import Record
from benchmarks.gpu.runs import speed_of_run
from benchmarks.gpu.setting import SHORT_RUN, Setting
from benchmarks.training import Training, scenes, stages
from panoptic.data.batch import Batch

MIXED = "16-mixed"


def run(record: Record, setting: Setting) -> None:
    """Take all figures, what takes long last."""
    hardware = setting.hardware
    batch = scenes(setting.batch, setting.size, hardware.device)
    record.measure("peak memory, GB", lambda: peak_memory(setting, batch))
    for precision in (MIXED, "bf16-mixed", "32-true"):
        record.measure(f"step, {precision}", lambda p=precision: step(setting, batch, precision=p))
    record.measure("by stage", lambda: by_stage(setting, batch))
    record.measure("kernels", lambda: kernels(setting, batch))
    record.measure("step, Muon", lambda: step(setting, batch, "optimizer=muon", precision=MIXED))
    record.measure("step, cuDNN's fastest", lambda: searched(setting, batch))
    for count in setting.larger_batches:
        record.measure(f"step, batch {count}", lambda n=count: larger(setting, n))
    record.measure("step, CUDA graph", lambda: graphed(setting, batch))
    record.measure("run, scenes painted anew", lambda: speed(record, setting), needs=0.0 if setting.tiny else 20.0)
    for precision in (MIXED, "bf16-mixed"):
        needs = 0.0 if setting.tiny else 45.0
        record.measure(f"step, {precision}, compiled", lambda p=precision: compiled(setting, batch, p), needs=needs)


def step(setting: Setting, batch: Batch, *overrides: str, precision: str) -> dict[str, float]:
    """A step beside its backbone alone, forward and backward, in one precision."""
    training = Training(batch, *setting.overrides, *overrides, precision=precision)
    backbone = setting.hardware.pace(training.backbone, setting.repeats)
    return figures(setting.hardware.pace(training.step, setting.repeats), backbone, len(batch.names))


def figures(seconds: float, backbone: float, images: int) -> dict[str, float]:
    """What is stated of a step."""
    return {
        "seconds": seconds,
        "backbone, seconds": backbone,
        "x backbone": seconds / backbone,
        "images/s": images / seconds,
    }


def peak_memory(setting: Setting, batch: Batch) -> dict[str, float]:
    """Of a step, and of the backbone alone, with weights, gradients and the optimizer's state."""
    training = Training(batch, *setting.overrides, precision=MIXED)
    measured = {"backbone alone": setting.hardware.peak_memory(training.backbone)}
    return measured | {"step": setting.hardware.peak_memory(training.step)}


def by_stage(setting: Setting, batch: Batch) -> dict[str, float]:
    """Seconds of each stage."""
    training = Training(batch, *setting.overrides, precision=MIXED)
    training.step()
    return {name: setting.hardware.pace(call, setting.repeats) for name, call in stages(training).items()}


def kernels(setting: Setting, batch: Batch) -> dict[str, Any]:
    """Time of the kernels of a step against its time on the clock: far below 1, launching them is what binds."""
    training = Training(batch, *setting.overrides, precision=MIXED)
    found = setting.hardware.kernels(training.step)
    clock = setting.hardware.pace(training.step, setting.repeats)
    return found._asdict() | {"seconds on the clock": clock, "share": found.seconds / clock}


def searched(setting: Setting, batch: Batch) -> dict[str, float]:
    """A step with the convolution algorithms that cuDNN finds by trial."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        return step(setting, batch, precision=MIXED)
    finally:
        torch.backends.cudnn.benchmark = before


def larger(setting: Setting, count: int) -> dict[str, float]:
    """A step of more images."""
    batch = scenes(count, setting.size, setting.hardware.device)
    memory = setting.hardware.peak_memory(Training(batch, *setting.overrides, precision=MIXED).step)
    return step(setting, batch, precision=MIXED) | {"peak memory, GB": memory}


def graphed(setting: Setting, batch: Batch) -> dict[str, float]:
    """A step whose network, forward and backward, is a CUDA graph."""
    training = Training(batch, *setting.overrides, precision=MIXED)
    backbone = setting.hardware.pace(training.backbone, setting.repeats)
    with torch.autocast(training.device.type, training.half, cache_enabled=False):
        training.network = setting.hardware.graphed(training.network, batch.images)
    return figures(setting.hardware.pace(training.step, setting.repeats), backbone, len(batch.names))


def compiled(setting: Setting, batch: Batch, precision: str) -> dict[str, float]:
    """A step of the compiled network, beside the backbone as it is."""
    training = Training(batch, *setting.overrides, precision=precision)
    backbone = setting.hardware.pace(training.backbone, setting.repeats)
    training.network.compile(backend=setting.compiler)
    start = time.perf_counter()
    training.step()
    setting.hardware.synchronize()
    first = time.perf_counter() - start
    seconds = setting.hardware.pace(training.step, setting.repeats)
    return figures(seconds, backbone, len(batch.names)) | {"first step, seconds": first}


def speed(record: Record, setting: Setting) -> dict[str, float]:
    """What a real run of two epochs says of its speed, with the loader as it is."""
    return speed_of_run(setting, *setting.short, *SHORT_RUN, "data.cache=false", seconds=record.left())
