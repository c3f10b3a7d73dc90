"""Inference from images to segments: by stage and number of things, with CUDA graphs, and compiled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.inference import crowded, our_network, stages
from panoptic.codec import Outputs

THINGS = 100
"""Default number of things to decode, unless the setting has fewer."""

SECONDS_TO_COMPILE = 25.0


class Inference:
    """Network as in training, its predictor, and inputs for both.

    Args:
        setting: Sizes and device.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.network, self.predictor = our_network(setting.hardware.device, *setting.overrides)
        self.things = min(THINGS, max(setting.things))

    def images(self, batch: int) -> Tensor:
        """Return random images in channels-last memory format."""
        size, device = self.setting.size, self.setting.hardware.device
        return torch.randint(0, 256, (batch, *size, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)

    def outputs(self, batch: int, things: int | None = None) -> Outputs:
        """Return network outputs that decode to a given number of things."""
        device = self.setting.hardware.device
        return crowded(self.predictor.codec, batch, self.setting.size, things or self.things, device)

    def decode(self, outputs: Outputs) -> Callable[[], Any]:
        """Return a call that decodes outputs."""
        return lambda: self.predictor.codec.decode(outputs, self.setting.size)

    @cached_property
    def compiled(self) -> torch.nn.Module:
        """Compiled network of the predictor."""
        network = copy.deepcopy(self.predictor.network)
        network.compile(backend=self.setting.compiler)
        return network


def run(record: Record, setting: Setting) -> None:
    """Measure all figures, the slow ones last."""
    inference = Inference(setting)
    for batch in setting.inference_batches:
        record.measure(f"batch {batch}", partial(whole, inference, batch))
        record.measure(f"batch {batch}, stages", partial(by_stage, inference, batch))
        record.measure(f"batch {batch}, decode by things", partial(by_things, inference, batch))
        record.measure(f"batch {batch}, CUDA graph", partial(graphed, inference, batch))
    record.measure("batch 1, half precision", lambda: whole(inference, 1, torch.float16))
    record.measure("peak memory, GB", lambda: peak_memory(inference))
    record.measure("kernels, batch 1", lambda: kernels(inference))
    needs = 0.0 if setting.tiny else SECONDS_TO_COMPILE
    record.measure("batch 1, compiled", lambda: compiled(inference), needs=needs)


@torch.inference_mode()
def whole(inference: Inference, batch: int, half: torch.dtype | None = None) -> dict[str, float]:
    """Measure inference from images to segments, and the backbone alone with and without folded BatchNorm."""
    network, hardware = inference.predictor.network, inference.setting.hardware
    images, decode = inference.images(batch), inference.decode(inference.outputs(batch))
    normalized = network.normalize(images)
    calls = {
        "backbone": lambda: inference.network.backbone(normalized),
        "backbone, BatchNorm folded": lambda: network.backbone(normalized),
        "network": lambda: network(images),
        "whole": lambda: (network(images), decode()),
        "decode": decode,
    }
    with torch.autocast(hardware.device.type, half, enabled=half is not None):
        return stated(hardware.latencies(calls, inference.setting.repeats), batch)


def stated(seconds: dict[str, float], images: int) -> dict[str, float]:
    """Format the seconds of calls as figures, with rates of the whole inference."""
    whole = seconds["whole"]
    return {
        "seconds": whole,
        "x backbone": whole / seconds["backbone"],
        "images/s": images / whole,
        **{f"{name}, seconds": value for name, value in seconds.items() if name != "whole"},
    }


@torch.inference_mode()
def by_stage(inference: Inference, batch: int) -> dict[str, float]:
    """Measure the seconds of each stage, with synchronization after each."""
    calls = stages(inference.predictor, inference.images(batch), inference.outputs(batch))
    return inference.setting.hardware.latencies(calls, inference.setting.repeats)


@torch.inference_mode()
def by_things(inference: Inference, batch: int) -> dict[str, float]:
    """Measure the seconds of decoding by number of things."""
    calls = {}
    for count in inference.setting.things:
        calls[str(count)] = inference.decode(inference.outputs(batch, count))
        cars = calls[str(count)]().classes[0] == inference.predictor.labels.names.index("car")
        assert int(cars.sum()) == count, f"expected {count} things to decode, found {int(cars.sum())}"
    return inference.setting.hardware.latencies(calls, inference.setting.repeats)


@torch.inference_mode()
def graphed(inference: Inference, batch: int) -> dict[str, float]:
    """Measure inference with the network as a CUDA graph, and the backbone with and without a graph."""
    network, hardware = inference.predictor.network, inference.setting.hardware
    images, decode = inference.images(batch), inference.decode(inference.outputs(batch))
    normalized = network.normalize(images)
    backbone = hardware.replay(lambda: inference.network.backbone(normalized))
    replay = hardware.replay(lambda: network(images))
    calls = {
        "backbone": lambda: inference.network.backbone(normalized),
        "backbone as a graph": backbone,
        "network": replay,
        "whole": lambda: (replay(), decode()),
    }
    return stated(hardware.latencies(calls, inference.setting.repeats), batch)


@torch.inference_mode()
def compiled(inference: Inference) -> dict[str, float]:
    """Measure inference with the compiled network, and the backbone without compilation."""
    images, decode = inference.images(1), inference.decode(inference.outputs(1))
    normalized = inference.network.normalize(images)
    calls = {
        "backbone": lambda: inference.network.backbone(normalized),
        "network": lambda: inference.compiled(images),
        "whole": lambda: (inference.compiled(images), decode()),
    }
    return stated(inference.setting.hardware.latencies(calls, inference.setting.repeats), 1)


@torch.inference_mode()
def peak_memory(inference: Inference) -> dict[str, float]:
    """Measure peak memory for one image of each size, including the weights of two networks.

    The two are the network as in training and that of the predictor.
    """
    setting, peaks = inference.setting, {}
    normalized, network = inference.network.normalize, inference.predictor.network
    decode = inference.predictor.codec.decode
    for size in (setting.size, setting.large):
        images = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, device=setting.hardware.device)
        calls = {
            f"{size[0]}x{size[1]}, backbone alone": lambda i=images: inference.network.backbone(normalized(i)),
            f"{size[0]}x{size[1]}": lambda i=images, s=size: decode(network(i), s),
        }
        peaks |= {key: setting.hardware.peak_memory(call) for key, call in calls.items()}
    return peaks


@torch.inference_mode()
def kernels(inference: Inference) -> dict[str, Any]:
    """Measure number and time of the kernels of the network and of decoding, and list the longest."""
    images, decode = inference.images(1), inference.decode(inference.outputs(1))
    calls = {"network": lambda: inference.predictor.network(images), "decode": decode}
    return {name: inference.setting.hardware.kernels(call)._asdict() for name, call in calls.items()}
