"""Progress: bars on a terminal, and a plain line an epoch, which is all that a log file gets."""

from __future__ import annotations

import sys
import time

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar


class EpochLines(Callback):
    """Prints one line after each epoch: where training is, and how it does; the last validation if there was one."""

    def __init__(self) -> None:
        self.started = 0.0
        self.validated = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()
        self.validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = trainer.callback_metrics
        line = [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"]
        if "curriculum/stage" in metrics:
            line.append(f"stage {int(metrics['curriculum/stage'])}")
        for key, name in SHOWN.items():
            if key in metrics and (self.validated or key.startswith("train/")):
                line.append(f"{name} {float(metrics[key]):.4f}")
        print(", ".join([*line, f"{time.monotonic() - self.started:.1f} s"]), flush=True)


SHOWN = {"train/loss": "loss", "val/loss": "val loss", "val/pq": "PQ", "val/boundary_f1": "boundary F1"}
"""What a line shows, by the name it is logged under."""


def progress_callbacks() -> list[Callback]:
    """A bar if there is a terminal to draw it on, and the lines."""
    bars: list[ProgressBar] = [RichProgressBar(leave=False)] if sys.stdout.isatty() else []
    return [*bars, EpochLines()]
