"""Pictures for the dashboard: a few fixed validation images as the network sees them; complexity, predicted against
true; and what α goes with."""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from panoptic.data.batch import Batch, collate
from panoptic.errors import expect_at_least
from panoptic.training.module import Evaluated
from panoptic.visualization.overlay import alpha_picture, overlay, side_by_side
from panoptic.visualization.plots import alpha_figure, complexity_figure


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
        self.seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Evaluated, batch: Batch, *_: object
    ) -> None:
        said = outputs.outputs
        self.seen.append((said.complexity.float(), outputs.targets.complexity, said.alpha_of_image.float()))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seen, self.seen = self.seen, []
        writer = trainer.logger.experiment if isinstance(trainer.logger, TensorBoardLogger) else None
        if self.count == 0 or writer is None or not trainer.is_global_zero:
            return
        step = trainer.global_step
        predicted, true, alpha = (torch.cat(values).cpu().numpy() for values in zip(*seen, strict=True))
        writer.add_figure("complexity", complexity_figure(predicted, true), step)
        writer.add_figure("alpha", alpha_figure(alpha, true), step)
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
