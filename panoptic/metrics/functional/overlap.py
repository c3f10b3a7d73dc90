"""Intersections of true and predicted segments, the basis of all scores but boundary F1."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Int32, Int64
from torch import Tensor

from panoptic.segments import Segments
from panoptic.utils.counting import count_by_key


def check_pair(prediction: Segments, target: Segments, num_classes: int) -> None:
    """Raise if a prediction and a target cannot be compared.

    The values of ids and classes are checked on a CPU only: on other devices the check would synchronize at every step.

    Args:
        prediction: Predicted segments.
        target: True segments.
        num_classes: Number of classes C.

    Raises:
        ValueError: If the sizes differ, ids are not int32, an id has no row in its table, or a class is not in the
            label space.
    """
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


def intersections(prediction: Segments, target: Segments) -> Int64[Tensor, "B T1 P1"]:
    """Count the pixels of each (target id, predicted id) in each image of a batch; row and column 0 are void."""
    shape = (len(target.ids), target.classes.shape[-1] + 1, prediction.classes.shape[-1] + 1)
    key = torch.add(prediction.ids, _widen(target.ids, shape), alpha=shape[-1])
    return _count(key, shape)


def boundary_intersections(
    prediction: Segments, target: Segments, dilation_ratio: float
) -> Int64[Tensor, "B T1 2 P1 2"]:
    """Compute :func:`intersections` split by whether a pixel is on the true and on the predicted segment's boundary.

    Summed over both splits they are the plain intersections, so one table serves mask and boundary scores.

    Args:
        prediction: Predicted segments, batched.
        target: True segments of the same size, batched.
        dilation_ratio: Width of the boundaries as a share of the diagonal.
    """
    shape = (len(target.ids), target.classes.shape[-1] + 1, 2, prediction.classes.shape[-1] + 1, 2)
    true = torch.add(segment_boundaries(target.ids, dilation_ratio), _widen(target.ids, shape), alpha=2)
    predicted = torch.add(segment_boundaries(prediction.ids, dilation_ratio), prediction.ids, alpha=2)
    return _count(torch.add(predicted, true, alpha=2 * shape[3]), shape)


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


def _count(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Count the pixels by their flat index in the table of their image, ``[B ...]``."""
    images, bins = shape[0], math.prod(shape[1:])
    if key.device.type != "cpu":  # bincount would synchronize to find the largest key; the table's size bounds it
        return count_by_key(key.flatten(1), bins).view(shape)
    if images > 1:
        key = key + torch.arange(images, device=key.device, dtype=key.dtype).view(-1, 1, 1) * bins
    return _count_runs(key.flatten(), images * bins).view(shape)


def _count_runs(key: Tensor, bins: int) -> Int64[Tensor, " bins"]:
    """Compute ``torch.bincount`` by runs of equal keys: in segment maps, neighbors mostly share their key."""
    flat = key.numpy()
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    if 4 * len(ends) > len(flat) or len(flat) == 0:  # noisy maps: too many runs to gain from
        return torch.bincount(key, minlength=bins)
    ends = np.append(ends, len(flat) - 1)
    lengths = np.diff(ends, prepend=-1)
    counts = np.bincount(flat[ends], weights=lengths, minlength=bins)  # float64 holds the counts exactly
    return torch.from_numpy(counts.astype(np.int64))
