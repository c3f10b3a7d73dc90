"""Boundary F1: agreement of the contours of each class.

The contour measure of Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation",
CVPR 2016, computed per class of the semantic map, for all classes together.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float64, Int32, Int64
from torch import Tensor

from panoptic.metrics.functional.overlap import Intersections, as_batch, intersections
from panoptic.segments import Segments
from panoptic.utils.precision import widest

BITS = 31
"""Classes per int32 word in the bit maps of :func:`boundary_f1`; the sign bit is unused."""


def boundary_f1(
    prediction: Segments,
    target: Segments,
    num_classes: int,
    tolerance: float,
    shared: Intersections | None = None,
) -> Float64[Tensor, "B C"]:
    """Compute the contour F1 score in 0..1 of each image and class.

    A pixel is on the boundary of a class if exactly one of the pixel and its east, south or south-east neighbor has
    that class. It is correct if the other map has a boundary pixel of the class within the tolerance, in Euclidean
    distance. Precision P is the share of correct pixels on the predicted boundary, recall R that on the true boundary;
    the score is ``2 P R / (P + R)``.

    Pixels that are void in the target are treated as outside the image in both maps: no boundary runs between them and
    their neighbors, and a class predicted on such pixels only counts as not predicted. Elsewhere, predicted void is a
    region without a class, whose edge is a boundary of the adjacent classes. Crowd counts by its class.

    A class in only one of the maps scores 0. A class in both maps scores 1 if it has no boundary in either (it fills
    the image), and 0 if it has a boundary in only one. The score of a class in neither map is NaN.

    Args:
        prediction: Predicted segments.
        target: True segments of the same size.
        num_classes: Number of classes C.
        tolerance: Share of the map's diagonal; rounded up to whole pixels. For a padded batch, the diagonal is that of
            the padded map.
        shared: Result of :func:`~panoptic.metrics.functional.intersections` for the pair, if already computed.
    """
    prediction, target = as_batch(prediction), as_batch(target)
    shared = intersections(prediction, target) if shared is None else shared
    valid = target.ids > 0
    radius = math.ceil(tolerance * math.hypot(*target.size))

    contours = [_boundaries(_class_words(segments, num_classes), valid) for segments in (prediction, target)]
    dilated = [_dilate(words, radius) for words in contours]
    # Counting single bits is expensive and boundaries are sparse: unpack the boundary pixels only.
    image, y, x = torch.nonzero((contours[0] | contours[1]).any(1), as_tuple=True)

    def per_class(words: Int32[Tensor, "B K H W"]) -> Float64[Tensor, "B C"]:
        bits = _unpack(words[image, :, y, x], num_classes)
        return widest(bits.new_zeros(len(words), num_classes).index_add_(0, image, bits))

    precision = per_class(contours[0] & dilated[1]) / per_class(contours[0])
    recall = per_class(contours[1] & dilated[0]) / per_class(contours[1])
    # Without a boundary the ratio is 0 / 0: the score is 1 if the other map has no boundary either, else 0.
    no_boundary = precision.isnan() & recall.isnan()
    precision, recall = precision.nan_to_num(0.0), recall.nan_to_num(0.0)
    score = torch.where(no_boundary, 1.0, 2 * precision * recall / (precision + recall)).nan_to_num(0.0)

    off_void = shared.per_predicted(torch.where(shared.on_void, 0, shared.pixels))[:, 1:]
    predicted = _present(off_void > 0, prediction.classes, num_classes)
    true = _present(shared.true_areas > 0, target.classes, num_classes)
    score = torch.where(predicted & true, score, 0.0)
    return torch.where(predicted | true, score, torch.nan)


def _present(has_pixels: Bool[Tensor, "B N"], classes: Int64[Tensor, "B N"], num_classes: int) -> Bool[Tensor, "B C"]:
    """Find the classes of the segments that have pixels, for each image."""
    bins = torch.where(has_pixels & (classes >= 0), classes, num_classes)
    return bins.new_zeros(len(bins), num_classes + 1).scatter_(1, bins, 1)[:, :num_classes] > 0


def _class_words(segments: Segments, num_classes: int) -> Int32[Tensor, "B K H W"]:
    """Encode the class of each pixel as one bit in K = ceil(C / 31) words; void has no bit."""
    maps = []
    for first in range(0, num_classes, BITS):
        bit = segments.classes - first
        word = torch.where((bit >= 0) & (bit < BITS), torch.ones_like(bit) << bit.clamp(0, BITS - 1), 0)
        maps.append(segments.per_pixel(word.int(), 0))
    return torch.stack(maps, 1)


def _unpack(words: Int32[Tensor, "n K"], num_classes: int) -> Int32[Tensor, "n C"]:
    """Expand the words of :func:`_class_words` to a 0 or 1 for each class."""
    bits = (words[:, :, None] >> torch.arange(min(BITS, num_classes), device=words.device, dtype=torch.int32)) & 1
    return bits.flatten(1)[:, :num_classes]


def _boundaries(words: Int32[Tensor, "B K H W"], valid: Bool[Tensor, "B H W"]) -> Int32[Tensor, "B K H W"]:
    """Find the classes that each pixel is on the boundary of, comparing valid pixels only."""
    height, width = valid.shape[-2:]
    mask = -valid[:, None].int()  # all bits set or none
    result = torch.zeros_like(words)
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        origin, shifted = (..., slice(height - dy), slice(width - dx)), (..., slice(dy, None), slice(dx, None))
        differ = (words[origin] ^ words[shifted]).bitwise_and_(mask[origin]).bitwise_and_(mask[shifted])
        result[origin].bitwise_or_(differ)
    return result


def _dilate(words: Int32[Tensor, "B K H W"], radius: int) -> Int32[Tensor, "B K H W"]:
    """Dilate each bit with a disk of pixels at a Euclidean distance of at most ``radius``."""
    height = words.shape[-2]
    result = torch.zeros_like(words)
    # A disk consists of rows that get wider from its outermost row to its middle, so a single map, dilated further
    # along the rows at each step, serves all of them.
    row, spread = words.clone(), 0
    for dy in range(min(radius, height - 1), -1, -1):
        while spread < math.isqrt(radius**2 - dy**2):
            spread += 1
            row[..., spread:].bitwise_or_(words[..., :-spread])
            row[..., :-spread].bitwise_or_(words[..., spread:])
        result[..., dy:, :].bitwise_or_(row[..., : height - dy, :])
        result[..., : height - dy, :].bitwise_or_(row[..., dy:, :])
    return result
