"""Early stopping, by the score that the best checkpoint is chosen by."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from panoptic.training.callbacks.checkpoints import MONITORED
from panoptic.training.runs import record_event


class Patience(Callback):
    """Callback that ends a run after some validations without a new best PQ.

    Validations are counted from the middle of the schedule on: scores mostly rise while the learning rate falls, which
    half a cosine does most from there, and before it a plateau says little of the end.

    Args:
        folder: Folder of the run.
        patience: Number of validations without a higher PQ that end the run.

    Attributes:
        reason: Why the run was ended; ``None`` if it was not.
    """

    def __init__(self, folder: Path, patience: int) -> None:
        self.folder = folder
        self.patience = patience
        self.reason: str | None = None
        self._best, self._epoch, self._waited = -math.inf, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the best score, its epoch, and the validations since."""
        return {"best": self._best, "epoch": self._epoch, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, its epoch, and the validations since."""
        self._best, self._epoch, self._waited = (state_dict[name] for name in ("best", "epoch", "waited"))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the validation, and end the run if there were too many without a higher score."""
        score = float(trainer.callback_metrics.get(MONITORED, math.nan))
        if score > self._best:  # false for NaN
            self._best, self._epoch, self._waited = score, trainer.current_epoch + 1, 0
            return
        if trainer.global_step < trainer.estimated_stepping_batches / 2:
            return
        self._waited += 1
        if self._waited < max(self.patience, 1):
            return
        trainer.should_stop = True
        self.reason = (
            f"no validation PQ above {self._best:.4f} (epoch {self._epoch}) in {self._waited} validations, "
            f"callbacks.patience={self.patience}"
        )
        if trainer.is_global_zero:
            record_event(self.folder, "early_stop", epochs=trainer.current_epoch + 1, reason=self.reason)
            print(f"stopped early, after epoch {trainer.current_epoch + 1}: {self.reason}", flush=True)
