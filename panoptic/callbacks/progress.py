"""Progress: bars on a terminal, and a plain line an epoch, which is all that a log file gets."""

from __future__ import annotations

import sys
import time

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar


class EpochLines(Callback):
    """Prints one line after each validation: where training is, and how it does."""

    def __init__(self) -> None:
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        shown = (("train/loss", "loss"), ("val/loss", "val loss"), ("val/pq", "PQ"), ("val/boundary_f1", "boundary F1"))
        values = [
            f"{name} {float(trainer.callback_metrics[key]):.4f}"
            for key, name in shown
            if key in trainer.callback_metrics
        ]
        stage = (
            f"stage {int(trainer.callback_metrics['curriculum/stage'])}"
            if "curriculum/stage" in trainer.callback_metrics
            else ""
        )
        seconds = f"{time.monotonic() - self.started:.1f} s"
        print(
            ", ".join(
                filter(None, [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", stage, *values, seconds])
            ),
            flush=True,
        )


def progress_callbacks() -> list[Callback]:
    """A bar if there is a terminal to draw it on, and the lines."""
    bars: list[ProgressBar] = [RichProgressBar(leave=False)] if sys.stdout.isatty() else []
    return [*bars, EpochLines()]
