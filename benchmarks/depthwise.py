"""``python -m benchmarks.depthwise``: time of a training step with and without our depthwise convolutions.

The experiment ``own`` for crops of 352x480, 19 classes, four images a step, in bfloat16, on a CPU. Both networks run
alternately in one process; times are medians, after a warm-up run. The single layers are the largest of their kind in
EfficientNet-Lite0 at that size, forward and backward.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import cpu_tables
from benchmarks.measuring import at_least_one, in_turn, machine, write
from benchmarks.training import Training, scenes
from panoptic.models import backbone
from panoptic.models.depthwise import convert_depthwise
from panoptic.training.recipe import INSTANCE_WEIGHTS
from panoptic.utils.malloc import keep_freed_memory

LAYERS = [
    # channels, height, width, kernel, stride
    (96, 177, 241, 3, 2),
    (144, 91, 123, 5, 2),
    (240, 44, 60, 5, 1),
    (672, 22, 30, 5, 1),
    (1152, 11, 15, 5, 1),
]


def layer_steps(channels: int, height: int, width: int, kernel: int, stride: int) -> dict[str, Callable[[], Any]]:
    """Return forward and backward pass of a layer, as PyTorch has it and as we do."""
    padding = kernel // 2 if stride == 1 else 0
    steps: dict[str, Callable[[], Any]] = {}
    for name in ("PyTorch", "ours"):
        layer = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=False)
        ).bfloat16()
        if name == "ours":
            convert_depthwise(layer)
        image = torch.randn(4, channels, height, width, dtype=torch.bfloat16)
        image = image.to(memory_format=torch.channels_last).requires_grad_()
        gradient = torch.randn_like(layer(image))
        steps[name] = lambda layer=layer, image=image, gradient=gradient: layer(image).backward(gradient)
    return steps


def training_steps(size: tuple[int, int]) -> dict[str, Callable[[], Any]]:
    """Return training steps of a network with PyTorch's depthwise convolutions, and of one with ours."""
    batch = scenes(4, size, torch.device("cpu"))
    steps: dict[str, Callable[[], Any]] = {}
    convert = backbone.convert_depthwise
    for name, conversion in (("PyTorch", lambda _: None), ("ours", convert)):
        backbone.convert_depthwise = conversion
        torch.manual_seed(0)
        overrides = ("data.root=.", f"data.crop=[{size[0]},{size[1]}]", "codec.max_things=50")
        weights = (f"{key}={weight}" for key, weight in INSTANCE_WEIGHTS.items())
        steps[name] = Training(batch, *overrides, *weights, precision="bf16-mixed", name="own").step
    backbone.convert_depthwise = convert
    return steps


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=10, help="repetitions of each call")
    parser.add_argument("--size", type=int, nargs=2, default=(352, 480), help="height and width of the crops")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    keep_freed_memory()
    calls = {"training step": training_steps((arguments.size[0], arguments.size[1]))}
    for layer in LAYERS:
        calls["layer of {} channels, {}x{} cells, {}x{}, stride {}".format(*layer[:4], *layer[3:])] = layer_steps(
            *layer
        )
    milliseconds = {
        what: {name: 1000 * seconds for name, seconds in in_turn(steps, arguments.repeats).items()}
        for what, steps in calls.items()
    }
    report = {"machine": machine(), "size": arguments.size, "milliseconds": milliseconds}
    print(cpu_tables.depthwise(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
