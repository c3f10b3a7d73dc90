"""Train other networks on street photos as ``experiment=own`` trains, and score their classes.

The same backbone and weights, the same crops in the same order, the same number of steps.
``python -m benchmarks.camvid ROOT [--architecture DeepLabV3Plus] [--recipe own] [--seed 0] --output FILE`` trains one
network of ``segmentation-models-pytorch`` (extra ``bench``) on a data set in COCO panoptic format, and writes its mean
IoU on val. Two recipes: ``own``, the optimizer and the semantic loss of this project, and ``usual``, AdamW at 1e-3
(1e-4 for the backbone) and cross-entropy. ``--minutes 30`` takes as many steps as fit into this time, validation not
counted. ``python -m benchmarks.collecting files`` gathers several such files.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from hydra import compose
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig
from torch import Tensor, nn

from benchmarks.measuring import find_device, machine, write
from panoptic.codec import Codec
from panoptic.config.composing import build, with_hydra
from panoptic.data import DataModule
from panoptic.losses import functional
from panoptic.metrics import MeanIoU
from panoptic.models import Backbone
from panoptic.models.depthwise import convert_depthwise
from panoptic.segments import VOID, Segments
from panoptic.training import adamw_cosine
from panoptic.training.budget import RESERVE
from panoptic.training.recipe import sized_by_data
from panoptic.utils.precision import has_fast_bfloat16

ARCHITECTURES = ("DeepLabV3Plus", "Unet", "FPN")
RECIPES = ("own", "usual")
BACKBONE = "tf_efficientnet_lite0"
TIMED = 16
"""Number of steps that are timed for ``--minutes``."""

CELL = 32
"""Images are padded to whole cells of this size, at the right and bottom."""


class Peer(nn.Module):
    """Network of ``segmentation-models-pytorch`` behind the same normalization and padding as this project's.

    Args:
        architecture: Name of the network's class.
        num_classes: Number of classes.
        weights: Weights of the backbone; see :class:`panoptic.models.Backbone`.
        lr_factor: Factor of the learning rate of the backbone.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: str, num_classes: int, weights: str, lr_factor: float) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        self.body = getattr(smp, architecture)(f"tu-{BACKBONE}", encoder_weights=None, classes=num_classes)
        backbone = Backbone(BACKBONE, weights)
        encoder = self.body.encoder
        encoder.model.load_state_dict(backbone.body.state_dict())
        encoder.lr_factor = lr_factor  # respected by this project's optimizers
        self.weights_used = backbone.weights_used
        convert_depthwise(self.body)  # as this project's: faster on CPUs
        for name, values in (("mean", backbone.mean), ("std", backbone.std)):
            self.register_buffer(name, 255 * torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Compute class logits ``[B C H W]`` for plain RGB of any size."""
        height, width = images.shape[-2:]
        normalized = F.pad((images.float() - self.mean) / self.std, (0, -width % CELL, 0, -height % CELL))
        return self.body(normalized)[..., :height, :width]


def settings(root: Path, seed: int, overrides: list[str]) -> DictConfig:
    """Compose the configuration of ``experiment=own`` for a data set."""
    with with_hydra():
        config = compose("train", ["experiment=own", f"data.root={root}", f"seed={seed}", *overrides])
    return sized_by_data(config, tell=False)


def semantic_loss(recipe: str, config: DictConfig) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the loss of a recipe: a function of logits, classes, and weights of the pixels."""
    if recipe == "usual":
        return lambda logits, classes, weight: F.cross_entropy(logits.float(), classes, ignore_index=VOID)
    loss = config.loss

    def ours(logits: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
        entropy = functional.semantic_loss(
            logits,
            classes,
            weight,
            boundary_weight=loss.boundary_weight,
            hard_pixels=loss.hard_pixels,
            class_balance=loss.class_balance,
        )
        return entropy + loss.dice * functional.dice_loss(logits, classes)

    return ours


def epochs_of(data: DataModule) -> Iterator[Any]:
    """Yield the training batches, epoch after epoch."""
    loader = data.train_dataloader()
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)
        yield from loader
        epoch += 1


def steps_within(
    seconds: float, peer: Peer, data: DataModule, config: DictConfig, recipe: str, device: torch.device
) -> int:
    """Return the number of steps that take a time, by timing some, which leave the network as it was."""
    before = {key: value.clone() for key, value in peer.state_dict().items()}
    with isolate_rng():
        train(peer, data, config, recipe, device, steps=4)  # the first are slower
        start = time.perf_counter()
        train(peer, data, config, recipe, device, steps=TIMED)
        each = (time.perf_counter() - start) / TIMED
    peer.load_state_dict(before)
    return max(int(seconds * (1 - RESERVE) / each), 1)


def train(peer: Peer, data: DataModule, config: DictConfig, recipe: str, device: torch.device, steps: int) -> None:
    """Train a network for a number of steps."""
    optimization = build(config.optimizer, _partial_=True) if recipe == "own" else _usual
    optimizer, schedule = optimization(peer, steps)
    loss = semantic_loss(recipe, config)
    codec = Codec(data.labels, stride=1)
    on_gpu = device.type == "cuda"
    scaler = torch.amp.GradScaler(device.type, enabled=on_gpu)
    low = torch.float16 if on_gpu else torch.bfloat16
    peer.train()
    for batch in islice(epochs_of(data), steps):
        batch = batch.to(device)
        targets = codec.encode(batch.segments, batch.extents if batch.is_padded else None)
        with torch.autocast(device.type, low, enabled=on_gpu or has_fast_bfloat16(device.type)):
            logits = peer(batch.images)
        scaler.scale(loss(logits, targets.semantic, targets.semantic_weight)).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)


def _usual(peer: Peer, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    return adamw_cosine(peer, steps, lr=1e-3, weight_decay=1e-2, warmup=0.05)


@torch.inference_mode()
def mean_iou(peer: Peer, data: DataModule, device: torch.device) -> dict[str, float]:
    """Return the mean IoU on val, and the IoU of each category."""
    metric = MeanIoU(data.labels).to(device)
    peer.eval()
    for batch in data.val_dataloader():
        batch = batch.to(device)
        classes = peer(batch.images).argmax(1)
        metric.update(Segments.from_maps(classes[0], torch.zeros_like(classes[0])), batch.segments.unstack()[0])
    return {name: float(value) for name, value in metric.compute().items() if not value.isnan()}


def main() -> None:
    """Write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="root of a data set in COCO panoptic format")
    parser.add_argument("--architecture", choices=ARCHITECTURES, default=ARCHITECTURES[0])
    parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, help="time to train; by default as many steps as experiment=own")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of experiment=own")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()
    config = settings(arguments.root, arguments.seed, arguments.set)
    data = build(config.data, seed=arguments.seed)
    device = find_device()
    torch.manual_seed(arguments.seed)
    factor = config.model.backbone.lr_factor
    peer = Peer(arguments.architecture, data.labels.num_classes, config.model.backbone.weights, factor).to(device)
    peer = peer.to(memory_format=torch.channels_last)
    start = time.perf_counter()
    steps = config.data.epoch_size // config.data.batch_size * config.trainer.max_epochs
    if arguments.minutes is not None:
        steps = steps_within(60 * arguments.minutes, peer, data, config, arguments.recipe, device)
        print(f"{steps} steps, to end within {arguments.minutes:g} minutes", flush=True)
    train(peer, data, config, arguments.recipe, device, steps)
    seconds = time.perf_counter() - start
    scores = mean_iou(peer, data, device)
    about = {"architecture": arguments.architecture, "recipe": arguments.recipe, "seed": arguments.seed}
    about |= {"steps": steps, "seconds": round(seconds, 1), "overrides": arguments.set}
    about |= {"parameters": sum(parameter.numel() for parameter in peer.parameters())}
    about |= {"backbone_weights": peer.weights_used}
    write(arguments.output, {**about, "machine": machine("segmentation-models-pytorch"), "scores": scores})
    print(f"{arguments.architecture}, {arguments.recipe}, seed {arguments.seed}: mean IoU {scores['mean_iou']:.4f}")


if __name__ == "__main__":
    main()
