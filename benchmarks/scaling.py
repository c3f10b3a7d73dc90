"""``python -m benchmarks.scaling``: scaling of run time with batch size, image size and number of things.

Each curve is a training step of the experiment ``quick`` in fp32, its inference, or a part of these that depends on the
number of things, with one quantity doubled from point to point and the others fixed. The exponent is the slope of the
curve in logarithmic scale; 1 is linear scaling.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import cpu_tables
from benchmarks.inference import crowded
from benchmarks.measuring import at_least_one, experiment, find_device, in_turn, machine, write
from panoptic.codec import Codec
from panoptic.config.composing import build
from panoptic.inference.predictor import Predictor
from panoptic.labels import CITYSCAPES
from panoptic.segments import Segments
from panoptic.training.checkpoint import build_codec, build_network
from panoptic.utils.malloc import keep_freed_memory

BATCHES, HEIGHTS, THINGS = (1, 2, 4, 8, 16), (64, 128, 256, 512), (12, 25, 50, 100, 200)
HEIGHT, BATCH, FEW = 128, 4, 25
Call = Callable[[], Any]


class Steps:
    """Training steps and inference of one network at any size.

    Args:
        device: Device of the network.
    """

    def __init__(self, device: torch.device) -> None:
        config = experiment("quick")
        self.device = device
        self.network = build_network(config, CITYSCAPES.num_classes).to(device)
        self.codec: Codec = build_codec(config, CITYSCAPES, self.network)
        self.predictor = Predictor(self.network, self.codec, device)
        self.loss = build(config.loss)
        self.optimizer, _ = build(config.optimizer)(self.network, 10_000)

    def calls(self, batch: int, height: int, things: int) -> dict[str, Call]:
        """Return training step, inference and their parts as calls, for images twice as wide as high."""
        size = (height, 2 * height)
        images = torch.randint(0, 256, (batch, *size, 3), dtype=torch.uint8, device=self.device).permute(0, 3, 1, 2)
        outputs = crowded(self.codec, batch, size, things, self.device)
        segments: Segments = self.codec.decode(outputs)

        def train() -> None:
            self.network.train()
            total = self.loss(self.network(images), self.codec.encode(segments))["total"]
            self.optimizer.zero_grad(set_to_none=True)
            total.backward()
            self.optimizer.step()

        @torch.inference_mode()
        def infer() -> None:
            self.predictor.network(images)
            self.codec.decode(outputs, size)

        return {
            "training step": train,
            "inference": infer,
            "targets of a step": lambda: self.codec.encode(segments),
            "decoding": lambda: self.codec.decode(outputs, size),
        }


def measure(steps: Steps, repeats: int) -> dict[str, dict[str, dict[int, float]]]:
    """Measure median seconds by varied quantity, by call, and by value of the quantity."""
    lines = {
        "images in a batch": {n: steps.calls(n, HEIGHT, FEW) for n in BATCHES},
        "pixels of an image": {2 * h * h: steps.calls(BATCH, h, FEW) for h in HEIGHTS},
        "things in an image": {n: steps.calls(BATCH, 2 * HEIGHT, n) for n in THINGS},
    }
    return {
        quantity: {
            what: in_turn({value: calls[what] for value, calls in points.items()}, repeats, steps.device)
            for what in next(iter(points.values()))
        }
        for quantity, points in lines.items()
    }


def exponent(points: dict[int, float]) -> float:
    """Fit the slope of a line through the points in logarithmic scale."""
    x, y = np.log(list(points)), np.log(list(points.values()))
    return float(np.polyfit(x, y, 1)[0])


def plot(lines: dict[str, dict[str, dict[int, float]]], path: Path) -> None:
    """Plot one panel per quantity; dashed lines show linear scaling."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (quantity, curves) in zip(figure.subplots(1, 3), lines.items(), strict=True):
        for name, points in curves.items():
            x, y = np.array(list(points)), 1000 * np.array(list(points.values()))
            (line,) = axes.loglog(x, y, marker="o", label=name)
            axes.loglog(x, y[-1] * x / x[-1], linestyle="--", linewidth=0.8, color=line.get_color())
        axes.set_xticks(x, labels=[f"{n:g}" for n in x])
        axes.minorticks_off()
        axes.set(xlabel=quantity, ylabel="ms")
    axes.legend(frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    """Print the exponents and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=5, help="number of runs of each call")
    parser.add_argument("--plot", type=Path, help="PNG file to draw")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    lines = measure(Steps(find_device()), arguments.repeats)
    exponents = {q: {what: exponent(points) for what, points in of.items()} for q, of in lines.items()}
    report = {"machine": machine(), "seconds": lines, "exponents": exponents}
    print(cpu_tables.scaling(report))
    if arguments.plot is not None:
        plot(lines, arguments.plot)
    write(arguments.output, report)


if __name__ == "__main__":
    main()
