"""How many pixels each true segment shares with each predicted one: what all scores but boundary F1 are made of."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Int32, Int64
from torch import Tensor

from panoptic.segments import Segments
from panoptic.utils.counting import count_by_key


def check_pair(prediction: Segments, target: Segments, num_classes: int) -> None:
    """Refuses a prediction and a target that cannot be compared.

    Ids and classes are looked at on a CPU only: on another device that would wait for the values in every step.

    Raises:
        ValueError: if their sizes differ, an id is no int32, has no row in its table, or a class is not in the label
            space.
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
        real = classes >= 0  # class -1 is for rows that pad a table at its end
        if ids.numel() and not real.all() and (ids.flatten(-2).amax(-1) > real.sum(-1)).any():
            raise ValueError(f"{name}: expected classes of at least 0 where there are pixels, got {classes.min()}")


def check_shares(dilation_ratio: float | None = None, tolerance: float | None = None) -> None:
    """Refuses shares of the diagonal that are out of range; ``None`` is not looked at.

    Raises:
        ValueError: if the ratio is not above 0 and below 1, or the tolerance not at least 0 and below 1.
    """
    if dilation_ratio is not None and not 0 < dilation_ratio < 1:
        raise ValueError(f"dilation_ratio: expected a share of the diagonal, above 0 and below 1, got {dilation_ratio}")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise ValueError(f"tolerance: expected a share of the diagonal, at least 0 and below 1, got {tolerance}")


def as_batch(segments: Segments) -> Segments:
    """The same segments with a batch dimension."""
    if segments.is_batch:
        return segments
    return Segments(segments.ids[None], segments.classes[None], segments.crowd[None])


def intersections(prediction: Segments, target: Segments) -> Int64[Tensor, "B T1 P1"]:
    """Number of pixels by (target id, predicted id) of each image of a batch; row and column 0 are void."""
    shape = (len(target.ids), target.classes.shape[-1] + 1, prediction.classes.shape[-1] + 1)
    key = torch.add(prediction.ids, _wide_enough(target.ids, shape), alpha=shape[-1])
    return _count(key, shape)


def boundary_intersections(
    prediction: Segments, target: Segments, dilation_ratio: float
) -> Int64[Tensor, "B T1 2 P1 2"]:
    """:func:`intersections`, split by whether the pixel is on the target's and on the predicted segment's boundary.

    The sums over both splits are the plain intersections, so that one pass serves mask and boundary scores.
    """
    shape = (len(target.ids), target.classes.shape[-1] + 1, 2, prediction.classes.shape[-1] + 1, 2)
    true = torch.add(segment_boundaries(target.ids, dilation_ratio), _wide_enough(target.ids, shape), alpha=2)
    predicted = torch.add(segment_boundaries(prediction.ids, dilation_ratio), prediction.ids, alpha=2)
    return _count(torch.add(predicted, true, alpha=2 * shape[3]), shape)


def boundary_width(size: tuple[int, int], dilation_ratio: float) -> int:
    """Width of a segment's boundary in pixels: the share of the diagonal, rounded, at least 1."""
    return max(1, round(dilation_ratio * math.hypot(*size)))


def segment_boundaries(ids: Int32[Tensor, "B H W"], dilation_ratio: float) -> Bool[Tensor, "B H W"]:
    """Whether a pixel belongs to the boundary of its segment, for all segments at once.

    The boundary of Boundary IoU (Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation",
    CVPR 2021): the part of a mask that erosion with a square takes away, the outside of the image being no part of
    any mask. So a pixel is on it where the square of ``2 d + 1`` pixels around it holds another id or passes the
    border; ``d`` is :func:`boundary_width`. Such a square has one id exactly if none of the ``2 d`` x ``2 d`` pixels
    at its upper left differs from its east, south or south-east neighbor, hence one spread serves every segment.
    """
    width, (height, breadth) = boundary_width(tuple(ids.shape[-2:]), dilation_ratio), ids.shape[-2:]
    # Place (y + width, x + width) here is pixel (y, x); what is outside differs from what is inside.
    edges = ids.new_zeros(len(ids), height + 2 * width - 1, breadth + 2 * width - 1, dtype=torch.bool)
    frame = edges[:, width - 1 : height + width, width - 1 : breadth + width]
    frame.fill_(True)
    here, inner = ids[:, :-1, :-1], frame[:, 1:-1, 1:-1]
    torch.ne(here, ids[:, :-1, 1:], out=inner)
    inner.logical_or_(here != ids[:, 1:, :-1]).logical_or_(here != ids[:, 1:, 1:])
    return _any_of_next(_any_of_next(edges, 2 * width, -2), 2 * width, -1)


def _any_of_next(edges: Bool[Tensor, "B h w"], count: int, dim: int) -> Bool[Tensor, "B h2 w2"]:
    """Whether any of ``count`` places from each on is set, along a dimension; those without as many are left out."""
    reach = 1
    while reach < count:  # doubling: each place knows of the next ``reach`` ones
        step = min(reach, count - reach)
        length = edges.shape[dim] - step
        edges = edges.narrow(dim, 0, length) | edges.narrow(dim, step, length)
        reach += step
    return edges


def _wide_enough(ids: Int32[Tensor, "B H W"], shape: tuple[int, ...]) -> Tensor:
    """The ids in a type that holds the number of every place in a table of that shape."""
    return ids if math.prod(shape) <= torch.iinfo(ids.dtype).max else ids.long()


def _count(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Number of pixels by their place in a table of each image, ``[B ...]``."""
    images, bins = shape[0], math.prod(shape[1:])
    if key.device.type != "cpu":  # bincount would wait for the largest key; the widths of the tables bound it
        return count_by_key(key.flatten(1), bins).view(shape)
    if images > 1:
        key = key + torch.arange(images, device=key.device, dtype=key.dtype).view(-1, 1, 1) * bins
    return _count_runs(key.flatten(), images * bins).view(shape)


def _count_runs(key: Tensor, bins: int) -> Int64[Tensor, " bins"]:
    """``torch.bincount`` of maps, in which neighbors mostly share their key, and so by runs."""
    flat = key.numpy()
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    if 4 * len(ends) > len(flat) or len(flat) == 0:  # noise
        return torch.bincount(key, minlength=bins)
    ends = np.append(ends, len(flat) - 1)
    lengths = np.diff(ends, prepend=-1)
    counts = np.bincount(flat[ends], weights=lengths, minlength=bins)  # in float64, which holds them exactly
    return torch.from_numpy(counts.astype(np.int64))
