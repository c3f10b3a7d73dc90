"""Panoptic quality and Boundary PQ, from integer counts of matches, false positives and false negatives.

Panoptic quality follows Kirillov et al., "Panoptic Segmentation", CVPR 2019, with the rules of the official COCO and
Cityscapes evaluators. Boundary PQ follows Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation", CVPR 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from panoptic.complexity import thing_table
from panoptic.metrics.functional.overlap import (
    BoundaryIntersections,
    Intersections,
    as_batch,
    boundary_intersections,
    intersections,
)
from panoptic.metrics.functional.summation import exact_sum_by_class, sum_by_class, sum_of_images
from panoptic.segments import Segments
from panoptic.utils.precision import widest


class PanopticCounts(NamedTuple):
    """Counts per class for panoptic quality; the counts of disjoint sets of images add up.

    Attributes:
        iou_sum: Sum of the IoU of matched pairs.
        tp: Number of matched pairs.
        fp: Number of false positives, predicted segments without a match.
        fn: Number of false negatives, true segments without a match.
    """

    iou_sum: Float64[Tensor, "*B C"]
    tp: Int64[Tensor, "*B C"]
    fp: Int64[Tensor, "*B C"]
    fn: Int64[Tensor, "*B C"]

    def total(self) -> PanopticCounts:
        """Sum the counts over the images of a batch."""
        return PanopticCounts(sum_of_images(self.iou_sum), *(count.sum(0) for count in self[1:]))


def panoptic_counts(prediction: Segments, target: Segments, num_classes: int) -> PanopticCounts:
    """Match predicted to true segments and count the outcomes per class, for each image.

    - A pair matches if both segments have the same class and their IoU is strictly above 0.5, compared in integers. The
      union excludes the predicted segment's pixels that are void in the target. A segment has at most one match.
    - A true segment without a match is a false negative, even if nothing was predicted on its pixels.
    - Crowd segments never match and are never false negatives.
    - A predicted segment without a match is a false positive, unless strictly more than half of it lies on void and
      crowd of its class together. All crowd segments of the class count; ``panopticapi``, ``cityscapesscripts`` and
      ``hotcoco`` use the last one only, which gives the same result if a class has one crowd segment in an image.
    - Table rows without pixels are ignored, and so are ``crowd`` and ``scores`` of the prediction.

    Args:
        prediction: Predicted segments of one image or a batch.
        target: True segments of the same size. Padding is void and not counted.
        num_classes: Number of classes C.

    Returns:
        Counts ``[B C]``; B is 1 for one image.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    return counts_from_intersections(intersections(prediction, target), prediction, target, num_classes)


def boundary_panoptic_counts(
    prediction: Segments, target: Segments, num_classes: int, dilation_ratio: float
) -> PanopticCounts:
    """Compute :func:`panoptic_counts` with the smaller of mask IoU and boundary IoU instead of the mask IoU.

    Boundary IoU is the IoU of the boundaries of both segments, with the target's void excluded from the union in the
    same way. All other rules, including the one for predictions on void and crowd, use the masks.

    Args:
        prediction: Predicted segments of one image or a batch.
        target: True segments of the same size. Padding is void and not counted.
        num_classes: Number of classes C.
        dilation_ratio: Width of the boundaries as a share of the diagonal; see
            :func:`panoptic.metrics.functional.segment_boundaries`.

    Returns:
        Counts ``[B C]``; B is 1 for one image.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    shared = boundary_intersections(prediction, target, dilation_ratio)
    return boundary_counts_from_intersections(shared, prediction, target, num_classes)


def counts_from_intersections(
    shared: Intersections, prediction: Segments, target: Segments, num_classes: int
) -> PanopticCounts:
    """Compute :func:`panoptic_counts` of a batch from its :func:`~panoptic.metrics.functional.intersections`."""
    union = union_of_pairs(shared)
    match = 2 * shared.pixels > union
    return _counts(shared, match, _ratio(shared.pixels, union), prediction, target, num_classes)


def boundary_counts_from_intersections(
    shared: BoundaryIntersections, prediction: Segments, target: Segments, num_classes: int
) -> PanopticCounts:
    """Compute :func:`boundary_panoptic_counts` of a batch from its boundary intersections."""
    union = union_of_pairs(shared)
    boundary = shared.split[:, 1, 1]
    # All pixels of predicted boundaries on void are left out, since void is excluded as a whole, not by its boundary.
    boundary_union = _union(shared, boundary, shared.split[:, 1].sum(1), shared.split[:, :, 1].sum(1))
    match = (2 * shared.pixels > union) & (2 * boundary > boundary_union)
    iou = torch.minimum(_ratio(shared.pixels, union), _ratio(boundary, boundary_union))
    return _counts(shared, match, iou, prediction, target, num_classes)


def panoptic_quality(counts: PanopticCounts) -> dict[str, Float64[Tensor, "*B C"]]:
    """Compute panoptic (``pq``), segmentation (``sq``) and recognition quality (``rq``) per class, each in 0..1.

    ``rq`` is the F1 score of the matching, ``sq`` the mean IoU of the matched pairs (0 without a match) and ``pq``
    their product. Classes with neither a true nor a counted predicted segment are NaN.
    """
    size = counts.tp + 0.5 * widest(counts.fp) + 0.5 * widest(counts.fn)
    return {
        "pq": counts.iou_sum / size,
        "sq": torch.where(size > 0, counts.iou_sum / counts.tp.clamp(min=1), torch.nan),
        "rq": counts.tp / size,
    }


def union_of_pairs(shared: Intersections) -> Int64[Tensor, " K"]:
    """Compute the union of each pair of segments, without the predicted segment's pixels on void."""
    return _union(shared, shared.pixels, shared.pixels, shared.pixels)


def _union(
    shared: Intersections,
    overlap: Int64[Tensor, " K"],
    true_part: Int64[Tensor, " K"],
    predicted_part: Int64[Tensor, " K"],
) -> Int64[Tensor, " K"]:
    """Compute the union of each pair of segments.

    Args:
        shared: Pairs of segments.
        overlap: Pixels of each pair in both of the sets to be united.
        true_part: Pixels of each pair in the set of the true segment.
        predicted_part: Pixels of each pair in the set of the predicted segment. Those on void are left out.
    """
    off_void = torch.where(shared.on_void, 0, predicted_part)
    true, predicted = shared.per_true(true_part).flatten(), shared.per_predicted(off_void).flatten()
    return true[shared.true] + predicted[shared.predicted] - overlap


def _ratio(overlap: Int64[Tensor, " K"], union: Int64[Tensor, " K"]) -> Float64[Tensor, " K"]:
    # Only pairs without pixels, or of void, have an empty union, and they never match.
    return widest(overlap) / widest(union.clamp(min=1))


class SegmentOutcomes(NamedTuple):
    """Outcomes of the matching for each row of the tables.

    Attributes:
        is_correct: Whether a predicted segment has a match.
        is_false: Whether a predicted segment is a false positive. Those on void and crowd are neither.
        is_found: Whether a true segment has a match.
        is_missed: Whether a true segment is a false negative.
    """

    is_correct: Bool[Tensor, "B N"]
    is_false: Bool[Tensor, "B N"]
    is_found: Bool[Tensor, "B M"]
    is_missed: Bool[Tensor, "B M"]


def segment_outcomes(prediction: Segments, target: Segments) -> SegmentOutcomes:
    """Match segments as :func:`panoptic_counts` does, and return the outcome of each.

    Args:
        prediction: Predicted segments of one image or a batch.
        target: True segments of the same size. Padding is void and not counted.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    shared = intersections(prediction, target)
    match = 2 * shared.pixels > union_of_pairs(shared)
    return outcomes_of_pairs(shared, match, prediction, target)[0]


class ScoredSegments(NamedTuple):
    """Predicted segments that count, as matched or as false positives.

    Attributes:
        scores: Score of each.
        is_correct: Whether each has a match.
        is_thing: Whether each is of a thing class.
    """

    scores: Float[Tensor, " n"]
    is_correct: Bool[Tensor, " n"]
    is_thing: Bool[Tensor, " n"]


def scored_segments(prediction: Segments, target: Segments, is_thing: tuple[bool, ...]) -> ScoredSegments:
    """Match segments, and return those that count, of all images together.

    Args:
        prediction: Predicted segments with scores, of one image or a batch.
        target: True segments of the same size.
        is_thing: Whether each class is a thing.
    """
    assert prediction.scores is not None
    scores = prediction.scores if prediction.is_batch else prediction.scores[None]
    prediction = as_batch(prediction)
    outcomes = segment_outcomes(prediction, target)
    counted = outcomes.is_correct | outcomes.is_false
    things = thing_table(is_thing, prediction.classes.device)[prediction.classes]
    return ScoredSegments(scores[counted], outcomes.is_correct[counted], things[counted])


def outcomes_of_pairs(
    shared: Intersections, match: Bool[Tensor, " K"], prediction: Segments, target: Segments
) -> tuple[SegmentOutcomes, Bool[Tensor, " K"]]:
    """Return the outcome of each segment, and which pairs match in class too."""
    classes, crowd = shared.of_true(target.classes, -1), shared.of_true(target.crowd, 0)
    same_class = (classes == shared.of_predicted(prediction.classes, -1)) & (classes >= 0)
    match = match & same_class & ~crowd

    is_found = shared.per_true(match.long())[:, 1:] > 0
    is_correct = shared.per_predicted(match.long())[:, 1:] > 0
    ignored = shared.per_predicted(torch.where(shared.on_void | (same_class & crowd), shared.pixels, 0))[:, 1:]
    is_false = (shared.predicted_areas > 0) & ~is_correct & (2 * ignored <= shared.predicted_areas)
    is_missed = (shared.true_areas > 0) & ~is_found & ~target.crowd
    return SegmentOutcomes(is_correct, is_false, is_found, is_missed), match


def _counts(
    shared: Intersections,
    match: Bool[Tensor, " K"],
    iou: Float64[Tensor, " K"],
    prediction: Segments,
    target: Segments,
    num_classes: int,
) -> PanopticCounts:
    outcomes, match = outcomes_of_pairs(shared, match, prediction, target)
    return PanopticCounts(
        # A true segment has at most one match, so the sum over its pairs is exact.
        iou_sum=exact_sum_by_class(shared.per_true(torch.where(match, iou, 0.0))[:, 1:], target.classes, num_classes),
        tp=sum_by_class(outcomes.is_found, target.classes, num_classes),
        fp=sum_by_class(outcomes.is_false, prediction.classes, num_classes),
        fn=sum_by_class(outcomes.is_missed, target.classes, num_classes),
    )
