"""Oracle experiments: panoptic quality with parts of the network outputs replaced by the ground truth.

The parts (semantics, centers, offsets) are replaced one at a time and in combination, and decoded as usual. The
difference to the score of the prediction is the loss caused by that part; the difference to a perfect score with all
parts replaced is the loss caused by the codec.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from panoptic.codec import Codec, Outputs
from panoptic.metrics import PanopticQuality
from panoptic.segments import Segments

VARIANTS: dict[str, tuple[str, ...]] = {
    "as predicted": (),
    "true semantics": ("semantic",),
    "true centers": ("center",),
    "true offsets": ("offset",),
    "true centers and offsets": ("center", "offset"),
    "true semantics and centers": ("semantic", "center"),
    "true semantics and offsets": ("semantic", "offset"),
    "all true": ("semantic", "center", "offset"),
}
"""Parts of the outputs that are replaced by the ground truth, by name of the variant in tables."""

SCORES = {"pq": "PQ", "sq": "SQ", "rq": "RQ", "pq_things": "PQ things", "pq_stuff": "PQ stuff"}
"""Reported scores, with their names in tables."""


class Oracle:
    """Panoptic quality of every variant, accumulated over batches.

    Args:
        codec: Codec of the network.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.quality = {name: PanopticQuality(codec.labels) for name in VARIANTS}

    def to(self, device: torch.device) -> Oracle:
        """Move the accumulated counts to a device."""
        for metric in self.quality.values():
            metric.to(device)
        return self

    def add(self, outputs: Outputs, target: Segments, sizes: Sequence[tuple[int, int]] | None = None) -> None:
        """Decode and score a batch in all variants.

        Args:
            outputs: Network outputs for the batch.
            target: True segments, batched, on the same device.
            sizes: Height and width of each image before padding.
        """
        truth = self.codec.encode(target).as_outputs(self.codec.labels.num_classes)
        for name, parts in VARIANTS.items():
            mixed = outputs._replace(**{part: getattr(truth, part) for part in parts})
            self.quality[name].update(self.codec.decode(mixed, target.size), target, sizes=sizes)

    def result(self) -> dict[str, dict[str, float]]:
        """Compute PQ, SQ, RQ, PQ of things and PQ of stuff by variant; 0 where there is nothing to score."""
        scores = {name: metric.compute() for name, metric in self.quality.items()}
        return {name: {score: float(values[score]) for score in SCORES} for name, values in scores.items()}

    def rows(self) -> dict[str, dict[str, float]]:
        """Return the scores of :meth:`result` under their names in tables."""
        return {
            name: {SCORES[score]: value for score, value in values.items()} for name, values in self.result().items()
        }
