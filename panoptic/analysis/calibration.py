"""Whether scores of segments mean what they say: outcomes by score, over the images of a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from panoptic.analysis.sinks import PredictedBatch, Sink
from panoptic.labels import LabelSpace
from panoptic.metrics.functional import Reliability, reliability, scored_segments
from panoptic.visualization.plots import reliability_figure, save_figure


class ScoreOutcomes(Sink):
    """Gathers score, outcome and kind of each predicted segment that counts.

    Args:
        labels: Label space.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        self._columns: list[Tensor] = []

    def add(self, batch: PredictedBatch) -> None:
        """Take in a batch."""
        predicted = batch.predicted
        if batch.truth is None or predicted.scores is None:
            return
        found = scored_segments(predicted, batch.truth, self.labels.is_thing)
        self._columns.append(torch.stack([column.cpu().double() for column in found]))

    def reliability(self) -> dict[str, Reliability]:
        """Return outcomes by score, of things and of stuff; none of a kind without segments."""
        if not self._columns:
            return {}
        scores, correct, is_thing = torch.cat(self._columns, dim=1).unbind()
        kinds = {"things": is_thing > 0, "stuff": is_thing == 0}
        return {
            kind: reliability(scores[chosen], correct[chosen] > 0) for kind, chosen in kinds.items() if chosen.any()
        }

    def write(self, folder: Path) -> dict[str, Any]:
        """Draw ``reliability.png``, and return the numbers as plain containers."""
        found = self.reliability()
        if found:
            save_figure(reliability_figure(found), folder / "reliability.png")
        return {
            kind: {
                "ece": of_kind.ece,
                "segments": of_kind.segments.tolist(),
                "score": of_kind.confidence.tolist(),
                "correct": of_kind.accuracy.tolist(),
            }
            for kind, of_kind in found.items()
        }
