"""TensorBoard pictures: predictions for fixed validation images, and plots of complexity and fusion weights."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from panoptic.data.batch import collate
from panoptic.data.sample import Unreadable
from panoptic.errors import expect_at_least
from panoptic.training.module import Evaluated, PanopticModule
from panoptic.visualization.overlay import alpha_picture, overlay, side_by_side
from panoptic.visualization.plots import alpha_figure, complexity_figure


class Pictures(Callback):
    """Callback that draws image, ground truth, prediction and α side by side after each validation.

    The images are spread evenly over the validation split. It also plots predicted against true complexity, and α
    against true complexity.

    Args:
        count: Number of images; 0 draws nothing.

    Raises:
        InputError: If ``count`` is negative.
    """

    def __init__(self, count: int) -> None:
        expect_at_least(0, callbacks__pictures=count)
        self.count = count
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

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
        """Write the pictures and plots to TensorBoard."""
        seen, self.seen = self.seen, []
        writer = trainer.logger.experiment if isinstance(trainer.logger, TensorBoardLogger) else None
        if self.count == 0 or writer is None or not trainer.is_global_zero:
            return
        step = max(trainer.global_step - 1, 0)  # the step of the scores: steps are counted from 0
        predicted, true, alpha = (torch.cat(values).cpu().numpy() for values in zip(*seen, strict=True))
        writer.add_figure("complexity", complexity_figure(predicted, true), step)
        writer.add_figure("alpha", alpha_figure(alpha, true), step)
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
            image = batch.images[0].permute(1, 2, 0).cpu().numpy()
            panels = [
                image,
                overlay(image, batch.segments.to("cpu").unstack()[0], module.codec.labels),
                overlay(image, prediction.to("cpu").unstack()[0], module.codec.labels),
                alpha_picture(outputs.alpha[0].float().cpu(), batch.sizes[0]),
            ]
            writer.add_image(f"validation/{number}", side_by_side(panels), step, dataformats="HWC")
