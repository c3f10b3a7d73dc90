"""Checkpoints of a run: the last state, and the one with the best score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from panoptic.errors import NonFiniteError

MONITORED = "val/pq"


class Checkpoints(Checkpoint):
    """Callback that saves ``last.ckpt`` after each epoch, and ``best.ckpt`` after each validation with the highest PQ.

    ``best.ckpt`` contains the scores it was chosen for, so that a resumed run goes on to compare with them.

    Args:
        folder: Folder of the run.
        best_scores: Scores of the ``best.ckpt`` that is in the folder; empty without one.

    Attributes:
        best_scores: Scores of ``best.ckpt``, with their ``epoch``.
        last_scores: Scores of the last validation.
        has_stepped: Whether a step has ended, and with it all of the state of a checkpoint was of use.
    """

    def __init__(self, folder: Path, best_scores: Mapping[str, float] | None = None) -> None:
        self.folder = folder / "checkpoints"
        self.best_scores = dict(best_scores or {})
        self.last_scores: dict[str, float] = {}
        self.has_stepped = False
        self._random_state: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the scores."""
        return {"best_scores": self.best_scores, "last_scores": self.last_scores}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the last scores; the best are those of the file in the folder."""
        self.last_scores = dict(state_dict["last_scores"])

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the state of the random number generators."""
        cuda = torch.cuda.get_rng_state_all() if pl_module.device.type == "cuda" else []
        checkpoint["random_state"] = {"cpu": torch.get_rng_state(), "cuda": cuda}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the state of the random number generators until training begins."""
        self._random_state = checkpoint.get("random_state")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the state of the random number generators, which is that of the first process."""
        state, self._random_state = self._random_state, None
        if state is not None and trainer.world_size == 1:
            torch.set_rng_state(state["cpu"].cpu())
            if pl_module.device.type == "cuda" and len(state["cuda"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all([value.cpu() for value in state["cuda"]])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note that a step has ended."""
        self.has_stepped = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best checkpoint if PQ is higher than ever before."""
        self.last_scores = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(("val/", "complexity/"))
        }
        score = self.last_scores.get(MONITORED, math.nan)
        if score > self.best_scores.get(MONITORED, -math.inf):  # false for NaN
            self.best_scores = {**self.last_scores, "epoch": trainer.current_epoch + 1}
            self._save(trainer, "best")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the last checkpoint."""
        self.save_last(trainer)

    def save_last(self, trainer: Trainer) -> None:
        """Save the last checkpoint."""
        self._save(trainer, "last")

    def best_checkpoint(self) -> str | None:
        """Return the name of the best checkpoint; ``None`` before the first validation."""
        return "best.ckpt" if self.best_scores else None

    def _save(self, trainer: Trainer, name: str) -> None:
        module = trainer.lightning_module
        for key, value in module.state_dict().items():  # nothing is kept that no score can be computed with
            if value.is_floating_point() and not bool(value.isfinite().all()):
                raise NonFiniteError(
                    f"{key.removeprefix('network.')}: expected finite weights, got others in epoch "
                    f"{trainer.current_epoch + 1}, step {trainer.global_step}; a lower optimizer.lr may help. "
                    f"{self.folder / name}.ckpt is as before"
                )
        trainer.save_checkpoint(self.folder / f"{name}.ckpt")
