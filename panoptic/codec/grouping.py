"""Find centers and assign pixels.

Pure functions of batched tensors on any device. Their temporary memory grows only with the number of pixels: arrays
over pairs of pixels and classes, or pixels and centers, are computed in chunks. On a CPU, distances to many centers are
computed for those centers only that can be the nearest one in a block of pixels.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

CHUNK = {"cpu": 1 << 19, "cuda": 1 << 25}
"""Maximum number of elements per chunk: as many as fit in the caches of a CPU, or enough to keep a GPU busy."""


def most_likely(logits: Float[Tensor, "B C H W"]) -> tuple[Int64[Tensor, "B H W"], Float[Tensor, "B H W"]]:
    """Return the most probable class of each pixel, the first one of ties, and its probability."""
    batch, channels, _, width = logits.shape
    chunks = logits.split(_chunk_size(batch * channels * width, logits.device), dim=2)
    maxima = [_first_maximum(chunk.softmax(1)) for chunk in chunks]
    probability, classes = (torch.cat(parts, dim=1) for parts in zip(*maxima, strict=True))
    return classes, probability


def _first_maximum(values: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B H W"], Int64[Tensor, "B H W"]]:
    """Return the maximum over the channels and its first channel."""
    if values.device.type == "cpu":
        return values.max(1)
    # On a GPU, max returns any index of ties, argmax the first one.
    channel = values.argmax(1)
    return values.gather(1, channel[:, None]).squeeze(1), channel


def find_peaks(
    heat: Float[Tensor, "B h w"], *, window: int, threshold: float, most: int
) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
    """Find the highest local maxima of a heatmap.

    Args:
        heat: Heatmap in 0..1.
        window: Side of the window in which a peak is the maximum, in cells, odd. Of ties in a window, the first in
            raster order is the maximum.
        threshold: Minimum height of a peak.
        most: Maximum number of peaks per image.

    Returns:
        Cells (row, column) and heights of the peaks, in descending order. Height 0 marks padding.
    """
    columns = heat.shape[2]
    flat = heat.flatten(1)
    keys, is_peak = _local_maxima(heat, window, threshold)
    # Sorted by key, so that peaks of equal height are in raster order on every device.
    lowest = torch.iinfo(keys.dtype).min
    index = torch.where(is_peak, keys, lowest).topk(min(most, flat.shape[1]), dim=1).indices
    heights = torch.where(is_peak, flat, 0.0).gather(1, index)
    count = max(int((heights > 0).sum(1).max()), 1)  # no more than needed, since the cost of later steps grows with K
    heights, index = heights[:, :count], index[:, :count]
    return torch.stack([index // columns, index % columns], dim=-1).float(), heights


def find_peaks_in_bands(
    heat: Float[np.ndarray, "h w"], *, window: int, threshold: float, most: int, device: torch.device, rows: int = 256
) -> tuple[Float[Tensor, "1 K 2"], Float[Tensor, "1 K"], bool]:
    """Find the highest local maxima of a heatmap that may lie in a file, a band of rows at a time.

    Args:
        heat: Heatmap in 0..1.
        window: Side of the window in which a peak is the maximum; see :func:`find_peaks`.
        threshold: Minimum height of a peak.
        most: Maximum number of peaks.
        device: Device to compute on.
        rows: Rows of a band.

    Returns:
        Cells (row, column) and heights of the peaks, as of :func:`find_peaks`, at least one, with height 0 if there is
        none; and whether there were more than ``most``.
    """
    cells, heights, margin = [], [], window // 2
    for start in range(0, len(heat), rows):
        above = min(margin, start)
        band = torch.from_numpy(np.array(heat[start - above : start + rows + margin])).to(device)
        _, is_peak = _local_maxima(band[None], window, threshold)
        found = is_peak.view_as(band)[above : above + rows].nonzero()
        heights.append(band[above:][found[:, 0], found[:, 1]])
        cells.append(found + found.new_tensor([start, 0]))
    height, cell = torch.cat(heights), torch.cat(cells)
    order = height.argsort(descending=True, stable=True)[:most]
    if len(order) == 0:
        return torch.zeros(1, 1, 2, device=device), torch.zeros(1, 1, device=device), False
    return cell[order].float()[None], height[order][None], len(height) > most


def count_peaks(heat: Float[Tensor, "B h w"], *, window: int, threshold: float) -> Int64[Tensor, " B"]:
    """Count the peaks that :func:`find_peaks` would find without a maximum number."""
    return _local_maxima(heat, window, threshold)[1].sum(1)


def _local_maxima(
    heat: Float[Tensor, "B h w"], window: int, threshold: float
) -> tuple[Int64[Tensor, "B hw"], Bool[Tensor, "B hw"]]:
    """Return distinct keys in the order of the heights, and which cells are peaks."""
    # Non-negative floats have the order of their bits. Subtracting the position makes all keys distinct.
    position = torch.arange(heat[0].numel(), device=heat.device).view_as(heat[0])
    keys = (heat.abs().contiguous().view(torch.int32).long() << 32) - position
    return keys.flatten(1), ((window_maximum(keys, window) == keys) & (heat >= threshold)).flatten(1)


def window_maximum(maps: Int64[Tensor, "B h w"], window: int) -> Int64[Tensor, "B h w"]:
    """Compute the maximum over a window around each cell.

    The window is doubled until it is wide enough, so the number of passes over the map is logarithmic in its side.

    Args:
        maps: Integer maps, padded with the minimum of their type.
        window: Side of the window in cells, odd.
    """
    lowest, margin = torch.iinfo(maps.dtype).min, window // 2
    for dim, padding in ((1, (0, 0, margin, margin)), (2, (margin, margin))):
        maps = F.pad(maps, padding, value=lowest)
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
    """Assign pixels to the center nearest to the position they point to.

    Args:
        offset: Offset (dy, dx) from each pixel to the position it points to, in pixels.
        where: Whether to assign each pixel. The cost grows only with the number of assigned pixels.
        centers: Centers (row, column) in pixels.
        counts: Number of centers of each image; the others are padding, which comes last.

    Returns:
        Index of the center of each pixel, 0..K-1, the first one of ties; 0 for pixels that are not assigned.
    """
    nearest = torch.zeros_like(where, dtype=torch.int64)
    for image, count in enumerate(counts.tolist()):
        if count == 0:
            continue
        for rows, columns in _blocks(where[image], count):
            row, column = where[image, rows, columns].nonzero(as_tuple=True)
            if len(row) == 0:
                continue
            row, column = row + rows.start, column + columns.start
            y, x = (delta[row, column] + start for delta, start in zip(offset[image], (row, column), strict=True))
            nearest[image, row, column] = _nearest_of(y, x, centers[image, :count])
    return nearest


BLOCK = 64
"""Side in pixels of the blocks whose pixels have few centers near where they point to."""


def _blocks(where: Bool[Tensor, "H W"], count: int) -> list[tuple[slice, slice]]:
    """Return the parts of an image to assign one after another: blocks where that saves distances, else the image."""
    height, width = where.shape
    if where.device.type != "cpu" or count <= BLOCK:
        return [(slice(0, height), slice(0, width))]
    rows, columns = (
        [slice(start, min(start + BLOCK, side)) for start in range(0, side, BLOCK)] for side in (height, width)
    )
    return [(row, column) for row in rows for column in columns]


def _nearest_of(y: Float[Tensor, " P"], x: Float[Tensor, " P"], centers: Float[Tensor, "K 2"]) -> Int64[Tensor, " P"]:
    """Return the nearest center of each position, the first one of ties."""
    kept = None
    if y.device.type == "cpu" and len(centers) > BLOCK:
        kept = _candidates(y, x, centers)
        centers = centers[kept]
    center_y, center_x = centers.unbind(1)
    chunk_size = _chunk_size(len(centers), y.device)
    indices = [
        (chunk_y[:, None] - center_y).square_().add_((chunk_x[:, None] - center_x).square_()).argmin(1)
        for chunk_y, chunk_x in zip(y.split(chunk_size), x.split(chunk_size), strict=True)
    ]
    found = torch.cat(indices)
    return found if kept is None else kept[found]


def _candidates(y: Float[Tensor, " P"], x: Float[Tensor, " P"], centers: Float[Tensor, "K 2"]) -> Int64[Tensor, " k"]:
    """Return the centers that may be the nearest one of any of the positions, in order.

    A center is none if it is farther from the rectangle of the positions than another one can be from any point of it.
    """
    low, high = torch.stack([y.min(), x.min()]), torch.stack([y.max(), x.max()])
    least = torch.maximum(low - centers, centers - high).clamp(min=0).square().sum(1)
    most = torch.maximum(centers - low, high - centers).square().sum(1).min()
    return (least <= most * (1 + 1e-5)).nonzero().squeeze(1)


def _chunk_size(elements_per_item: int, device: torch.device) -> int:
    """Return the number of items per chunk."""
    return max(CHUNK.get(device.type, CHUNK["cuda"]) // elements_per_item, 1)
