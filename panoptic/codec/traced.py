"""Decoding as a fixed graph of operations, for exported networks. The results are those of :meth:`Codec.decode`.

``torch.export`` and ONNX record operations on tensors, not Python that looks at their values. Here tables have a fixed
length, ``max_things`` and one row a class, and the only size that depends on values is that of the list of pixels of
thing classes. No array over pairs of pixels and centers is made: a loop over the centers, which ends with the last one
found, keeps the nearest so far.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int32, Int64, UInt8
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop_op

from panoptic.codec.codec import Codec, upsample
from panoptic.codec.maps import Outputs

RANK = 2.0**-50
"""Relative difference of the keys of neighboring cells: cells of equal height keep their order up to 2^25 cells, and
floats that differ, by 2^-24 at least, keep theirs."""


class Decoded(NamedTuple):
    """Segments of a batch, with tables of N = ``max_things`` + number of classes rows.

    Attributes:
        semantic: Most probable class of each pixel.
        ids: Segment of each pixel: 0 is void, ``i`` is row ``i - 1`` of the tables.
        classes: Class of each segment; -1 in rows without one, which come last.
        scores: Confidence of each segment in 0..1.
        areas: Number of pixels of each segment.
        boxes: Left column, top row, width and height of each segment, in pixels.
    """

    semantic: UInt8[Tensor, "B H W"]
    ids: Int32[Tensor, "B H W"]
    classes: Int32[Tensor, "B N"]
    scores: Float[Tensor, "B N"]
    areas: Int32[Tensor, "B N"]
    boxes: Int32[Tensor, "B N 4"]


def decode(codec: Codec, outputs: Outputs, size: tuple[int, int]) -> Decoded:
    """Decode network outputs, in single precision; see :meth:`Codec.decode`.

    Args:
        codec: Codec of the network.
        outputs: Outputs of the network.
        size: Height and width of the images, to which the result is cropped.
    """
    height, width = size
    logits = upsample(outputs.semantic, codec.stride)[..., :height, :width]  # [B C H W]
    classes, confidence = most_likely(logits)
    cells, heights = find_peaks(
        outputs.center.sigmoid(),
        window=codec.peak_window,
        threshold=codec.peak_threshold,
        most=codec.max_things,
    )
    centers = (cells + 0.5) * codec.stride - 0.5
    offset = upsample(outputs.offset, codec.stride)[..., :height, :width] * codec.stride
    is_thing = look_up(codec.labels.is_thing, classes)
    instances = group_pixels(offset, is_thing, centers, heights)
    return merge(codec, classes, confidence, instances, heights)


def most_likely(logits: Float[Tensor, "B C H W"]) -> tuple[Int64[Tensor, "B H W"], Float[Tensor, "B H W"]]:
    """Return the most probable class of each pixel, the first one of ties, and its probability.

    One class after the other: reductions over a dimension that is not the last one are many times slower in ONNX
    Runtime, and what is added up here fits in the caches.
    """
    planes = logits.unbind(1)
    highest, classes = planes[0], torch.zeros_like(planes[0], dtype=torch.int32)
    for number, plane in enumerate(planes[1:], start=1):
        classes = torch.where(plane > highest, number, classes)
        highest = torch.maximum(plane, highest)
    total = torch.zeros_like(highest)
    for plane in planes:
        total = total + (plane - highest).exp()
    return classes.long(), total.reciprocal()


def find_peaks(
    heat: Float[Tensor, "B h w"], *, window: int, threshold: float, most: int
) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
    """Find the highest local maxima of a heatmap; see :func:`panoptic.codec.grouping.find_peaks`.

    A cell is one if it is higher than all cells of its window that come before it in raster order, and no lower than
    those after it.

    Args:
        heat: Heatmap in 0..1.
        window: Side of the window in cells, odd.
        threshold: Minimum height of a peak.
        most: Number K of peaks returned.

    Returns:
        Cells (row, column) and heights of the peaks, in descending order. Height 0 marks padding.
    """
    width = heat.shape[2]
    is_peak = heat >= threshold
    if window > 1:
        before, after = _highest_around(heat, window // 2)
        is_peak = is_peak & (heat > before) & (heat >= after)
    flat = F.pad(torch.where(is_peak, heat, 0.0).flatten(1), (0, most))  # there may be fewer cells than K
    rank = torch.arange(flat.shape[1], dtype=torch.float64, device=heat.device)
    index = (flat.double() * (1 - rank * RANK)).topk(most, dim=1).indices
    row = index // width
    return torch.stack([row, index - row * width], dim=-1).float(), flat.gather(1, index)


def _highest_around(heat: Float[Tensor, "B h w"], reach: int) -> tuple[Float[Tensor, "B h w"], Float[Tensor, "B h w"]]:
    """Return the maxima of the cells before and after each cell in raster order, in a window of ``2 reach + 1``."""
    height, width = heat.shape[1:]
    padded = F.pad(heat, (reach, reach, reach, reach), value=-1.0)
    of_rows = F.max_pool2d(padded, (1, 2 * reach + 1), 1)
    above = F.max_pool2d(of_rows[:, : height + reach - 1], (reach, 1), 1)
    below = F.max_pool2d(of_rows[:, reach + 1 :], (reach, 1), 1)
    same_rows = padded[:, reach : reach + height]
    left = F.max_pool2d(same_rows[..., : width + reach - 1], (1, reach), 1)
    right = F.max_pool2d(same_rows[..., reach + 1 :], (1, reach), 1)
    return torch.maximum(above, left), torch.maximum(below, right)


def group_pixels(
    offset: Float[Tensor, "B 2 H W"],
    is_thing: Bool[Tensor, "B H W"],
    centers: Float[Tensor, "B K 2"],
    heights: Float[Tensor, "B K"],
) -> Int32[Tensor, "B H W"]:
    """Assign each pixel of a thing class to the nearest center, 1..K; 0 for other pixels and without centers.

    The list of pixels is that of all images together, which costs more than one for each image only in a batch.

    Args:
        offset: Offset (dy, dx) from each pixel to the position it points to, in pixels.
        is_thing: Whether the class of each pixel is a thing.
        centers: Centers (row, column) in pixels.
        heights: Heights of the centers; 0 marks padding.
    """
    exists = heights > 0
    y, x = torch.where(exists[..., None], centers, math.inf).unbind(2)  # no pixel is nearest to padding
    wanted = is_thing & exists.any(1)[:, None, None]
    width = is_thing.shape[2]
    place = wanted.flatten(1).any(0).nonzero()[:, 0]
    row = place // width
    to_y, to_x = offset.flatten(2).index_select(2, place).unbind(1)
    start = (
        torch.zeros((), dtype=torch.int64, device=heights.device),
        torch.full_like(to_y, math.inf),
        torch.ones_like(to_y, dtype=torch.int32),
    )
    # Both kinds of views are added to or copied, since what a recorded loop takes must not share memory.
    known = exists.sum(1).max(), to_y + row, to_x + (place - row * width), y.clone(), x.clone()
    _, _, nearest = while_loop_op(_is_left, _compare_with_next, start, known)  # type: ignore[arg-type]  # it says one
    instances = torch.zeros_like(is_thing, dtype=torch.int32).flatten(1).index_copy(1, place, nearest)
    return torch.where(wanted, instances.unflatten(1, is_thing.shape[1:]), 0)


def _is_left(number: Tensor, best: Tensor, nearest: Tensor, count: Tensor, *known: Tensor) -> Tensor:
    return number < count


def _compare_with_next(  # what a recorded loop changes, then what it reads
    number: Tensor,
    best: Tensor,
    nearest: Tensor,
    count: Tensor,
    to_y: Tensor,
    to_x: Tensor,
    y: Tensor,
    x: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Update the distance to the nearest center and its number with the next center of each image."""
    dy, dx = to_y - y.index_select(1, number[None]), to_x - x.index_select(1, number[None])
    distance = dy * dy + dx * dx
    following = number + 1
    return following, torch.minimum(distance, best), torch.where(distance < best, following.int(), nearest)


def merge(
    codec: Codec,
    classes: Int64[Tensor, "B H W"],
    confidence: Float[Tensor, "B H W"],
    instances: Int32[Tensor, "B H W"],
    heights: Float[Tensor, "B K"],
) -> Decoded:
    """Merge K instances and C stuff classes to segments, and remove those with too few pixels.

    Args:
        codec: Codec of the network.
        classes: Most probable class of each pixel.
        confidence: Its probability.
        instances: Instance of each pixel of a thing class, 1..K; 0 for others.
        heights: Heights of the peaks of the instances.
    """
    batch, most = heights.shape
    num_classes = codec.labels.num_classes
    keys = (instances * num_classes + classes).flatten(1)
    shape = (batch, (most + 1) * num_classes)
    count = confidence.new_zeros(shape, dtype=torch.int32).scatter_add(1, keys, torch.ones_like(keys).int())
    total = confidence.new_zeros(shape).scatter_add(1, keys, confidence.flatten(1))
    count, total = (table.unflatten(1, (most + 1, num_classes)) for table in (count, total))
    # Instance 0 has the pixels of stuff, and those of things in images without peaks, which become void.
    is_stuff = torch.tensor([not isthing for isthing in codec.labels.is_thing], device=heights.device)
    areas = torch.cat([count[:, 1:].sum(2), count[:, 0] * is_stuff], dim=1)
    means = torch.cat([total[:, 1:].sum(2), total[:, 0]], dim=1) / areas.clamp(min=1)
    scores = (means * F.pad(heights, (0, num_classes), value=1.0)).clamp(max=1.0)
    stuff = torch.arange(num_classes, device=heights.device).expand(batch, -1)
    table_classes = torch.cat([count[:, 1:].argmax(2), stuff], dim=1)  # majority vote

    least = [max(codec.thing_area, 1)] * most + [max(codec.stuff_area, 1)] * num_classes
    kept = areas >= torch.tensor(least, device=heights.device)
    numbers = torch.where(kept, kept.cumsum(1), 0)  # 1, 2, ...; 0 is void, where all that is dropped goes
    before = torch.where(instances > 0, instances, most + 1 + classes)
    ids = F.pad(numbers, (1, 0)).gather(1, before.flatten(1)).view_as(classes)

    def compact(values: Tensor, fill: float) -> Tensor:
        rows = values.new_full((batch, most + num_classes + 1), fill)
        return rows.scatter(1, numbers, values)[:, 1:]

    return Decoded(
        classes.to(torch.uint8),
        ids.int(),
        compact(table_classes, -1).int(),
        compact(scores, 0.0),
        compact(areas, 0).int(),
        boxes_of(ids, most + num_classes),
    )


def boxes_of(ids: Int64[Tensor, "B H W"], most: int) -> Int32[Tensor, "B N 4"]:
    """Return left column, top row, width and height of the segments 1..N; 0 for those without pixels.

    Args:
        ids: Segment of each pixel; 0 is void.
        most: Number N of segments.
    """
    ranges = []
    for axis in (2, 1):  # columns, rows
        length = ids.shape[axis]
        place = torch.arange(length, device=ids.device)
        keys = ids * length + (place if axis == 2 else place[:, None])
        seen = ids.new_zeros((ids.shape[0], (most + 1) * length), dtype=torch.float32)
        seen = seen.scatter(1, keys.flatten(1), 1.0).unflatten(1, (most + 1, length))[:, 1:]
        ranges.append((seen.argmax(2), length - seen.flip(2).argmax(2), seen.amax(2) > 0))
    (left, right, is_there), (top, bottom, _) = ranges
    boxes = torch.stack([left, top, right - left, bottom - top], dim=2)
    return torch.where(is_there[..., None], boxes, 0).int()


def look_up(values: tuple[bool, ...], index: Int64[Tensor, "*place"]) -> Bool[Tensor, "*place"]:
    """Return the value for each index."""
    return torch.tensor(values, device=index.device).index_select(0, index.flatten()).view_as(index)
