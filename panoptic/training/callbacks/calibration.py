"""Calibration of scores at each validation, kept in the checkpoints that are saved after it."""

from __future__ import annotations

from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from panoptic.data.batch import Batch
from panoptic.metrics.functional import fit_platt, scored_segments
from panoptic.training.module import Evaluated, PanopticModule


class Calibration(Callback):
    """Callback that fits a map of scores to outcomes, for things and for stuff.

    Of several processes, each fits the map to its own images, and the first one's is kept.
    """

    def __init__(self) -> None:
        self._scores: list[Tensor] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the scores of the validation before."""
        self._scores = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep score, outcome and kind of each segment, on its device."""
        assert isinstance(outputs, Evaluated)
        assert isinstance(pl_module, PanopticModule)
        prediction = outputs.prediction
        if batch.segments is None or prediction.scores is None:
            return
        found = scored_segments(prediction, batch.segments, pl_module.codec.labels.is_thing)
        self._scores.append(torch.stack([column.float() for column in found]))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Fit, and put the result into the record of the checkpoints to come."""
        if not self._scores:
            return
        scores, correct, is_thing = torch.cat(self._scores, dim=1).cpu().unbind()
        cast(PanopticModule, pl_module).record["calibration"] = {
            kind: dict(fit_platt(scores[chosen], correct[chosen] > 0)._asdict())
            for kind, chosen in (("things", is_thing > 0), ("stuff", is_thing == 0))
        }
        self._scores = []
