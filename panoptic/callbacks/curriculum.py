"""The curriculum: training samples get harder in stages."""

from __future__ import annotations

import warnings
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from panoptic.errors import expect_at_least


class Curriculum(Callback):
    """Raises the strength of augmentation, and the complexity of synthetic scenes, stage by stage.

    Stage ``k`` of ``K`` (from 0) has strength ``k / (K - 1)``; the last goes on to the end of training. A single stage
    is full strength from the start. The stage is a function of the epoch alone, so that a resumed run goes on in the
    stage that an unbroken one would be in.

    Args:
        stages: K.
        epochs_per_stage: of every stage but the last.

    Raises:
        InputError: if either is below 1.
    """

    def __init__(self, stages: int, epochs_per_stage: int) -> None:
        expect_at_least(1, curriculum__stages=stages, curriculum__epochs_per_stage=epochs_per_stage)
        self.stages = stages
        self.epochs_per_stage = epochs_per_stage

    def stage(self, epoch: int) -> int:
        """Stage of an epoch, from 0."""
        return min(epoch // self.epochs_per_stage, self.stages - 1)

    def strength(self, epoch: int) -> float:
        """Position in the curriculum at an epoch, 0..1."""
        return self.stage(epoch) / (self.stages - 1) if self.stages > 1 else 1.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        trainer.datamodule.strength = self.strength

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch
        values = {"curriculum/stage": float(self.stage(epoch) + 1), "curriculum/strength": self.strength(epoch)}
        pl_module.log_dict(values, on_epoch=True, on_step=False)

    def state_dict(self) -> dict[str, Any]:
        return {"stages": self.stages, "epochs_per_stage": self.epochs_per_stage}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict != self.state_dict():
            warnings.warn(
                f"curriculum: the checkpoint was trained with {state_dict}, this run goes on with {self.state_dict()}",
                stacklevel=2,
            )
