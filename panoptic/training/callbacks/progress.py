"""Progress output: a bar on terminals, and a plain line per epoch that also suits log files."""

from __future__ import annotations

import sys
import time

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar


class EpochLines(Callback):
    """Callback that prints a line after each epoch, with its losses and scores.

    Validation scores are printed only if there was a validation in the epoch.
    """

    def __init__(self) -> None:
        self.started = 0.0
        self.validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, for a run that goes on within an epoch."""
        self.started = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self.started = time.monotonic()
        self.validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Include validation scores in the epoch's line."""
        self.validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line."""
        metrics = trainer.callback_metrics  # in all processes, which then compute them together
        if not trainer.is_global_zero:
            return
        line = [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"]
        if "curriculum/stage" in metrics:
            line.append(f"stage {int(metrics['curriculum/stage'])}")
        for key, name in SHOWN.items():
            if key in metrics and (self.validated or key.startswith("train/")):
                line.append(f"{name} {float(metrics[key]):.4f}")
        print(", ".join([*line, f"{time.monotonic() - self.started:.1f} s"]), flush=True)


SHOWN = {"train/loss": "loss", "val/loss": "val loss", "val/pq": "PQ", "val/boundary_f1": "boundary F1"}
"""Printed names of metrics, by the name that they are logged under."""


def progress_callbacks() -> list[Callback]:
    """Create :class:`EpochLines`, and a progress bar if the output is a terminal."""
    bars: list[ProgressBar] = [RichProgressBar(leave=False)] if sys.stdout.isatty() else []
    return [*bars, EpochLines()]
