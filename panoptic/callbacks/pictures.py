"""Pictures for the dashboard: a few fixed validation images as the network sees them, and complexity, predicted against
true."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn import functional as F

from panoptic.complexity import COMPLEXITY_NAMES
from panoptic.data.batch import Batch, collate
from panoptic.errors import expect_at_least
from panoptic.module import Evaluated
from panoptic.overlay import overlay

LEVEL_COLORS = np.array([[230, 80, 60], [70, 170, 90], [70, 110, 220]], dtype=np.float32)
"""Red, green and blue for the fine, the middle and the coarse level."""


class Pictures(Callback):
    """Draws image, truth, prediction and α side by side, for images spread evenly over the validation split.

    Args:
        count: number of images; 0 draws nothing.

    Raises:
        InputError: if ``count`` is negative.
    """

    def __init__(self, count: int) -> None:
        expect_at_least(0, callbacks__pictures=count)
        self.count = count
        self.complexity: list[tuple[Tensor, Tensor]] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Evaluated, batch: Batch, *_: object
    ) -> None:
        self.complexity.append((outputs.outputs.complexity.float(), outputs.targets.complexity))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        complexity, self.complexity = self.complexity, []
        writer = trainer.logger.experiment if isinstance(trainer.logger, TensorBoardLogger) else None
        if self.count == 0 or writer is None or not trainer.is_global_zero:
            return
        step = trainer.global_step
        predicted, true = (torch.cat(values).cpu().numpy() for values in zip(*complexity, strict=True))
        writer.add_figure("complexity", complexity_figure(predicted, true), step)
        source = trainer.datamodule.val_source
        for number, index in enumerate(
            np.linspace(0, len(source) - 1, min(self.count, len(source))).round().astype(int)
        ):
            batch = collate([source.read(int(index))]).to(pl_module.device)
            with torch.no_grad():
                outputs = pl_module.network(batch.images)
            prediction = pl_module.codec.decode(outputs, batch.sizes[0])
            image = batch.images[0].permute(1, 2, 0).cpu().numpy()
            panels = [
                image,
                overlay(image, batch.segments.to("cpu").unstack()[0], pl_module.codec.labels),
                overlay(image, prediction.to("cpu").unstack()[0], pl_module.codec.labels),
                alpha_picture(outputs.alpha[0].float().cpu(), batch.sizes[0]),
            ]
            writer.add_image(f"validation/{number}", side_by_side(panels), step, dataformats="HWC")


def alpha_picture(alpha: Float[Tensor, L * place], size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Fusion weights as a picture of the given size: red is the fine level, green the middle, blue the coarse.

    Weights of a place are mixed into its color; weights of the image are bands whose heights are the weights.
    """
    height, width = size
    if alpha.ndim == 3:
        weights = F.interpolate(alpha[None], size=size, mode="bilinear", align_corners=False)[0]
        mixed = np.einsum("lhw,lc->hwc", weights.numpy(), LEVEL_COLORS[: len(alpha)])
        return mixed.round().clip(0, 255).astype(np.uint8)
    ends = (alpha.cumsum(0) * height).round().int().numpy()
    level = np.searchsorted(ends, np.arange(height), side="right").clip(max=len(alpha) - 1)
    return np.repeat(LEVEL_COLORS[level].astype(np.uint8)[:, None], width, axis=1)


def side_by_side(panels: list[UInt8[np.ndarray, "H _ 3"]]) -> UInt8[np.ndarray, "H W 3"]:
    """Panels of one height in a row, with a thin white line between."""
    line = np.full((panels[0].shape[0], 4, 3), 255, dtype=np.uint8)
    row = [part for panel in panels for part in (panel, line)][:-1]
    return np.concatenate(row, axis=1)


def complexity_figure(predicted: Float[np.ndarray, "n 2"], true: Float[np.ndarray, "n 2"]):
    """A scatter plot of each of the two complexity numbers, predicted against true, with the diagonal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    for i, (axes, name) in enumerate(zip(figure.subplots(1, 2), COMPLEXITY_NAMES, strict=True)):
        top = max(float(predicted[:, i].max()), float(true[:, i].max()), 1e-3)
        axes.plot([0, top], [0, top], color="0.7", linewidth=1)
        axes.scatter(true[:, i], predicted[:, i], s=8)
        axes.set(title=name.replace("_", " "), xlabel="true", ylabel="predicted")
    return figure
