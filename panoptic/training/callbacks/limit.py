"""Images that hold more things than are looked for: the run says so, once."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from panoptic.training.module import Evaluated


class ThingLimit(Callback):
    """Callback that compares the number of things in validation images with ``codec.max_things``.

    Args:
        limit: Maximum number of things that decoding finds in an image.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.is_told = False
        self._most: Tensor | None = None

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the things of each image, on its device."""
        if self.is_told:
            return
        assert isinstance(outputs, Evaluated)
        most = outputs.targets.complexity_cells[:, 0].sum((1, 2)).max()
        self._most = most if self._most is None else torch.maximum(self._most, most)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how many there are if they exceed the limit."""
        if self.is_told or self._most is None:
            return
        most = int(trainer.strategy.reduce(self._most, reduce_op="max"))
        if most > self.limit:
            self.is_told = True
            if trainer.is_global_zero:
                print(
                    f"note: a validation image holds {most} things, and codec.max_things={self.limit} finds no more "
                    f"than {self.limit} in an image; a run with codec.max_things={2 * most} finds them",
                    flush=True,
                )
