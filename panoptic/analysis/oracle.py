"""Where the error is: what a network would score if one of the things it says were true.

The truth of each part (classes, centers, offsets) is put in the place of the prediction, one at a time and together,
and decoded as ever. The difference to what was predicted says what that part costs; what is lacking with all of them
true is what the codec costs.
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
"""Which parts of the outputs are the truth's, by what a row of the table is called."""

SCORES = {"pq": "PQ", "sq": "SQ", "rq": "RQ", "pq_things": "PQ things", "pq_stuff": "PQ stuff"}
"""What is told of a variant, with its name in a table."""


class Oracle:
    """Panoptic quality of every variant, batch by batch.

    Args:
        codec: of the network.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.quality = {name: PanopticQuality(codec.labels) for name in VARIANTS}

    def to(self, device: torch.device) -> Oracle:
        """Moves the counts to a device."""
        for metric in self.quality.values():
            metric.to(device)
        return self

    def add(self, outputs: Outputs, target: Segments, sizes: Sequence[tuple[int, int]] | None = None) -> None:
        """Decodes and scores a batch in all variants.

        Args:
            outputs: of the network.
            target: the truth, on the same device.
            sizes: height and width of each image before padding.
        """
        truth = self.codec.encode(target).as_outputs(self.codec.labels.num_classes)
        for name, parts in VARIANTS.items():
            mixed = outputs._replace(**{part: getattr(truth, part) for part in parts})
            self.quality[name].update(self.codec.decode(mixed, target.size), target, sizes=sizes)

    def result(self) -> dict[str, dict[str, float]]:
        """PQ, SQ, RQ, and PQ of things and of stuff by variant; 0 where there is nothing to score."""
        scores = {name: metric.compute() for name, metric in self.quality.items()}
        return {name: {score: float(values[score]) for score in SCORES} for name, values in scores.items()}

    def rows(self) -> dict[str, dict[str, float]]:
        """The same under the names that tables have."""
        return {
            name: {SCORES[score]: value for score, value in values.items()} for name, values in self.result().items()
        }
