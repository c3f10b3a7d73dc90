"""What went wrong with each segment that panoptic quality counts as missed or false.

The kinds follow TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020),
which tells errors of class and of localization from background and missed objects by the best overlap, above 0.5 or
above 0.1. Segments of an image do not overlap, so duplicates take another form: what belongs together is split, and
what belongs apart is merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from panoptic.metrics.functional.overlap import Intersections, as_batch, intersections
from panoptic.metrics.functional.panoptic_quality import outcomes_of_pairs, union_of_pairs
from panoptic.metrics.functional.summation import sum_by_class
from panoptic.segments import Segments

MISSED_KINDS = ("wrong_class", "merged", "split", "poor_shape", "missed")
"""Kinds of false negatives, in the order in which they are tried."""

FALSE_KINDS = ("wrong_class", "merged", "split", "poor_shape", "false")
"""Kinds of false positives, in the order in which they are tried."""


class ErrorCounts(NamedTuple):
    """Number of errors per class and kind; the counts of disjoint sets of images add up.

    Attributes:
        fn: False negatives, by :data:`MISSED_KINDS`; they sum up to those of panoptic quality.
        fp: False positives, by :data:`FALSE_KINDS`; the same.
    """

    fn: Int64[Tensor, "*B C 5"]
    fp: Int64[Tensor, "*B C 5"]

    def total(self) -> ErrorCounts:
        """Sum the counts over the images of a batch."""
        return ErrorCounts(self.fn.sum(0), self.fp.sum(0))


class SegmentErrors(NamedTuple):
    """What went wrong with each segment, for each row of the tables.

    Attributes:
        missed: Position in :data:`MISSED_KINDS` of each true segment that is a false negative; -1 for others.
        false: Position in :data:`FALSE_KINDS` of each predicted segment that is a false positive; -1 for others.
    """

    missed: Int64[Tensor, "B M"]
    false: Int64[Tensor, "B N"]


def error_counts(prediction: Segments, target: Segments, num_classes: int) -> ErrorCounts:
    """Count what went wrong with true segments that are missed and with predicted ones that are false, for each image.

    Which these are is up to :func:`~panoptic.metrics.functional.panoptic_counts`. True segments are compared with
    without crowd, and IoU excludes the target's void. The first kind that applies counts:

    - ``wrong_class``: its IoU with a segment of another class is above 0.5.
    - ``merged``: a predicted segment covers more than half of each of two or more true segments of its class. The kind
      of these true segments, if they are missed, and of the predicted one, if it is false.
    - ``split``: two or more predicted segments of its class are pieces of the true segment. A piece has more than half
      of its area (without void) on it and covers at least a tenth of it. A predicted segment has this kind if more than
      half of it lies on a true segment of its class that has another piece.
    - ``poor_shape``: its IoU with a segment of its class is at least 0.1.
    - ``missed`` or ``false``: none of these.

    Args:
        prediction: Predicted segments of one image or a batch.
        target: True segments of the same size.
        num_classes: Number of classes C.

    Returns:
        Counts ``[B C 5]``; B is 1 for one image.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    return errors_from_intersections(intersections(prediction, target), prediction, target, num_classes)


def segment_errors(prediction: Segments, target: Segments) -> SegmentErrors:
    """Return what :func:`error_counts` counts for each segment.

    Args:
        prediction: Predicted segments of one image or a batch.
        target: True segments of the same size.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    return _errors_of_segments(intersections(prediction, target), prediction, target)


def errors_from_intersections(
    shared: Intersections, prediction: Segments, target: Segments, num_classes: int
) -> ErrorCounts:
    """Compute :func:`error_counts` of a batch from its :func:`~panoptic.metrics.functional.intersections`."""
    errors = _errors_of_segments(shared, prediction, target)
    return ErrorCounts(
        _count(errors.missed, target.classes, num_classes, len(MISSED_KINDS)),
        _count(errors.false, prediction.classes, num_classes, len(FALSE_KINDS)),
    )


def _errors_of_segments(shared: Intersections, prediction: Segments, target: Segments) -> SegmentErrors:
    union = union_of_pairs(shared)
    overlaps = 2 * shared.pixels > union
    outcomes, _ = outcomes_of_pairs(shared, overlaps, prediction, target)

    true_class, predicted_class = shared.of_true(target.classes, -1), shared.of_predicted(prediction.classes, -1)
    counted = (true_class >= 0) & (predicted_class >= 0) & ~shared.of_true(target.crowd, 0)
    same = counted & (true_class == predicted_class)
    wrong_class = counted & ~same & overlaps

    off_void = shared.per_predicted(torch.where(shared.on_void, 0, shared.pixels))[:, 1:]
    true_area, predicted_area = shared.of_true(shared.true_areas, 0), shared.of_predicted(off_void, 0)
    covers = same & (2 * shared.pixels > true_area)
    lies_on = same & (2 * shared.pixels > predicted_area)
    is_piece = lies_on & (10 * shared.pixels >= true_area)

    is_merging = _per_predicted(shared, covers) >= 2
    is_merged = covers & shared.of_predicted(is_merging, 0)
    pieces = _per_true(shared, is_piece)
    other_pieces = shared.of_true(pieces, 0) - is_piece.long()
    is_poor = same & (10 * shared.pixels >= union)

    missed = (
        _per_true(shared, wrong_class) > 0,
        _per_true(shared, is_merged) > 0,
        pieces >= 2,
        _per_true(shared, is_poor) > 0,
    )
    false = (
        _per_predicted(shared, wrong_class) > 0,
        is_merging,
        _per_predicted(shared, lies_on & (other_pieces > 0)) > 0,
        _per_predicted(shared, is_poor) > 0,
    )
    return SegmentErrors(_first_kind(outcomes.is_missed, missed), _first_kind(outcomes.is_false, false))


def _per_true(shared: Intersections, pairs: Bool[Tensor, " K"]) -> Int64[Tensor, "B T"]:
    """Count the pairs of each true segment."""
    return shared.per_true(pairs.long())[:, 1:]


def _per_predicted(shared: Intersections, pairs: Bool[Tensor, " K"]) -> Int64[Tensor, "B P"]:
    """Count the pairs of each predicted segment."""
    return shared.per_predicted(pairs.long())[:, 1:]


def _first_kind(left: Bool[Tensor, "B N"], kinds: Sequence[Bool[Tensor, "B N"]]) -> Int64[Tensor, "B N"]:
    """Return the first kind that applies to each segment that is left, the last if none does, and -1 for others."""
    kind = torch.where(left, len(kinds), -1)
    for number, applies in reversed(list(enumerate(kinds))):
        kind = torch.where(left & applies, number, kind)
    return kind


def _count(
    kind: Int64[Tensor, "B N"], classes: Int64[Tensor, "B N"], num_classes: int, kinds: int
) -> Int64[Tensor, "B C kinds"]:
    """Count the segments of each class and kind."""
    bins = torch.where(kind < 0, -1, classes * kinds + kind)
    return sum_by_class(kind >= 0, bins, num_classes * kinds).unflatten(1, (num_classes, kinds))
