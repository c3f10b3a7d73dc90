"""Sums that do not depend on the order of their terms, for bitwise equal results on all devices.

A GPU adds in an unspecified order, and the last digits of floating-point sums depend on the order.
"""

from __future__ import annotations

from functools import reduce

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from panoptic.utils.precision import widest

_COARSE, _FINE = 2.0**26, 2.0**27


def sum_by_class(
    values: Int64[Tensor, "B N"] | Bool[Tensor, "B N"], classes: Int64[Tensor, "B N"], num_classes: int
) -> Int64[Tensor, "B C"]:
    """Sum integers over the segments of each class.

    Args:
        values: Value of each segment.
        classes: Class of each segment. Rows of class -1, which pad tables, are ignored.
        num_classes: Number of classes C.
    """
    bins = torch.where(classes < 0, num_classes, classes)
    sums = bins.new_zeros(len(bins), num_classes + 1)
    return sums.scatter_add_(1, bins, values.long())[:, :num_classes]


def exact_sum_by_class(
    values: Float64[Tensor, "B N"], classes: Int64[Tensor, "B N"], num_classes: int
) -> Float64[Tensor, "B C"]:
    """Sum IoUs over the segments of each class, with a single rounding.

    The IoU of a matched pair is above 0.5, so in double precision it is an integer multiple of 2**-53. Its upper and
    lower halves are summed as integers.

    Args:
        values: IoU of each segment, 0 or in 0.5..1.
        classes: Class of each segment. Rows of class -1, which pad tables, are ignored.
        num_classes: Number of classes C.
    """
    coarse = (values * _COARSE).floor()
    fine = (values * _COARSE - coarse) * _FINE
    upper, lower = (widest(sum_by_class(part.long(), classes, num_classes)) for part in (coarse, fine))
    return upper / _COARSE + lower / (_COARSE * _FINE)


def sum_of_images(values: Float64[Tensor, "B C"]) -> Float64[Tensor, " C"]:
    """Sum over the images of a batch, in their order."""
    return reduce(torch.add, values.unbind(0), values.new_zeros(values.shape[1]))
