"""Scene complexity: object density and scale variance, computed from segments.

*Object density* is ``log(1 + n / a)`` for ``n`` things in an area of ``a`` squares of 256 x 256 pixels, so that an
image and a crop of it, or a window, have similar values. *Scale variance* is the variance of the natural logarithm of
the areas of things (population variance, 0 for fewer than two things). Crowd regions and stuff are ignored. Void counts
as area, the padding of an image does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from panoptic.segments import Segments
from panoptic.utils.counting import sum_by_key
from panoptic.utils.precision import widest

COMPLEXITY_NAMES = ("object_density", "scale_variance")
"""Names of the two channels of a complexity tensor, in order."""

UNIT_AREA = 256 * 256
"""Area in pixels to which the number of things is related."""


class Measures(NamedTuple):
    """Areas and centers of mass of the segments of a batch.

    Attributes:
        areas: Area of each segment in pixels.
        centers: Center of mass (y, x) of each segment in pixels, relative to the center of the top left pixel. 0 for
            segments without pixels.
    """

    areas: Int64[Tensor, "B N"]
    centers: Float[Tensor, "B N 2"]


def measure(segments: Segments) -> Measures:
    """Compute areas and centers of mass of the segments of a batch.

    Sums are integers, so both are exact up to the final division, on any device.
    """
    height, width = segments.size
    ids = segments.ids.flatten(1).long()
    device = ids.device
    rows = torch.arange(height, device=device).view(1, -1, 1).expand(len(ids), height, width).flatten(1)
    columns = torch.arange(width, device=device).view(1, 1, -1).expand(len(ids), height, width).flatten(1)
    y, x, area = (total[:, 1:] for total in sum_by_key(ids, segments.classes.shape[1] + 1, rows, columns, None))
    centers = widest(torch.stack([y, x], dim=-1)) / area.clamp(min=1).unsqueeze(-1)
    return Measures(area, centers.float())


@lru_cache(maxsize=64)
def thing_table(is_thing: tuple[bool, ...], device: torch.device) -> Bool[Tensor, " C1"]:
    """Return whether each class is a thing; the last entry is for class -1, which marks padding rows.

    Cached, because copying it to the device for every batch would make the host wait for the device.

    Args:
        is_thing: Whether each class is a thing.
        device: Device of the result.
    """
    with torch.inference_mode(False):
        return torch.tensor([*is_thing, False], device=device)


def things_of(
    segments: Segments, is_thing: Sequence[bool], areas: Int64[Tensor, "*batch N"] | None = None
) -> Bool[Tensor, "*batch N"]:
    """Return which segments are countable things: of a thing class, not crowd, with at least one pixel.

    Args:
        segments: Segments of one image or a batch.
        is_thing: Whether each class is a thing.
        areas: Areas of the segments. By default they are computed.
    """
    areas = segments.areas() if areas is None else areas
    return thing_table(tuple(is_thing), segments.classes.device)[segments.classes] & ~segments.crowd & (areas > 0)


def image_complexity(
    segments: Segments,
    is_thing: Sequence[bool],
    areas: Int64[Tensor, "B N"] | None = None,
    extents: Int64[Tensor, "B 2"] | None = None,
) -> Float[Tensor, "B 2"]:
    """Compute object density and scale variance of each image of a batch.

    Args:
        segments: Segments, batched.
        is_thing: Whether each class is a thing.
        areas: Areas of the segments. By default they are computed.
        extents: Height and width of each image. By default the batch has no padding.
    """
    areas = segments.areas() if areas is None else areas
    things = things_of(segments, is_thing, areas)
    count = things.sum(1).float()
    log_area = torch.where(things, widest(areas.clamp(min=1)).log(), 0.0)
    mean = log_area.sum(1, keepdim=True) / count.clamp(min=1).unsqueeze(1)
    variance = torch.where(things, (log_area - mean) ** 2, 0.0).sum(1) / count.clamp(min=1)
    pixels = math.prod(segments.size) if extents is None else extents.prod(1)
    return torch.stack([(count / (pixels / UNIT_AREA)).log1p(), variance.float()], dim=1)


def thing_cells(
    segments: Segments, is_thing: Sequence[bool], *, cell: int, measures: Measures | None = None
) -> Float[Tensor, "B 3 h w"]:
    """Compute number, mean log area and variance of the log areas of the things in each cell of a grid.

    A thing belongs to the cell that contains its center of mass. Log areas are relative to the area of a cell: 0 for a
    thing of the same area. The variance is the population variance. Mean and variance are 0 in cells without things.

    Args:
        segments: Segments, batched.
        is_thing: Whether each class is a thing.
        cell: Side of a cell in pixels. The grid has ``ceil(H / cell)`` by ``ceil(W / cell)`` cells.
        measures: Areas and centers of the segments. By default they are computed.

    Returns:
        Number, mean and variance, stacked along the channels.
    """
    height, width = (-(-side // cell) for side in segments.size)
    areas, centers = measure(segments) if measures is None else measures
    things = things_of(segments, is_thing, areas)
    position = (centers / cell).long()
    index = position[..., 0] * width + position[..., 1]
    log_area = areas.clamp(min=1).float().log() - 2 * math.log(cell)

    def sum_per_cell(values: Float[Tensor, "B N"]) -> Float[Tensor, "B cells"]:
        return values.new_zeros(len(values), height * width).scatter_add_(1, index, values * things)

    count = sum_per_cell(torch.ones_like(log_area))
    mean = sum_per_cell(log_area) / count.clamp(min=1)
    # Squared deviations from the mean of the cell, for precision.
    variance = sum_per_cell((log_area - mean.gather(1, index)) ** 2) / count.clamp(min=1)
    return torch.stack([count, mean, variance], dim=1).unflatten(2, (height, width))


def cell_areas(
    size: tuple[float, float] | Float[Tensor, "B 2"] | Int64[Tensor, "B 2"],
    cell: int,
    device: torch.device,
    cells: Sequence[int] | None = None,
) -> Float[Tensor, "*batch h w"]:
    """Compute the area of the image in each cell of a grid, as a multiple of :data:`UNIT_AREA`.

    Args:
        size: Height and width of the image in pixels, or of each image of a batch.
        cell: Side of a cell in pixels.
        device: Device of the result.
        cells: Height and width of the grid in cells, which may lie partly or wholly outside the image. By default the
            grid just covers it; images of a batch have no default.
    """
    if cells is None:
        assert not isinstance(size, Tensor)
        cells = [math.ceil(side / cell) for side in size]
    sides: list[Tensor | float] = [size[:, axis, None] if isinstance(size, Tensor) else size[axis] for axis in (0, 1)]
    height, width = (
        (side - cell * torch.arange(count, device=device)).clamp(min=0, max=cell)
        for side, count in zip(sides, cells, strict=True)
    )
    return height[..., None] * width[..., None, :] / UNIT_AREA


def complexity_of_cells(
    cells: Float[Tensor, "B 3 h w"], *, window: int, areas: Float[Tensor, "*batch h w"]
) -> Float[Tensor, "B 2 h w"]:
    """Compute object density and scale variance over a window around each cell.

    Args:
        cells: Result of :func:`thing_cells`.
        window: Side of the window in cells, odd. The part of it outside the image is left out.
        areas: Area of the image in each cell, as a multiple of :data:`UNIT_AREA`, of one size or each image.
    """
    count, mean, variance = cells.unbind(1)
    # Centered on the mean of the image, so that the difference of squares below is precise.
    mean = mean - ((count * mean).sum((1, 2)) / count.sum((1, 2)).clamp(min=1))[:, None, None]
    sums = torch.stack([count, count * mean, count * (variance + mean**2)], dim=1)
    sums = window_sums(sums, window)
    count = sums[:, 0].round()
    variance = sums[:, 2] / count.clamp(min=1) - (sums[:, 1] / count.clamp(min=1)) ** 2
    area = window_sums(areas.view(-1, *areas.shape[-2:]), window)
    density = (count / torch.where(area > 0, area, 1.0)).log1p()  # there are no things where there is no area
    return torch.stack([density, torch.where(count >= 2, variance.clamp(min=0), 0.0)], dim=1)


def window_sums(values: Float[Tensor, "*batch h w"], window: int) -> Float[Tensor, "*batch h w"]:
    """Sum values over a window around each cell; cells outside the grid count as 0.

    Args:
        values: Values of the cells.
        window: Side of the window in cells, odd.
    """
    return F.avg_pool2d(values, window, 1, window // 2, divisor_override=1)
