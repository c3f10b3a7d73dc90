"""Panoptic quality and Boundary PQ: what is matched, missed and made up, in integers.

Panoptic quality is that of Kirillov et al., "Panoptic Segmentation", CVPR 2019, with the rules of the official COCO
and Cityscapes evaluators. Boundary PQ is that of Cheng et al., "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation", CVPR 2021.
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
    """What panoptic quality is made of; the counts of two sets of images add up to those of their union.

    Attributes:
        iou_sum: sum of the intersection over union of the matched pairs.
        tp: matched pairs.
        fp: predicted segments without a match.
        fn: true segments without a match.
    """

    iou_sum: Float64[Tensor, "*B C"]
    tp: Int64[Tensor, "*B C"]
    fp: Int64[Tensor, "*B C"]
    fn: Int64[Tensor, "*B C"]

    def total(self) -> PanopticCounts:
        """The counts of all images of a batch together."""
        return PanopticCounts(sum_of_images(self.iou_sum), *(count.sum(0) for count in self[1:]))


def panoptic_counts(prediction: Segments, target: Segments, num_classes: int) -> PanopticCounts:
    """Matches predicted to true segments and counts per class, for each image.

    - A pair matches if it has one class and an intersection over union strictly above 0.5, decided in integers. The
      union leaves out the predicted segment's pixels that are void in the target. At most one match is possible.
    - A true segment without a match is a false negative, also where nothing was predicted over it.
    - Crowd never matches and is never missed.
    - A predicted segment without a match is a false positive, unless strictly more than half of it lies on void and
      crowd of its class together. All crowd segments of the class count; ``panopticapi``, ``cityscapesscripts`` and
      ``hotcoco`` keep the last one only, which is the same wherever a class has one crowd segment in an image.
    - Table rows without a pixel are no segments. A prediction's own ``crowd`` and ``scores`` are not looked at.

    Args:
        prediction: predicted segments of one image or a batch.
        target: true segments of the same size. Padding is void and counts nowhere.
        num_classes: number of classes C.

    Returns:
        Counts ``[B C]``; B is 1 for one image.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    return counts_from_table(intersections(prediction, target), prediction, target, num_classes)


def boundary_panoptic_counts(
    prediction: Segments, target: Segments, num_classes: int, dilation_ratio: float
) -> PanopticCounts:
    """:func:`panoptic_counts` with the smaller of mask IoU and boundary IoU in place of the mask IoU.

    Boundary IoU is that of the boundaries of both segments, with the target's void left out of the union in the same
    way. Everything else, and so what is not counted for lying on void and crowd, is decided on masks.

    Args:
        prediction: as there.
        target: as there.
        num_classes: as there.
        dilation_ratio: width of the boundaries as a share of the diagonal; see
            :func:`panoptic.metrics.functional.segment_boundaries`.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    table = boundary_intersections(prediction, target, dilation_ratio)
    return boundary_counts_from_table(table, prediction, target, num_classes)


def counts_from_table(
    table: Int64[Tensor, "B T1 P1"], prediction: Segments, target: Segments, num_classes: int
) -> PanopticCounts:
    """:func:`panoptic_counts` of a batch whose :func:`~panoptic.metrics.functional.intersections` are known."""
    overlap, union = _overlap_and_union(table, table.sum(2), table.sum(1))
    match = 2 * overlap > union
    return _counts(table, match, _ratio(overlap, union), prediction, target, num_classes)


def boundary_counts_from_table(
    table: Int64[Tensor, "B T1 2 P1 2"], prediction: Segments, target: Segments, num_classes: int
) -> PanopticCounts:
    """:func:`boundary_panoptic_counts` of a batch whose boundary intersections are known."""
    masks = table.sum((2, 4))
    overlap, union = _overlap_and_union(masks, masks.sum(2), masks.sum(1))
    true_boundary, predicted_boundary = table[:, :, 1], table[..., 1].sum(2)
    areas = true_boundary.sum((2, 3)), predicted_boundary.sum(1)
    # Void has no boundary to leave out: all of it is void.
    shared = torch.cat([predicted_boundary[:, :1], true_boundary[:, 1:, :, 1]], dim=1)
    edge_overlap, edge_union = _overlap_and_union(shared, *areas)
    match = (2 * overlap > union) & (2 * edge_overlap > edge_union)
    iou = torch.minimum(_ratio(overlap, union), _ratio(edge_overlap, edge_union))
    return _counts(masks, match, iou, prediction, target, num_classes)


def panoptic_quality(counts: PanopticCounts) -> dict[str, Float64[Tensor, "*B C"]]:
    """Panoptic (``pq``), segmentation (``sq``) and recognition quality (``rq``) per class, each in 0..1.

    ``rq`` is the F1 score of the matching, ``sq`` the mean IoU of the matched pairs (0 where there is none) and
    ``pq`` their product. NaN where a class has neither a true nor a counted predicted segment.
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
    """Intersection and union of each pair of segments; the first row of the table is the target's void."""
    overlap = table[:, 1:, 1:]
    off_void = predicted_area[:, 1:] - table[:, 0, 1:]
    return overlap, true_area[:, 1:, None] + off_void[:, None, :] - overlap


def _ratio(overlap: Int64[Tensor, "B T P"], union: Int64[Tensor, "B T P"]) -> Float64[Tensor, "B T P"]:
    # A union of nothing is between table rows without pixels, which match nothing.
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
        # A true segment has one match at most, so that this sum over the predicted ones is exact.
        iou_sum=exact_sum_by_class(torch.where(match, iou, 0.0).sum(2), target.classes, num_classes),
        tp=sum_by_class(match.any(2), target.classes, num_classes),
        fp=sum_by_class(false_positive, prediction.classes, num_classes),
        fn=sum_by_class(false_negative, target.classes, num_classes),
    )
