"""Semantic scores, from the intersections of segments and without another pass over the pixels."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from panoptic.metrics.functional.overlap import Intersections, as_batch, intersections
from panoptic.segments import Segments
from panoptic.utils.precision import widest


def confusion(prediction: Segments, target: Segments, num_classes: int) -> Int64[Tensor, "B C C1"]:
    """Count pixels by (true class, predicted class) for each image; the last column is predicted void.

    Pixels that are void in the target are ignored. Crowd counts by its class.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    return confusion_from_intersections(intersections(prediction, target), prediction, target, num_classes)


def confusion_from_intersections(
    shared: Intersections, prediction: Segments, target: Segments, num_classes: int
) -> Int64[Tensor, "B C C1"]:
    """Compute :func:`confusion` of a batch from its :func:`~panoptic.metrics.functional.intersections`."""
    # Void, and padding rows, which have no pixels, share the last class.
    true, predicted = shared.of_true(target.classes, -1), shared.of_predicted(prediction.classes, -1)
    true, predicted = (torch.where(classes < 0, num_classes, classes) for classes in (true, predicted))
    images, true_ids, _ = shared.shape
    side = num_classes + 1
    bins = (shared.true // true_ids * side + true) * side + predicted
    flat = shared.pixels.new_zeros(images * side**2).index_add_(0, bins, shared.pixels)
    return flat.view(images, side, side)[:, :num_classes]


def intersection_over_union(confusion: Int64[Tensor, "*B C C1"]) -> Float64[Tensor, "*B C"]:
    """Compute the IoU per class in 0..1 as in the Cityscapes benchmark; NaN for classes in neither map.

    The IoU is TP / (TP + FP + FN) over the pixels that are not void in the target. A pixel predicted as void is a false
    negative of its class.
    """
    true = confusion.sum(-1)
    square = confusion[..., :-1]
    intersection = square.diagonal(dim1=-2, dim2=-1)
    return widest(intersection) / widest(true + square.sum(-2) - intersection)
