"""Curriculum: training samples of increasing difficulty."""

from __future__ import annotations

from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer

from panoptic.errors import InputError, expect_at_least


class Curriculum(Callback):
    """Callback that increases augmentation strength and the complexity of synthetic scenes in stages.

    The strength rises linearly over the stages, from ``start`` in the first to 1 in the last, which lasts until the end
    of training. A single stage has full strength. The stage depends on the epoch only, so a resumed run is in the same
    stage as an uninterrupted one.

    Args:
        stages: Number of stages.
        epochs_per_stage: Number of epochs of every stage but the last.
        start: Strength of the first of several stages, 0..1.

    Raises:
        InputError: If ``stages`` or ``epochs_per_stage`` is below 1, or ``start`` is not in 0..1.
    """

    def __init__(self, stages: int, epochs_per_stage: int, start: float = 0.0) -> None:
        expect_at_least(1, stages=stages, epochs_per_stage=epochs_per_stage)
        if not 0 <= start <= 1:
            raise InputError(f"curriculum.start: expected a number in 0..1, got {start}")
        self.stages = stages
        self.epochs_per_stage = epochs_per_stage
        self.start = start

    def stage(self, epoch: int) -> int:
        """Return the stage of an epoch, counted from 0."""
        return min(epoch // self.epochs_per_stage, self.stages - 1)

    def strength(self, epoch: int) -> float:
        """Return the strength at an epoch, 0..1."""
        if self.stages == 1:
            return 1.0
        return self.start + (1 - self.start) * self.stage(epoch) / (self.stages - 1)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Pass the strength to the data module."""
        cast(Any, trainer).datamodule.strength = self.strength  # Trainer does not declare the attribute

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log stage, counted from 1, and strength."""
        epoch = trainer.current_epoch
        values = {"curriculum/stage": float(self.stage(epoch) + 1), "curriculum/strength": self.strength(epoch)}
        pl_module.log_dict(values, on_epoch=True, on_step=False, sync_dist=True)
