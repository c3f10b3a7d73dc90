"""Pictures in the dashboard: the training input, predictions for fixed validation images, and plots."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from panoptic.data.batch import Batch, collate
from panoptic.data.sample import Unreadable
from panoptic.errors import expect_at_least
from panoptic.labels import LabelSpace
from panoptic.training.dashboard import log_picture, takes_pictures
from panoptic.training.module import Evaluated, PanopticModule
from panoptic.utils.pictures import shown_bands
from panoptic.visualization.overlay import alpha_picture, overlay, side_by_side, stacked, with_hatched_padding
from panoptic.visualization.plots import alpha_figure, complexity_figure, figure_picture


class Pictures(Callback):
    """Callback that draws image, ground truth, prediction and α side by side after each validation.

    The images are spread evenly over the validation split. It also plots predicted against true complexity, and α
    against true complexity. The first picture of a run is of its first batch, as the network gets it.

    Args:
        count: Number of images, of the first batch too; 0 draws nothing.

    Raises:
        InputError: If ``count`` is negative.
    """

    def __init__(self, count: int) -> None:
        expect_at_least(0, callbacks__pictures=count)
        self.count = count
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Draw the batch, if it is the first of the run: after its step, whose duration is not measured."""
        is_first = trainer.current_epoch == 0 and batch_idx == 0
        if self.count and is_first and trainer.is_global_zero and takes_pictures(trainer.logger):
            picture = input_picture(batch, cast(PanopticModule, pl_module).codec.labels, self.count)
            log_picture(trainer.logger, "train/input", picture, 0)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the complexity and α of the batch."""
        evaluated = cast(Evaluated, outputs)
        predicted, true = evaluated.outputs, evaluated.targets
        self.seen.append((predicted.complexity.float(), true.complexity, predicted.alpha_of_image.float()))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the pictures and plots to the dashboard."""
        seen, self.seen = self.seen, []
        if self.count == 0 or not takes_pictures(trainer.logger) or not trainer.is_global_zero:
            return
        step = max(trainer.global_step - 1, 0)  # the step of the scores: steps are counted from 0
        predicted, true, alpha = (torch.cat(values).cpu().numpy() for values in zip(*seen, strict=True))
        log_picture(trainer.logger, "complexity", figure_picture(complexity_figure(predicted, true)), step)
        log_picture(trainer.logger, "alpha", figure_picture(alpha_figure(alpha, true)), step)
        module = cast(PanopticModule, pl_module)
        dataset = cast(Any, trainer).datamodule.evaluation_dataset("val")  # Trainer does not declare the attribute
        for number, index in enumerate(
            np.linspace(0, len(dataset) - 1, min(self.count, len(dataset))).round().astype(int)
        ):
            sample = dataset[int(index)]
            if isinstance(sample, Unreadable):
                continue
            batch = collate([sample]).to(module.device)
            assert batch.segments is not None  # splits for validation have ground truth
            with torch.no_grad():
                outputs = module.network(batch.images)
            prediction = module.codec.decode(outputs, batch.sizes[0])
            image = shown_bands(batch.images[0].permute(1, 2, 0).cpu().numpy())
            panels = [
                image,
                overlay(image, batch.segments.to("cpu").unstack()[0], module.codec.labels),
                overlay(image, prediction.to("cpu").unstack()[0], module.codec.labels),
                alpha_picture(outputs.alpha[0].float().cpu(), batch.sizes[0]),
            ]
            log_picture(trainer.logger, f"validation/{number}", side_by_side(panels), step)


def input_picture(batch: Batch, labels: LabelSpace, count: int) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the first images of a batch in a column, each beside itself with its segments, and with padding hatched.

    Args:
        batch: Images with their ground truth.
        labels: Label space of the segments.
        count: Largest number of images.
    """
    assert batch.segments is not None  # the training data set refuses images without ground truth
    images = map(shown_bands, batch.images[:count].permute(0, 2, 3, 1).cpu().numpy())
    rows = []
    for image, segments, size in zip(images, batch.segments.to("cpu").unstack(), batch.sizes, strict=False):
        panels = [image, overlay(image, segments, labels)]
        rows.append(side_by_side([with_hatched_padding(panel, size) for panel in panels]))
    return stacked(rows)
