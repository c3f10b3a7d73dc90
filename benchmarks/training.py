"""``python -m benchmarks.training``: a training step by stage, compared with forward and backward of its backbone.

Uses four scenes of 512x1024, in the precision that ``train`` selects for a GPU (16-mixed), and in fp32 on a CPU. The
step is the one that Lightning runs: targets, network, loss, backward pass, optimizer. All calls run alternately in one
process; times are medians, after a warm-up run. Memory is the peak of a fresh process with a single kind of step (on a
GPU, of the allocated memory).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import cpu_tables
from benchmarks.measuring import (
    arithmetic_rate,
    at_least_one,
    experiment,
    find_device,
    in_own_process,
    in_turn,
    machine,
    peak_memory,
    write,
)
from panoptic.config.composing import build
from panoptic.data.batch import Batch, collate
from panoptic.labels import CITYSCAPES
from panoptic.scenes.source import SyntheticSource
from panoptic.training.checkpoint import build_codec, build_network
from panoptic.utils.malloc import keep_freed_memory

BACKBONE, STEP, CHECKPOINTED = "backbone alone, forward + backward", "training step", "training step, checkpointed"


HALVES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}
"""Half-precision data type of each mixed precision."""


class Training:
    """Network with loss and optimizer for training steps.

    Args:
        batch: Batch on the device.
        overrides: Overrides of the experiment.
        precision: Precision of Lightning's Trainer; by default that of ``train`` on a GPU, and single on a CPU.
        name: Experiment.
    """

    def __init__(self, batch: Batch, *overrides: str, precision: str | None = None, name: str = "full") -> None:
        config = experiment(name, *overrides)
        self.batch = batch
        self.device = batch.images.device
        self.network = build_network(config, CITYSCAPES.num_classes).to(self.device).train()
        self.codec = build_codec(config, CITYSCAPES, self.network)
        self.loss = build(config.loss)
        self.optimizer, self.schedule = build(config.optimizer)(self.network, 10_000)
        self.precision = precision or ("16-mixed" if self.device.type == "cuda" else "32-true")
        self.half = HALVES.get(self.precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.half == torch.float16)

    def autocast(self) -> torch.autocast:
        """Return the autocast context of the precision."""
        return torch.autocast(self.device.type, self.half, enabled=self.half is not None)

    def encode(self) -> Any:
        """Compute the targets."""
        return self.codec.encode(self.batch.segments)

    def forward(self) -> Any:
        """Compute the network outputs."""
        with self.autocast():
            return self.network(self.batch.images)

    def total(self, outputs: Any, targets: Any) -> torch.Tensor:
        """Compute the total loss."""
        with self.autocast():
            return self.loss(outputs, targets)["total"]

    def update(self) -> None:
        """Update the parameters and the learning rate."""
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()

    def step(self) -> None:
        """Run a whole training step."""
        total = self.total(self.forward(), self.encode())
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.update()

    def backbone(self) -> None:
        """Run forward and backward pass of the backbone alone, as a lower bound."""
        with self.autocast():
            features = self.network.backbone(self.network.normalize(self.batch.images))
        sum(feature.float().mean() for feature in features).backward()
        self.network.zero_grad(set_to_none=True)


def scenes(count: int, size: tuple[int, int], device: torch.device) -> Batch:
    """Return a batch of the first scenes of the training split."""
    source = SyntheticSource("train", size=count, height=size[0], width=size[1])
    return collate([source.read(index) for index in range(count)]).to(device)


def stages(training: Training) -> dict[str, Callable[[], Any]]:
    """Return the stages of a step as calls; the backward pass includes the forward pass and the loss."""
    targets, outputs = training.encode(), training.forward()
    detached = type(outputs)(*(value.detach() for value in outputs))

    def backward() -> None:
        training.optimizer.zero_grad(set_to_none=True)
        training.scaler.scale(training.total(training.forward(), targets)).backward()

    return {
        "targets": training.encode,
        "forward": training.forward,
        "loss": lambda: training.total(detached, targets),
        "forward, loss, backward": backward,
        "optimizer": training.update,
    }


def operations(training: Training) -> float:
    """Count the floating-point operations of the forward and backward pass of a step."""
    with FlopCounterMode(display=False) as counter:
        training.total(training.forward(), training.encode()).backward()
    training.network.zero_grad(set_to_none=True)
    return float(counter.get_total_flops())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=5, help="number of runs of each call")
    parser.add_argument("--batch", type=at_least_one, default=4, help="number of images")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--memory-of", choices=(BACKBONE, STEP, CHECKPOINTED), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    kept = keep_freed_memory()
    torch.manual_seed(0)
    device = find_device()
    batch = scenes(arguments.batch, (512, 1024), device)
    if arguments.memory_of:
        checkpointing = arguments.memory_of == CHECKPOINTED
        training = Training(batch, f"model.backbone.checkpointing={checkpointing}")
        call = training.backbone if arguments.memory_of == BACKBONE else training.step
        print(json.dumps(peak_memory(lambda: (call(), call()), device)))
        return
    training = Training(batch)
    checkpointed = Training(batch, "model.backbone.checkpointing=true")
    calls = {BACKBONE: training.backbone, STEP: training.step, CHECKPOINTED: checkpointed.step}
    if device.type == "cuda":
        compiled = Training(batch)
        compiled.network.compile()
        calls["training step, compiled"] = compiled.step
    seconds = in_turn(calls, arguments.repeats, device)
    memory = {
        name: in_own_process("benchmarks.training", "--memory-of", name, "--batch", str(arguments.batch))
        for name in (BACKBONE, STEP, CHECKPOINTED)
    }
    rate = arithmetic_rate(device, training.half or torch.float32)
    floor = operations(training) / rate
    report = {
        "machine": machine(),
        "freed memory kept": kept,
        "batch": arguments.batch,
        "precision": training.precision,
        "seconds": seconds,
        "stages": in_turn(stages(training), arguments.repeats, device),
        "peak memory, GB": memory,
        "arithmetic, TFLOP/s": rate / 1e12,
        "arithmetic alone, seconds": floor,
    }
    print(cpu_tables.training(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
