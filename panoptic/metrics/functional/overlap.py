"""Intersections of true and predicted segments, the basis of all scores but boundary F1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int32, Int64, Shaped
from torch import Tensor

from panoptic.segments import Segments
from panoptic.utils.counting import count_by_key

TABLE = 1 << 20
"""Number of entries up to which a table of all pairs of segments is made, whatever the size of the map."""


def check_pair(prediction: Segments, target: Segments, num_classes: int) -> None:
    """Raise if a prediction and a target cannot be compared.

    The values of ids and classes are checked on a CPU only: on other devices the check would synchronize at every step.

    Args:
        prediction: Predicted segments.
        target: True segments.
        num_classes: Number of classes C.

    Raises:
        TypeError: If either is something else than segments.
        ValueError: If the sizes differ, ids are not int32, an id has no row in its table, or a class is not in the
            label space.
    """
    for name, segments in (("prediction", prediction), ("target", target)):
        if not isinstance(segments, Segments):
            raise TypeError(
                f"{name}: expected Segments, such as Segments.from_maps returns, got {type(segments).__name__}"
            )
    if prediction.ids.shape != target.ids.shape:
        got, expected = ("x".join(map(str, s.ids.shape)) for s in (prediction, target))
        raise ValueError(f"expected a prediction of the target's size {expected}, got {got}")
    for name, segments in (("prediction", prediction), ("target", target)):
        rows, ids, classes = segments.classes.shape[-1], segments.ids, segments.classes
        if ids.dtype != torch.int32:
            raise ValueError(f"{name}: expected ids of type torch.int32, got {ids.dtype}")
        if ids.device.type != "cpu":
            continue
        if ids.numel():
            low, high = (int(v) for v in torch.aminmax(ids))
            if not 0 <= low <= high <= rows:
                raise ValueError(f"{name}: expected ids in 0..{rows} (rows of its table), got {low}..{high}")
        if classes.numel() and classes.max() >= num_classes:
            raise ValueError(f"{name}: expected classes below {num_classes}, got {classes.max()}; check the labels")
        is_segment = classes >= 0  # class -1 marks the rows that pad the end of a table
        if ids.numel() and not is_segment.all() and (ids.flatten(-2).amax(-1) > is_segment.sum(-1)).any():
            raise ValueError(f"{name}: expected classes of at least 0 where there are pixels, got {classes.min()}")


def check_shares(dilation_ratio: float | None = None, tolerance: float | None = None) -> None:
    """Raise if a share of the diagonal is out of range.

    Args:
        dilation_ratio: Dilation ratio of Boundary PQ; ``None`` skips the check.
        tolerance: Tolerance of boundary F1; ``None`` skips the check.

    Raises:
        ValueError: If ``dilation_ratio`` is not in (0, 1) or ``tolerance`` not in [0, 1).
    """
    if dilation_ratio is not None and not 0 < dilation_ratio < 1:
        raise ValueError(f"dilation_ratio: expected a share of the diagonal, above 0 and below 1, got {dilation_ratio}")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise ValueError(f"tolerance: expected a share of the diagonal, at least 0 and below 1, got {tolerance}")


def as_batch(segments: Segments) -> Segments:
    """Add a batch dimension to the segments of a single image."""
    if segments.is_batch:
        return segments
    return Segments(segments.ids[None], segments.classes[None], segments.crowd[None])


@dataclass(frozen=True)
class Intersections:
    """Pairs of a true and a predicted segment that share pixels, for a batch of K pairs.

    There are at most as many as pixels, while a table of all pairs would grow with the square of the segments. Pairs
    without pixels may be listed too, and change no score.

    Attributes:
        true: Position of the true id of each pair in ``[B T1]``, flattened; column 0 is void.
        predicted: Position of the predicted id in ``[B P1]``, flattened; column 0 is void.
        pixels: Number of shared pixels.
        shape: Number of images, of true ids and of predicted ids, with void.
    """

    true: Int64[Tensor, " K"]
    predicted: Int64[Tensor, " K"]
    pixels: Int64[Tensor, " K"]
    shape: tuple[int, int, int]

    @cached_property
    def on_void(self) -> Bool[Tensor, " K"]:
        """Whether the target is void."""
        return self.true % self.shape[1] == 0

    @cached_property
    def true_areas(self) -> Int64[Tensor, "B T"]:
        """Area of each true segment in pixels."""
        return self.per_true(self.pixels)[:, 1:]

    @cached_property
    def predicted_areas(self) -> Int64[Tensor, "B P"]:
        """Area of each predicted segment in pixels, void of the target included."""
        return self.per_predicted(self.pixels)[:, 1:]

    def per_true(self, values: Shaped[Tensor, " K"]) -> Shaped[Tensor, "B T1"]:
        """Sum values of the pairs by true id."""
        images, bins, _ = self.shape
        return values.new_zeros(images * bins).index_add_(0, self.true, values).view(images, bins)

    def per_predicted(self, values: Shaped[Tensor, " K"]) -> Shaped[Tensor, "B P1"]:
        """Sum values of the pairs by predicted id."""
        images, _, bins = self.shape
        return values.new_zeros(images * bins).index_add_(0, self.predicted, values).view(images, bins)

    def of_true(self, values: Shaped[Tensor, "B T"], void: int) -> Shaped[Tensor, " K"]:
        """Return the value of the true segment of each pair."""
        return F.pad(values, (1, 0), value=void).flatten()[self.true]

    def of_predicted(self, values: Shaped[Tensor, "B P"], void: int) -> Shaped[Tensor, " K"]:
        """Return the value of the predicted segment of each pair."""
        return F.pad(values, (1, 0), value=void).flatten()[self.predicted]


@dataclass(frozen=True)
class BoundaryIntersections(Intersections):
    """Intersections that are split by whether a pixel is on the boundary of the two segments.

    Attributes:
        split: Number of shared pixels by whether they are on the boundary of the true and of the predicted segment.
    """

    split: Int64[Tensor, "K 2 2"]


def intersections(prediction: Segments, target: Segments) -> Intersections:
    """Count the shared pixels of true and predicted segments, for each image of a batch."""
    shape = (len(target.ids), target.classes.shape[-1] + 1, prediction.classes.shape[-1] + 1)
    key = torch.add(prediction.ids, _widen(target.ids, shape), alpha=shape[2])
    pairs, counts = _count(key, shape, 1)
    return Intersections(*_positions(pairs, shape), counts[:, 0], shape)


def boundary_intersections(prediction: Segments, target: Segments, dilation_ratio: float) -> BoundaryIntersections:
    """Compute :func:`intersections` split by whether a pixel is on the true and on the predicted segment's boundary.

    Args:
        prediction: Predicted segments, batched.
        target: True segments of the same size, batched.
        dilation_ratio: Width of the boundaries as a share of the diagonal.
    """
    shape = (len(target.ids), target.classes.shape[-1] + 1, prediction.classes.shape[-1] + 1)
    # The key of a pixel is four times its pair, plus two on the true, plus one on the predicted segment's boundary.
    true_ids = _widen(target.ids, (*shape, 4))
    true = torch.add(segment_boundaries(target.ids, dilation_ratio), true_ids, alpha=2 * shape[2])
    predicted = torch.add(segment_boundaries(prediction.ids, dilation_ratio), prediction.ids, alpha=4)
    pairs, counts = _count(torch.add(predicted, true, alpha=2), shape, 4)
    return BoundaryIntersections(*_positions(pairs, shape), counts.sum(1), shape, counts.view(-1, 2, 2))


def boundary_width(size: tuple[int, int], dilation_ratio: float) -> int:
    """Return the width of boundaries in pixels: the share of the diagonal, rounded, at least 1."""
    return max(1, round(dilation_ratio * math.hypot(*size)))


def segment_boundaries(ids: Int32[Tensor, "B H W"], dilation_ratio: float) -> Bool[Tensor, "B H W"]:
    """Find the pixels on the boundary of their segment, for all segments together.

    The boundary is that of Boundary IoU (Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
    Evaluation", CVPR 2021): the part of a mask that erosion with a square removes, where pixels outside the image
    belong to no mask. A pixel is on it if the square of ``2 d + 1`` pixels around the pixel contains another id or
    crosses the image border; ``d`` is :func:`boundary_width`. The square has a single id exactly if none of its upper
    left ``2 d`` x ``2 d`` pixels differs from its east, south or south-east neighbor, so one dilation of these edges
    serves all segments.

    Args:
        ids: Segment of each pixel.
        dilation_ratio: Width of the boundaries as a share of the diagonal.
    """
    height, width = ids.shape[-2:]
    distance = boundary_width((height, width), dilation_ratio)
    # Pixel (y, x) is at (y + distance, x + distance); the outside of the image differs from all its pixels.
    edges = ids.new_zeros(len(ids), height + 2 * distance - 1, width + 2 * distance - 1, dtype=torch.bool)
    frame = edges[:, distance - 1 : height + distance, distance - 1 : width + distance]
    frame.fill_(True)
    pixel, inner = ids[:, :-1, :-1], frame[:, 1:-1, 1:-1]
    torch.ne(pixel, ids[:, :-1, 1:], out=inner)
    inner.logical_or_(pixel != ids[:, 1:, :-1]).logical_or_(pixel != ids[:, 1:, 1:])
    return _any_of_next(_any_of_next(edges, 2 * distance, -2), 2 * distance, -1)


def _any_of_next(edges: Bool[Tensor, "B h w"], count: int, dim: int) -> Bool[Tensor, "B h2 w2"]:
    """Reduce each window of ``count`` entries along a dimension with a logical or; windows do not cross the end."""
    reach = 1
    while reach < count:  # each entry covers the next ``reach`` ones; doubling takes a logarithmic number of passes
        step = min(reach, count - reach)
        length = edges.shape[dim] - step
        edges = edges.narrow(dim, 0, length) | edges.narrow(dim, step, length)
        reach += step
    return edges


def _widen(ids: Int32[Tensor, "B H W"], shape: tuple[int, ...]) -> Tensor:
    """Convert the ids to int64 if int32 cannot hold all flat indices of a table of the given shape."""
    return ids if math.prod(shape) <= torch.iinfo(ids.dtype).max else ids.long()


def _positions(
    pairs: Int64[Tensor, " K"], shape: tuple[int, int, int]
) -> tuple[Int64[Tensor, " K"], Int64[Tensor, " K"]]:
    """Return the positions of true and predicted id, for :class:`Intersections`, of flat indices of pairs."""
    true = pairs // shape[2]
    predicted = pairs - true * shape[2]
    return true, predicted if shape[0] == 1 else predicted + true // shape[1] * shape[2]


def _count(
    key: Tensor, shape: tuple[int, int, int], parts: int
) -> tuple[Int64[Tensor, " K"], Int64[Tensor, "K parts"]]:
    """Count the pixels of each pair, by part.

    A table of all pairs is faster than sorting while it has fewer entries than the map, or few.

    Args:
        key: Index of the pair of each pixel in its image, times ``parts``, plus the part.
        shape: Number of images, of true ids and of predicted ids.
        parts: Number of parts.

    Returns:
        Flat indices of the pairs, ascending, and their counts.
    """
    images, bins = shape[0], math.prod(shape[1:]) * parts
    fits = images * bins <= max(TABLE, key.numel())
    if key.device.type != "cpu" and fits:
        return _all_pairs(key, bins, parts)
    if images > 1:
        key = key + torch.arange(images, device=key.device, dtype=key.dtype).view(-1, 1, 1) * bins
    if key.device.type != "cpu":
        keys, counts = key.long().unique(return_counts=True)
    else:
        keys, counts = _count_runs(key.flatten().numpy(), images * bins if fits else None)
    if parts == 1:
        return keys, counts[:, None]
    pairs, position = torch.unique_consecutive(keys // parts, return_inverse=True)
    table = counts.new_zeros(len(pairs) * parts)
    table[position * parts + keys % parts] = counts
    return pairs, table.view(-1, parts)


def _all_pairs(key: Tensor, bins: int, parts: int) -> tuple[Int64[Tensor, " K"], Int64[Tensor, "K parts"]]:
    """Return all pairs: on a GPU, to find those that occur would make the host wait for the device."""
    table = count_by_key(key.flatten(1), bins).view(-1, parts)
    return torch.arange(len(table), device=key.device), table


def _count_runs(key: np.ndarray, bins: int | None) -> tuple[Int64[Tensor, " K"], Int64[Tensor, " K"]]:
    """Return the keys that occur, ascending, and how often, in a table of ``bins`` or by sorting.

    Runs of equal keys are counted at once: in segment maps, neighbors mostly share their key.
    """
    lengths = None
    ends = np.flatnonzero(key[1:] != key[:-1])
    if 4 * len(ends) <= len(key) and len(key):  # noisy maps have too many runs to gain from
        ends = np.append(ends, len(key) - 1)
        key, lengths = key[ends], np.diff(ends, prepend=-1)
    if bins is not None:
        if lengths is None:
            table = torch.bincount(torch.from_numpy(key), minlength=bins).numpy()
        else:
            table = np.bincount(key, weights=lengths, minlength=bins)  # float64 holds the counts exactly
        keys = np.flatnonzero(table)
        counts = table[keys]
    elif lengths is None:
        keys, counts = np.unique(key, return_counts=True)
    else:
        order = key.argsort()
        key, lengths = key[order], lengths[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        keys, counts = key[first], np.add.reduceat(lengths, first)
    return torch.from_numpy(keys.astype(np.int64, copy=False)), torch.from_numpy(counts.astype(np.int64, copy=False))
