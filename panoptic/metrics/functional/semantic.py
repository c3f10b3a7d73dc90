"""Semantic scores, from the table of intersections and without another pass over the pixels."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from panoptic.metrics.functional.overlap import as_batch, intersections
from panoptic.segments import Segments


def confusion(prediction: Segments, target: Segments, num_classes: int) -> Int64[Tensor, "B C C1"]:
    """Count pixels by (true class, predicted class) for each image; the last column is predicted void.

    Pixels that are void in the target are ignored. Crowd counts by its class.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    return confusion_from_table(intersections(prediction, target), prediction, target, num_classes)


def confusion_from_table(
    table: Int64[Tensor, "B T1 P1"], prediction: Segments, target: Segments, num_classes: int
) -> Int64[Tensor, "B C C1"]:
    """Compute :func:`confusion` of a batch from its :func:`~panoptic.metrics.functional.intersections`."""
    # Padding rows have class -1 and no pixels, so they can share the last class with void.
    true = torch.where(target.classes < 0, num_classes, target.classes)
    predicted = torch.nn.functional.pad(prediction.classes, (1, 0), value=-1)
    predicted = torch.where(predicted < 0, num_classes, predicted)
    bins = true[:, :, None] * (num_classes + 1) + predicted[:, None, :]
    flat = table.new_zeros(len(table), (num_classes + 1) ** 2)
    flat.scatter_add_(1, bins.flatten(1), table[:, 1:].flatten(1))
    return flat.view(-1, num_classes + 1, num_classes + 1)[:, :num_classes]


def intersection_over_union(confusion: Int64[Tensor, "*B C C1"]) -> Float64[Tensor, "*B C"]:
    """Compute the IoU per class in 0..1 as in the Cityscapes benchmark; NaN for classes in neither map.

    The IoU is TP / (TP + FP + FN) over the pixels that are not void in the target. A pixel predicted as void is a false
    negative of its class.
    """
    true = confusion.sum(-1)
    square = confusion[..., :-1]
    intersection = square.diagonal(dim1=-2, dim2=-1)
    return intersection.double() / (true + square.sum(-2) - intersection).double()
