"""Panoptic quality and boundary F1 as functions of segments: batched, on any device, in integers and float64.

Everything counted is an integer and every ratio float64, so no operation here is one that autocast would lower. Nothing
loops over segments, pixels or classes; an image is compared through one table of intersections.

Panoptic quality is that of Kirillov et al., "Panoptic Segmentation", CVPR 2019, with the rules of the official COCO
and Cityscapes evaluators. Boundary F1 is the contour measure of Perazzi et al., "A Benchmark Dataset and Evaluation
Methodology for Video Object Segmentation", CVPR 2016, taken per class of the semantic map.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float64, Int32, Int64
from torch import Tensor

from panoptic.segments import Segments

BITS = 31
"""Classes per int32 word in the maps of :func:`boundary_f1`; the sign bit stays free."""


class PanopticCounts(NamedTuple):
    """What panoptic quality is made of; the counts of two sets of images add up to those of their union.

    Attributes:
        iou_sum: sum of the intersection over union of the matched pairs.
        tp: matched pairs.
        fp: predicted segments without a match.
        fn: true segments without a match.
    """

    iou_sum: Float64[Tensor, " C"]
    tp: Int64[Tensor, " C"]
    fp: Int64[Tensor, " C"]
    fn: Int64[Tensor, " C"]


def check_pair(prediction: Segments, target: Segments, num_classes: int) -> None:
    """Refuses a prediction and a target that cannot be compared.

    Ids and classes are looked at on a CPU only: on another device that would wait for the values in every step.

    Raises:
        ValueError: if their sizes differ, an id has no row in its table, or a class is not in the label space.
    """
    if prediction.ids.shape != target.ids.shape:
        got, expected = ("x".join(map(str, s.ids.shape)) for s in (prediction, target))
        raise ValueError(f"expected a prediction of the target's size {expected}, got {got}")
    for name, segments in (("prediction", prediction), ("target", target)):
        if segments.ids.device.type != "cpu":
            continue
        rows, ids, classes = segments.classes.shape[-1], segments.ids, segments.classes
        if ids.numel() and not 0 <= ids.min() <= ids.max() <= rows:
            raise ValueError(f"{name}: expected ids in 0..{rows} (rows of its table), got {ids.min()}..{ids.max()}")
        if classes.numel() and classes.max() >= num_classes:
            raise ValueError(f"{name}: expected classes below {num_classes}, got {classes.max()}; check the labels")


def intersections(prediction: Segments, target: Segments) -> Int64[Tensor, "B T1 P1"]:
    """Number of pixels by (target id, predicted id) of each image of a batch; row and column 0 are void."""
    shape = (len(target.ids), target.classes.shape[-1] + 1, prediction.classes.shape[-1] + 1)
    # Table widths bound the ids, so that no value has to be read back from the device to size the result.
    image = torch.arange(shape[0], device=target.ids.device).view(-1, 1, 1)
    pair = (image * shape[1] + target.ids).mul_(shape[2]).add_(prediction.ids).flatten()
    return pair.new_zeros(math.prod(shape)).scatter_add_(0, pair, pair.new_ones(()).expand_as(pair)).view(shape)


def panoptic_counts(prediction: Segments, target: Segments, num_classes: int) -> PanopticCounts:
    """Matches predicted to true segments and counts per class, over one image or a batch.

    - A pair matches if it has one class and an intersection over union strictly above 0.5, decided in integers. The
      union leaves out the predicted segment's pixels that are void in the target. At most one match is possible.
    - A true segment without a match is a false negative, also where nothing was predicted over it.
    - Crowd never matches and is never missed.
    - A predicted segment without a match is a false positive, unless strictly more than half of it lies on void and
      crowd of its class together. All crowd segments of the class count; the official COCO code keeps the last one
      only, which is the same wherever a class has one crowd segment in an image.
    - Table rows without a pixel are no segments. A prediction's own ``crowd`` and ``scores`` are not looked at.

    Args:
        prediction: predicted segments.
        target: true segments of the same size. Padding is void and counts nowhere.
        num_classes: number of classes C.
    """
    prediction, target = _batched(prediction), _batched(target)
    counts = intersections(prediction, target)
    overlap, on_void = counts[:, 1:, 1:], counts[:, 0, 1:]
    predicted_area, true_area = counts[:, :, 1:].sum(1), counts[:, 1:].sum(2)
    union = true_area[:, :, None] + (predicted_area - on_void)[:, None, :] - overlap

    crowd = target.crowd[:, :, None]
    same_class = target.classes[:, :, None] == prediction.classes[:, None, :]
    match = same_class & ~crowd & (2 * overlap > union)
    iou = torch.where(match, overlap.double() / union.double(), 0.0)

    ignored = on_void + (overlap * (same_class & crowd)).sum(1)
    false_positive = (predicted_area > 0) & ~match.any(1) & (2 * ignored <= predicted_area)
    false_negative = (true_area > 0) & ~match.any(2) & ~target.crowd

    def per_class(values: Tensor, classes: Tensor) -> Tensor:
        # Padding rows have class -1: they go to one class more, which is dropped.
        bins = torch.where(classes < 0, num_classes, classes).flatten()
        values = values.double() if values.is_floating_point() else values.long()
        return values.new_zeros(num_classes + 1).scatter_add_(0, bins, values.flatten())[:num_classes]

    return PanopticCounts(
        iou_sum=per_class(iou.sum(2), target.classes),
        tp=per_class(match.any(2), target.classes),
        fp=per_class(false_positive, prediction.classes),
        fn=per_class(false_negative, target.classes),
    )


def panoptic_quality(counts: PanopticCounts) -> dict[str, Float64[Tensor, " C"]]:
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


def boundary_f1(prediction: Segments, target: Segments, num_classes: int, tolerance: float) -> Float64[Tensor, "B C"]:
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
    """
    prediction, target = _batched(prediction), _batched(target)
    counts = intersections(prediction, target)
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

    predicted = _present(counts[:, 1:, 1:].sum(1) > 0, prediction.classes, num_classes)
    true = _present(counts[:, 1:].sum(2) > 0, target.classes, num_classes)
    score = torch.where(predicted & true, score, 0.0)
    return torch.where(predicted | true, score, torch.nan)


def _batched(segments: Segments) -> Segments:
    if segments.is_batch:
        return segments
    return Segments(segments.ids[None], segments.classes[None], segments.crowd[None])


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
