"""From images to segments: by stage, by number of things, beside the backbone; what CUDA graphs and compilers gain."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.inference import crowded, our_network, stages

THINGS = 100
"""That decoding finds where nothing else is said, or the most that the setting has."""


def run(record: Record, setting: Setting) -> None:
    """Take all figures, what takes long last."""
    for batch in setting.inference_batches:
        record.measure(f"batch {batch}", lambda n=batch: whole(setting, n))
        record.measure(f"batch {batch}, stages", lambda n=batch: by_stage(setting, n))
        record.measure(f"batch {batch}, decode by things", lambda n=batch: by_things(setting, n))
    record.measure("peak memory, GB", lambda: peak_memory(setting))
    record.measure("kernels, batch 1", lambda: kernels(setting))
    for batch in setting.inference_batches:
        record.measure(f"batch {batch}, CUDA graph", lambda n=batch: graphed(setting, n))
    for half in ("float16", "bfloat16"):
        record.measure(f"batch 1, {half}", lambda h=half: whole(setting, 1, getattr(torch, h)))
    needs = 0.0 if setting.tiny else 25.0
    record.measure("batch 1, compiled", lambda: compiled(setting), needs=needs)


@torch.inference_mode()
def whole(setting: Setting, batch: int, half: torch.dtype | None = None) -> dict[str, float]:
    """An image to its segments, beside the backbone as it is trained and as it is used, with BatchNorm folded."""
    network, predictor = our_network(setting.hardware.device, *setting.overrides)
    images = random_images(setting, batch)
    outputs = crowded(predictor.codec, batch, setting.size, things(setting), setting.hardware.device)
    normalized = network.normalize(images)

    def ours() -> None:
        predictor.network(images)
        predictor.codec.decode(outputs, setting.size)

    latency = setting.hardware.latency
    with torch.autocast(setting.hardware.device.type, half, enabled=half is not None):
        backbone = latency(lambda: network.backbone(normalized), setting.repeats)
        folded = latency(lambda: predictor.network.backbone(normalized), setting.repeats)
        only_network = latency(lambda: predictor.network(images), setting.repeats)
        seconds = latency(ours, setting.repeats)
    return figures(seconds, backbone, batch) | {"backbone, folded, seconds": folded, "network, seconds": only_network}


def figures(seconds: float, backbone: float, images: int) -> dict[str, float]:
    """What is stated of an inference."""
    return {
        "seconds": seconds,
        "backbone, seconds": backbone,
        "x backbone": seconds / backbone,
        "images/s": images / seconds,
    }


@torch.inference_mode()
def by_stage(setting: Setting, batch: int) -> dict[str, float]:
    """Seconds of each stage, waited for one by one."""
    _, predictor = our_network(setting.hardware.device, *setting.overrides)
    outputs = crowded(predictor.codec, batch, setting.size, things(setting), setting.hardware.device)
    calls = stages(predictor, random_images(setting, batch), outputs)
    return {name: setting.hardware.latency(call, setting.repeats) for name, call in calls.items()}


@torch.inference_mode()
def by_things(setting: Setting, batch: int) -> dict[str, float]:
    """Seconds of decoding, by number of things."""
    _, predictor = our_network(setting.hardware.device, *setting.overrides)
    seconds = {}
    for count in setting.things:
        outputs = crowded(predictor.codec, batch, setting.size, count, setting.hardware.device)
        found = int((predictor.codec.decode(outputs).classes[0] == predictor.labels.names.index("car")).sum())
        assert found == count, f"expected {count} things to decode, found {found}"
        decode = lambda o=outputs: predictor.codec.decode(o, setting.size)  # noqa: E731
        seconds[str(count)] = setting.hardware.latency(decode, setting.repeats)
    return seconds


@torch.inference_mode()
def peak_memory(setting: Setting) -> dict[str, float]:
    """Of one image of each size, weights included."""
    network, predictor = our_network(setting.hardware.device, *setting.overrides)
    peaks = {}
    for size in (setting.size, setting.large):
        images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, device=setting.hardware.device)
        name = f"{size[0]}x{size[1]}"
        calls = {
            f"{name}, backbone alone": lambda i=images: network.backbone(network.normalize(i)),
            name: lambda i=images, s=size: predictor.codec.decode(predictor.network(i), s),
        }
        peaks |= {key: setting.hardware.peak_memory(call) for key, call in calls.items()}
    return peaks


@torch.inference_mode()
def kernels(setting: Setting) -> dict[str, Any]:
    """Number and time of the kernels of the network and of decoding, and the longest."""
    _, predictor = our_network(setting.hardware.device, *setting.overrides)
    images = random_images(setting, 1)
    outputs = crowded(predictor.codec, 1, setting.size, things(setting), setting.hardware.device)
    calls = {
        "network": lambda: predictor.network(images),
        "decode": lambda: predictor.codec.decode(outputs, setting.size),
    }
    return {name: setting.hardware.kernels(call)._asdict() for name, call in calls.items()}


@torch.inference_mode()
def graphed(setting: Setting, batch: int) -> dict[str, float]:
    """The network as a CUDA graph, decoding as it is, beside the backbone as it is."""
    network, predictor = our_network(setting.hardware.device, *setting.overrides)
    images = random_images(setting, batch)
    outputs = crowded(predictor.codec, batch, setting.size, things(setting), setting.hardware.device)
    normalized = network.normalize(images)
    backbone = setting.hardware.latency(lambda: network.backbone(normalized), setting.repeats)
    alone = setting.hardware.replay(lambda: network.backbone(normalized))
    replay = setting.hardware.replay(lambda: predictor.network(images))

    def ours() -> None:
        replay()
        predictor.codec.decode(outputs, setting.size)

    return figures(setting.hardware.latency(ours, setting.repeats), backbone, batch) | {
        "network, seconds": setting.hardware.latency(replay, setting.repeats),
        "backbone as a graph, seconds": setting.hardware.latency(alone, setting.repeats),
    }


@torch.inference_mode()
def compiled(setting: Setting) -> dict[str, float]:
    """The compiled network, decoding as it is, beside the backbone as it is."""
    network, predictor = our_network(setting.hardware.device, *setting.overrides)
    images = random_images(setting, 1)
    outputs = crowded(predictor.codec, 1, setting.size, things(setting), setting.hardware.device)
    normalized = network.normalize(images)
    backbone = setting.hardware.latency(lambda: network.backbone(normalized), setting.repeats)
    faster = copy.deepcopy(predictor.network)
    faster.compile(backend=setting.compiler)

    def ours() -> None:
        faster(images)
        predictor.codec.decode(outputs, setting.size)

    return figures(setting.hardware.latency(ours, setting.repeats), backbone, 1)


def random_images(setting: Setting, batch: int) -> Tensor:
    """Noise, channels-last."""
    noise = torch.randint(0, 256, (batch, *setting.size, 3), dtype=torch.uint8, device=setting.hardware.device)
    return noise.permute(0, 3, 1, 2)


def things(setting: Setting) -> int:
    """How many things decoding finds, where nothing else is said."""
    return min(THINGS, max(setting.things))
