"""Panoptic quality and Boundary PQ, from integer counts of matches, false positives and false negatives.

Panoptic quality follows Kirillov et al., "Panoptic Segmentation", CVPR 2019, with the rules of the official COCO and
Cityscapes evaluators. Boundary PQ follows Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation", CVPR 2021.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from panoptic.metrics.functional.overlap import as_batch, boundary_intersections, intersections
from panoptic.metrics.functional.summation import exact_sum_by_class, sum_by_class, sum_of_images
from panoptic.segments import Segments


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
    return counts_from_table(intersections(prediction, target), prediction, target, num_classes)


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
    table = boundary_intersections(prediction, target, dilation_ratio)
    return boundary_counts_from_table(table, prediction, target, num_classes)


def counts_from_table(
    table: Int64[Tensor, "B T1 P1"], prediction: Segments, target: Segments, num_classes: int
) -> PanopticCounts:
    """Compute :func:`panoptic_counts` of a batch from its :func:`~panoptic.metrics.functional.intersections`."""
    overlap, union = _overlap_and_union(table, table.sum(2), table.sum(1))
    match = 2 * overlap > union
    return _counts(table, match, _ratio(overlap, union), prediction, target, num_classes)


def boundary_counts_from_table(
    table: Int64[Tensor, "B T1 2 P1 2"], prediction: Segments, target: Segments, num_classes: int
) -> PanopticCounts:
    """Compute :func:`boundary_panoptic_counts` of a batch from its boundary intersections."""
    masks = table.sum((2, 4))
    overlap, union = _overlap_and_union(masks, masks.sum(2), masks.sum(1))
    true_boundary, predicted_boundary = table[:, :, 1], table[..., 1].sum(2)
    areas = true_boundary.sum((2, 3)), predicted_boundary.sum(1)
    # Row 0: all pixels of predicted boundaries on void, since void is excluded as a whole rather than by its boundary.
    boundaries = torch.cat([predicted_boundary[:, :1], true_boundary[:, 1:, :, 1]], dim=1)
    boundary_overlap, boundary_union = _overlap_and_union(boundaries, *areas)
    match = (2 * overlap > union) & (2 * boundary_overlap > boundary_union)
    iou = torch.minimum(_ratio(overlap, union), _ratio(boundary_overlap, boundary_union))
    return _counts(masks, match, iou, prediction, target, num_classes)


def panoptic_quality(counts: PanopticCounts) -> dict[str, Float64[Tensor, "*B C"]]:
    """Compute panoptic (``pq``), segmentation (``sq``) and recognition quality (``rq``) per class, each in 0..1.

    ``rq`` is the F1 score of the matching, ``sq`` the mean IoU of the matched pairs (0 without a match) and ``pq``
    their product. Classes with neither a true nor a counted predicted segment are NaN.
    """
    size = counts.tp + 0.5 * counts.fp.double() + 0.5 * counts.fn.double()
    return {
        "pq": counts.iou_sum / size,
        "sq": torch.where(size > 0, counts.iou_sum / counts.tp.clamp(min=1), torch.nan),
        "rq": counts.tp / size,
    }


def _overlap_and_union(
    table: Int64[Tensor, "B T1 P1"], true_area: Int64[Tensor, "B T1"], predicted_area: Int64[Tensor, "B P1"]
) -> tuple[Int64[Tensor, "B T P"], Int64[Tensor, "B T P"]]:
    """Compute intersection and union of each pair of segments; row 0 of the table is the target's void."""
    overlap = table[:, 1:, 1:]
    off_void = predicted_area[:, 1:] - table[:, 0, 1:]
    return overlap, true_area[:, 1:, None] + off_void[:, None, :] - overlap


def _ratio(overlap: Int64[Tensor, "B T P"], union: Int64[Tensor, "B T P"]) -> Float64[Tensor, "B T P"]:
    # Only pairs of table rows without pixels have an empty union, and they never match.
    return overlap.double() / union.clamp(min=1).double()


def _counts(
    table: Int64[Tensor, "B T1 P1"],
    match: Bool[Tensor, "B T P"],
    iou: Float64[Tensor, "B T P"],
    prediction: Segments,
    target: Segments,
    num_classes: int,
) -> PanopticCounts:
    overlap, on_void = table[:, 1:, 1:], table[:, 0, 1:]
    predicted_area, true_area = table[:, :, 1:].sum(1), table[:, 1:].sum(2)
    crowd = target.crowd[:, :, None]
    same_class = target.classes[:, :, None] == prediction.classes[:, None, :]
    match = match & same_class & ~crowd

    ignored = on_void + (overlap * (same_class & crowd)).sum(1)
    false_positive = (predicted_area > 0) & ~match.any(1) & (2 * ignored <= predicted_area)
    false_negative = (true_area > 0) & ~match.any(2) & ~target.crowd

    return PanopticCounts(
        # A true segment has at most one match, so the sum over predicted segments is exact.
        iou_sum=exact_sum_by_class(torch.where(match, iou, 0.0).sum(2), target.classes, num_classes),
        tp=sum_by_class(match.any(2), target.classes, num_classes),
        fp=sum_by_class(false_positive, prediction.classes, num_classes),
        fn=sum_by_class(false_negative, target.classes, num_classes),
    )
