"""The curriculum: training samples get harder in stages."""

from __future__ import annotations

import warnings
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from panoptic.errors import InputError, expect_at_least


class Curriculum(Callback):
    """Raises the strength of augmentation, and the complexity of synthetic scenes, stage by stage.

    Strength rises evenly from ``start`` in the first stage to 1 in the last, which goes on to the end of training. A
    single stage is full strength from the start. The stage is a function of the epoch alone, so that a resumed run
    goes on in the stage that an unbroken one would be in.

    Args:
        stages: K.
        epochs_per_stage: of every stage but the last.
        start: strength of the first of several stages, 0..1.

    Raises:
        InputError: if one of the first two is below 1, or ``start`` is not in 0..1.
    """

    def __init__(self, stages: int, epochs_per_stage: int, start: float = 0.0) -> None:
        expect_at_least(1, curriculum__stages=stages, curriculum__epochs_per_stage=epochs_per_stage)
        if not 0 <= start <= 1:
            raise InputError(f"curriculum.start: expected a number in 0..1, got {start}")
        self.stages = stages
        self.epochs_per_stage = epochs_per_stage
        self.start = start

    def stage(self, epoch: int) -> int:
        """Stage of an epoch, from 0."""
        return min(epoch // self.epochs_per_stage, self.stages - 1)

    def strength(self, epoch: int) -> float:
        """Position in the curriculum at an epoch, 0..1."""
        if self.stages == 1:
            return 1.0
        return self.start + (1 - self.start) * self.stage(epoch) / (self.stages - 1)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        trainer.datamodule.strength = self.strength

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch
        values = {"curriculum/stage": float(self.stage(epoch) + 1), "curriculum/strength": self.strength(epoch)}
        pl_module.log_dict(values, on_epoch=True, on_step=False, sync_dist=True)

    def state_dict(self) -> dict[str, Any]:
        return {"stages": self.stages, "epochs_per_stage": self.epochs_per_stage, "start": self.start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict != self.state_dict():
            warnings.warn(
                f"curriculum: the checkpoint was trained with {state_dict}, this run goes on with {self.state_dict()}",
                stacklevel=2,
            )
