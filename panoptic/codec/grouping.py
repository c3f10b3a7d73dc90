"""What decoding groups pixels by: the peaks of a center heatmap, and which of them each pixel points to.

Pure functions of batched tensors, on whatever device these are on. Their temporary memory grows with the number of
pixels alone: what has a number for each pair of a pixel and a class, or of a pixel and a center, is made a piece at a
time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

PIECE = {"cpu": 1 << 19, "cuda": 1 << 25}
"""Numbers that a piece may have: on a CPU what its caches hold, elsewhere enough to keep the device busy."""


def most_likely(logits: Float[Tensor, "B C H W"]) -> tuple[Int64[Tensor, "B H W"], Float[Tensor, "B H W"]]:
    """The most probable class of each pixel, the first of equals, and its probability."""
    batch, channels, _, width = logits.shape
    strips = logits.split(_at_once(batch * channels * width, logits.device), dim=2)
    found = [_first_maximum(strip.softmax(1)) for strip in strips]
    probability, classes = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
    return classes, probability


def _first_maximum(values: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B H W"], Int64[Tensor, "B H W"]]:
    """The largest value over the channels, and the first channel that has it."""
    if values.device.type == "cpu":
        return values.max(1)
    # On a GPU, max gives any of equals, and argmax the first.
    channel = values.argmax(1)
    return values.gather(1, channel[:, None]).squeeze(1), channel


def find_peaks(
    heat: Float[Tensor, "B h w"], *, window: int, threshold: float, most: int
) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
    """Cells (row, column) and heights of the highest local maxima, falling; height 0 marks padding.

    Args:
        heat: in 0..1.
        window: a maximum is the largest value of the window of this side around it, odd; of equals in one window the
            first in reading order counts as the largest.
        threshold: the least height of a peak.
        most: how many peaks an image can have.
    """
    columns = heat.shape[2]
    flat = heat.flatten(1)
    # A float that is not negative orders as its bits do: below them goes the place, so that no two keys are equal.
    place = torch.arange(flat.shape[1], device=heat.device).view_as(heat[0])
    keys = (heat.abs().contiguous().view(torch.int32).long() << 32) - place
    is_peak = (window_maximum(keys, window) == keys).flatten(1) & (flat >= threshold)
    # By their keys, so that peaks of one height have the same order on every device: that of reading.
    lowest = torch.iinfo(keys.dtype).min
    index = torch.where(is_peak, keys.flatten(1), lowest).topk(min(most, flat.shape[1]), dim=1).indices
    heights = torch.where(is_peak, flat, 0.0).gather(1, index)
    count = max(int((heights > 0).sum(1).max()), 1)  # later stages cost by K, so take no more than there are
    heights, index = heights[:, :count], index[:, :count]
    return torch.stack([index // columns, index % columns], dim=-1).float(), heights


def window_maximum(maps: Int64[Tensor, "B h w"], window: int) -> Int64[Tensor, "B h w"]:
    """The largest value of the window of this side, odd, around each cell; what lies outside is smaller than any.

    Windows are doubled until they are wide enough: as many passes over the map as the window has binary digits.
    """
    least, margin = torch.iinfo(maps.dtype).min, window // 2
    for dim, padding in ((1, (0, 0, margin, margin)), (2, (margin, margin))):
        maps = F.pad(maps, padding, value=least)
        width = 1
        while width < window:
            step = min(width, window - width)
            length = maps.shape[dim] - step
            maps = torch.maximum(maps.narrow(dim, 0, length), maps.narrow(dim, step, length))
            width += step
    return maps


def nearest_center(
    offset: Float[Tensor, "B 2 H W"],
    where: Bool[Tensor, "B H W"],
    centers: Float[Tensor, "B K 2"],
    counts: Int64[Tensor, " B"],
) -> Int64[Tensor, "B H W"]:
    """The center, 0..K-1, nearest to where each pixel points; of equals the first, and 0 for pixels not asked for.

    Args:
        offset: (dy, dx) from a pixel to where it points, in pixels.
        where: which pixels are asked for; only these cost anything.
        centers: (row, column) in pixels.
        counts: how many of the centers of an image are real; they come first.
    """
    nearest = torch.zeros_like(where, dtype=torch.int64)
    for image, count in enumerate(counts.tolist()):
        if count == 0:
            continue
        row, column = where[image].nonzero(as_tuple=True)
        y, x = (part[row, column] + at for part, at in zip(offset[image], (row, column), strict=True))
        center_y, center_x = centers[image, :count].unbind(1)
        pieces = [
            (some_y[:, None] - center_y).square_().add_((some_x[:, None] - center_x).square_()).argmin(1)
            for some_y, some_x in zip(*(part.split(_at_once(count, offset.device)) for part in (y, x)), strict=True)
        ]
        nearest[image, row, column] = torch.cat(pieces)
    return nearest


def _at_once(numbers_each: int, device: torch.device) -> int:
    """How many items a piece has, if each takes so many numbers."""
    return max(PIECE.get(device.type, PIECE["cuda"]) // numbers_each, 1)
