"""Boundary F1: how well the contours of each class agree.

The contour measure of Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation",
CVPR 2016, taken per class of the semantic map, for all classes at once.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float64, Int32, Int64
from torch import Tensor

from panoptic.metrics.functional.overlap import as_batch, intersections
from panoptic.segments import Segments

BITS = 31
"""Classes per int32 word in the maps of :func:`boundary_f1`; the sign bit stays free."""


def boundary_f1(
    prediction: Segments,
    target: Segments,
    num_classes: int,
    tolerance: float,
    table: Int64[Tensor, "B T1 P1"] | None = None,
) -> Float64[Tensor, "B C"]:
    """How well the contours of each class agree, per image, in 0..1.

    A pixel is on the boundary of a class if exactly one of it and its east, south or south-east neighbor has that
    class. It is correct if the other map has a boundary pixel of the class within the tolerance, in Euclidean
    distance. Precision is the share of correct pixels among the predicted boundary, recall among the true one, and
    the score ``2 P R / (P + R)``.

    Pixels that are void in the target are outside the image for both maps: neither they nor their neighbors in
    their direction make a boundary, and a class predicted on them alone is not predicted. Void in the prediction
    elsewhere is a region of no class, whose edge bounds the classes beside it. Crowd counts by its class.

    A class in one of the two maps only scores 0; a class in both, neither with a boundary (it fills the image),
    scores 1, and with a boundary in one only, 0. NaN marks a class in neither.

    Args:
        prediction: predicted segments.
        target: true segments of the same size.
        num_classes: number of classes C.
        tolerance: share of the map's diagonal; in pixels it is rounded up. The diagonal is that of the padded map
            where images of different sizes share a batch.
        table: the pair's :func:`~panoptic.metrics.functional.intersections`, where they are known already.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    table = intersections(prediction, target) if table is None else table
    inside = target.ids > 0
    radius = math.ceil(tolerance * math.hypot(*target.size))

    contours = [_boundaries(_class_words(segments, num_classes), inside) for segments in (prediction, target)]
    reached = [_dilate(words, radius) for words in contours]
    # Counting bit by bit is dear and boundaries are few: only their pixels are unpacked.
    image, y, x = torch.nonzero((contours[0] | contours[1]).any(1), as_tuple=True)

    def per_class(words: Int32[Tensor, "B K H W"]) -> Float64[Tensor, "B C"]:
        bits = _unpack(words[image, :, y, x], num_classes)
        return bits.new_zeros(len(words), num_classes).index_add_(0, image, bits).double()

    precision = per_class(contours[0] & reached[1]) / per_class(contours[0])
    recall = per_class(contours[1] & reached[0]) / per_class(contours[1])
    # No boundary makes a ratio 0 / 0: a perfect one where the other map has none either, else a miss.
    bare = precision.isnan() & recall.isnan()
    precision, recall = precision.nan_to_num(0.0), recall.nan_to_num(0.0)
    score = torch.where(bare, 1.0, 2 * precision * recall / (precision + recall)).nan_to_num(0.0)

    predicted = _present(table[:, 1:, 1:].sum(1) > 0, prediction.classes, num_classes)
    true = _present(table[:, 1:].sum(2) > 0, target.classes, num_classes)
    score = torch.where(predicted & true, score, 0.0)
    return torch.where(predicted | true, score, torch.nan)


def _present(has_pixels: Bool[Tensor, "B N"], classes: Int64[Tensor, "B N"], num_classes: int) -> Bool[Tensor, "B C"]:
    """Whether an image has a class, by whether its segments have pixels."""
    bins = torch.where(has_pixels & (classes >= 0), classes, num_classes)
    return bins.new_zeros(len(bins), num_classes + 1).scatter_(1, bins, 1)[:, :num_classes] > 0


def _class_words(segments: Segments, num_classes: int) -> Int32[Tensor, "B K H W"]:
    """The class of each pixel as one bit in K = ceil(C / 31) words; no bit where it is void."""
    maps = []
    for first in range(0, num_classes, BITS):
        bit = segments.classes - first
        word = torch.where((bit >= 0) & (bit < BITS), torch.ones_like(bit) << bit.clamp(0, BITS - 1), 0)
        maps.append(segments.per_pixel(word.int(), 0))
    return torch.stack(maps, 1)


def _unpack(words: Int32[Tensor, "n K"], num_classes: int) -> Int32[Tensor, "n C"]:
    """The bits of :func:`_class_words`, 0 or 1, by class."""
    bits = (words[:, :, None] >> torch.arange(BITS, device=words.device, dtype=torch.int32)) & 1
    return bits.flatten(1)[:, :num_classes]


def _boundaries(words: Int32[Tensor, "B K H W"], inside: Bool[Tensor, "B H W"]) -> Int32[Tensor, "B K H W"]:
    """The classes that each pixel is on the boundary of, between pixels inside only."""
    height, width = inside.shape[-2:]
    mask = -inside[:, None].int()  # all bits or none
    result = torch.zeros_like(words)
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        here, there = (..., slice(height - dy), slice(width - dx)), (..., slice(dy, None), slice(dx, None))
        differ = (words[here] ^ words[there]).bitwise_and_(mask[here]).bitwise_and_(mask[there])
        result[here].bitwise_or_(differ)
    return result


def _dilate(words: Int32[Tensor, "B K H W"], radius: int) -> Int32[Tensor, "B K H W"]:
    """Spreads each bit over the disk of pixels at a Euclidean distance of at most ``radius``."""
    height = words.shape[-2]
    result = torch.zeros_like(words)
    # A disk is a pile of rows. From its outermost to its middle they only get wider, so one map of bits spread along
    # the rows grows with them.
    row, spread = words.clone(), 0
    for dy in range(min(radius, height - 1), -1, -1):
        while spread < math.isqrt(radius**2 - dy**2):
            spread += 1
            row[..., spread:].bitwise_or_(words[..., :-spread])
            row[..., :-spread].bitwise_or_(words[..., spread:])
        result[..., dy:, :].bitwise_or_(row[..., : height - dy, :])
        result[..., : height - dy, :].bitwise_or_(row[..., dy:, :])
    return result
