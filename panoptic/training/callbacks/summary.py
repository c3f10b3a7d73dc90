"""Summary of a run: configuration, duration, speed and scores."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from panoptic import __version__
from panoptic.config.keys import leaves
from panoptic.metrics.display import narrow_remark
from panoptic.training.callbacks.checkpoints import Checkpoints
from panoptic.training.callbacks.finite import Finite
from panoptic.training.callbacks.patience import Patience
from panoptic.training.callbacks.throughput import Throughput
from panoptic.training.dashboard import begin, log_summary
from panoptic.utils.files import write_json


class Summary(Callback):
    """Callback that writes ``summary.json`` after training, and hyperparameters and final scores to the dashboard.

    Args:
        folder: Folder of the run.
        record: Record that is stored in checkpoints.
        checkpoints: Callback that keeps the checkpoints and their scores.
        throughput: Callback that measures speed.
        finite: Callback that counts skipped steps.
        patience: Callback that may end the run early.
    """

    def __init__(
        self,
        folder: Path,
        record: Mapping[str, Any],
        checkpoints: Checkpoints,
        throughput: Throughput,
        finite: Finite,
        patience: Patience | None = None,
    ) -> None:
        self.folder = folder
        self.record = record
        self.checkpoints = checkpoints
        self.throughput = throughput
        self.finite = finite
        self.patience = patience
        self.started = 0.0
        self.seconds_before = 0.0
        self.device = ""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, note the device and begin the dashboard."""
        self.started = time.monotonic()
        self.device = str(pl_module.device)  # Lightning moves the module to the CPU before on_fit_end
        if trainer.is_global_zero:
            begin(trainer.logger, self.folder, _flat(self.record["config"]))

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds spent."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seconds spent before."""
        self.seconds_before = float(state_dict["seconds"])

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.started

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the summary."""
        if not trainer.is_global_zero:
            return
        last = self.checkpoints.last_scores
        summary = {
            "name": self.record["config"]["name"],
            "seed": self.record["config"]["seed"],
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            "skipped_steps": self.finite.skipped,
            "left_out": _left_out(trainer),
            "stopped_early": None if self.patience is None else self.patience.reason,
            "seconds": round(self._seconds(), 1),
            "training": self.throughput.total.speed() | {"first_step_at": self.throughput.first_step_at},
            "best": self.checkpoints.best_scores,
            "last": last,
            "boundary_remark": narrow_remark({name.removeprefix("val/"): value for name, value in last.items()}),
            "best_checkpoint": self.checkpoints.best_checkpoint(),
            "parameters": sum(p.numel() for p in cast(nn.Module, pl_module.network).parameters()),
            "backbone_weights": self.record["backbone_weights"],
            "started_from": self.record["started_from"],
            "device": self.device,
            "precision": str(trainer.precision),
            "versions": {
                "panoptic": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
                "generator": self.record["config"]["data"].get("generator", 1),  # of the synthetic scenes
            },
            "config": self.record["config"],
        }
        write_json(self.folder / "summary.json", summary)
        metrics = {f"final/{name.removeprefix('val/')}": last[name] for name in HEADLINE if name in last}
        # At the last step, so that those of a run that goes on are taken out with all that follows its step.
        log_summary(trainer.logger, _flat(self.record["config"]), metrics, trainer.global_step)


HEADLINE = (
    "val/pq",
    "val/sq",
    "val/rq",
    "val/pq_things",
    "val/pq_stuff",
    "val/boundary_pq",
    "val/boundary_f1",
    "val/mean_iou",
    "val/loss",
)
"""Scores shown with the hyperparameters."""


def _left_out(trainer: Trainer) -> dict[str, list[str]]:
    """Return why images of the splits could not be read; empty if all could."""
    found = cast(Any, trainer).datamodule.left_out
    return {split: list(left_out.reasons.values()) for split, left_out in found.items() if left_out.reasons}


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a configuration to dotted keys; a node with a ``_target_`` has its class name as value."""
    flat: dict[str, Any] = {}
    for key, value in leaves(config):
        node, _, name = key.rpartition(".")
        if name == "_target_":
            flat[node] = str(value).rpartition(".")[2]
        elif not name.startswith("_"):
            flat[key] = value
    return flat
