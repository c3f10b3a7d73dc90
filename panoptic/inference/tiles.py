"""Prediction of images that are too large for the network's memory, tile by tile and decoded once.

Each tile is seen with a margin of its neighbors. What the fusion needs of the whole image, its complexity and its
pooled features, is gathered from all tiles first; meanwhile the levels of the feature pyramid wait in files. Then the
outputs of each tile are computed, and blended with those of its neighbors along the seams. Segments are decoded from
the maps of the whole image, so that a thing that crosses seams is one. Memory is that of a tile and of the map of ids;
other maps of the whole image lie in temporary files.

Where the margin is at least as wide as the network's receptive field, the maps are those of the whole image, up to
rounding. Narrower ones give nearly the same; how nearly, ``python -m benchmarks.tiles`` measures.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from panoptic.codec import Codec
from panoptic.codec.windows import PixelMaps, decode_windows
from panoptic.complexity import cell_areas
from panoptic.errors import InputError
from panoptic.models.complexity import ComplexityEstimate, complexity_estimate
from panoptic.models.network import PanopticNetwork
from panoptic.segments import Segments

LEAST_TILE = 64
"""Smallest side of a tile in pixels."""


@dataclass(frozen=True)
class Tiling:
    """Sizes of tiles.

    Attributes:
        tile: Maximum side of a tile in pixels. Tiles of an image are of nearly equal size.
        overlap: Width of the margin on each side that the network sees in addition, in pixels.

    Raises:
        InputError: If a tile is smaller than :data:`LEAST_TILE`, or the margin is negative or wider than the tile.
    """

    tile: int = 1024
    overlap: int = 128

    def __post_init__(self) -> None:
        for name in ("tile", "overlap"):
            value: Any = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise InputError(f"{name}: expected a whole number of pixels, got {value!r}")
        if self.tile < LEAST_TILE:
            raise InputError(f"tile: expected at least {LEAST_TILE} pixels, or 0 for none, got {self.tile}")
        if not 0 <= self.overlap <= self.tile:
            raise InputError(f"overlap: expected 0 to tile={self.tile} pixels, got {self.overlap}")

    @classmethod
    def of(cls, tile: int, overlap: int | None = None) -> Tiling | None:
        """Return sizes as options give them; ``None`` for ``tile=0``.

        Args:
            tile: Maximum side of a tile, or 0 for none.
            overlap: Width of the margin; by default 128, and half a tile at most.
        """
        if not tile:
            return None
        if overlap is None:
            overlap = min(cls.overlap, tile // 2) if isinstance(tile, int) else cls.overlap
        return cls(tile, overlap)

    def covers(self, size: Sequence[int]) -> bool:
        """Return whether an image of this height and width is no larger than a tile."""
        return max(size) <= self.tile


class Part(NamedTuple):
    """Part of a side of an image that belongs to a tile, in pixels. Inner bounds are multiples of the unit.

    Attributes:
        core: Part that is the tile's alone to count.
        reach: Part on which the tile's outputs are used: the core and, beyond inner bounds, half of a seam.
        seen: Part that the network sees.
    """

    core: slice
    reach: slice
    seen: slice


class TiledPrediction(NamedTuple):
    """Prediction of one image.

    Attributes:
        segments: Segments with scores, on the CPU.
        complexity: Predicted object density and scale variance of the image.
        alpha: Fusion weights, averaged over the image.
        exceeds_limit: Whether the image has more things than are kept.
    """

    segments: Segments
    complexity: Float[Tensor, " 2"]
    alpha: Float[Tensor, " L"]
    exceeds_limit: bool


def parts_along(side: int, tiling: Tiling, unit: int, finest: int) -> list[Part]:
    """Divide a side of an image.

    Args:
        side: Its length in pixels.
        tiling: Sizes of tiles.
        unit: Pixels per cell of the coarsest level; inner bounds are multiples of it.
        finest: Pixels per cell of the finest level; half the width of a seam is a multiple of it.
    """
    count = -(-side // (tiling.tile // unit * unit))
    cells = -(-side // unit)
    bounds = [min(i * cells // count * unit, side) for i in range(count + 1)]
    margin, half = -(-tiling.overlap // unit) * unit, tiling.overlap // 4 // finest * finest

    def widened(start: int, stop: int, by: int) -> slice:
        return slice(max(start - by, 0), min(stop + by, side))

    return [Part(slice(a, b), widened(a, b, half), widened(a, b, margin)) for a, b in pairwise(bounds)]


@torch.inference_mode()
def predict_tiled(
    network: PanopticNetwork, codec: Codec, image: UInt8[np.ndarray, "H W bands"], tiling: Tiling, device: torch.device
) -> TiledPrediction:
    """Predict the segments of an image.

    Args:
        network: Network, on the device.
        codec: Codec of the network. ``max_things`` is the limit for each tile's share of the image.
        image: Image of any bands.
        tiling: Sizes of tiles.
        device: Device of the network.

    Raises:
        InputError: If the temporary files do not fit on their disk.
    """
    size = (image.shape[0], image.shape[1])
    rows, columns = (parts_along(side, tiling, network.coarsest_stride, network.backbone.strides[0]) for side in size)
    tiles = [(row, column) for row in rows for column in columns]
    codec = replace(codec, max_things=codec.max_things * len(tiles))
    with _temporary_folder() as folder:
        gathered = _Gathered(network, size)
        for number, (row, column) in enumerate(tiles):
            part = torch.from_numpy(np.array(image[row.seen, column.seen])).permute(2, 0, 1)[None]
            levels = network.levels(part.to(device))
            gathered.add(levels, row, column)
            for i, level in enumerate(levels):
                np.save(folder / f"{number}_{i}.npy", level.float().cpu().numpy())
        complexity, pooled = gathered.complexity(), gathered.pooled()
        maps = _create_maps(folder, size, codec.stride)
        classes_and_offsets, center = Blender(rows, columns, 1), Blender(rows, columns, codec.stride)
        alpha = torch.zeros(1, 1)
        for number, (row, column) in enumerate(tiles):
            files = [folder / f"{number}_{i}.npy" for i in range(len(gathered.sums))]
            levels = [torch.from_numpy(np.load(file)).to(device) for file in files]
            for file in files:
                file.unlink()
            seen = (row.seen.stop - row.seen.start, column.seen.stop - column.seen.start)
            outputs = network.fused_outputs(levels, gathered.crop(complexity, row, column, levels), seen, pooled)
            rows_used, columns_used = classes_and_offsets.used(number)
            logits, offset = (each[0, :, rows_used, columns_used] for each in codec.at_pixels(outputs, seen))
            values = torch.cat([logits.softmax(0), offset])
            at, final = classes_and_offsets.add(number, values)
            confidence, classes = final[:-2].max(0)
            maps.classes[at], maps.confidence[at] = classes.byte().cpu().numpy(), confidence.cpu().numpy()
            maps.offset[:, at[0], at[1]] = final[-2:].cpu().numpy()
            rows_used, columns_used = center.used(number)
            at, final = center.add(number, outputs.center[:, rows_used, columns_used].float().sigmoid())
            maps.center[at] = final[0].cpu().numpy()
            share = (row.core.stop - row.core.start) * (column.core.stop - column.core.start) / (size[0] * size[1])
            alpha = alpha + share * _mean_alpha(outputs.alpha, row, column, network.backbone.strides[0]).cpu()
        found = decode_windows(codec, maps, [(row.core, column.core) for row, column in tiles], device)
    return TiledPrediction(found.segments, complexity.image[0].cpu(), alpha[0], found.exceeds_limit)


class Blender:
    """Sum of the maps of tiles that come row by row, with weights that fall from 1 to 0 across each seam.

    Of tiles that came, only the seams with those that will come are kept.

    Args:
        rows: Parts of the height.
        columns: Parts of the width.
        stride: Pixels per cell of the maps.
    """

    def __init__(self, rows: Sequence[Part], columns: Sequence[Part], stride: int) -> None:
        self.rows = [_scaled(row, stride) for row in rows]
        self.columns = [_scaled(column, stride) for column in columns]
        self.right: Tensor | None = None
        self.below: list[Tensor | None] = [None] * len(columns)

    def used(self, number: int) -> tuple[slice, slice]:
        """Return the cells of a tile's maps that are used, of all that it sees.

        Args:
            number: Number of the tile, row by row.
        """
        i, j = divmod(number, len(self.columns))
        return _within(self.rows[i]), _within(self.columns[j])

    def add(self, number: int, values: Float[Tensor, "C h w"]) -> tuple[tuple[slice, slice], Float[Tensor, "C a b"]]:
        """Add the maps of the next tile.

        Args:
            number: Number of the tile, row by row.
            values: Its maps, in the cells that are :meth:`used`.

        Returns:
            Where the sum is complete now, in cells of the whole map, and the sum there.
        """
        i, j = divmod(number, len(self.columns))
        row, column = self.rows[i], self.columns[j]
        before, after = _seams(self.columns, j)
        values = values * _weights(values.shape[2], before, after, values.device)
        if before:
            assert self.right is not None
            values[..., :before] += self.right
        width = values.shape[2] - after
        values, self.right = values[..., :width], values[..., width:]
        above, below = _seams(self.rows, i)
        values = values * _weights(values.shape[1], above, below, values.device)[:, None]
        if above:
            strip = self.below[j]
            assert strip is not None
            values[:, :above] += strip
        height = values.shape[1] - below
        values, self.below[j] = values[:, :height], values[:, height:]
        at = (
            slice(row.reach.start, row.reach.start + height),
            slice(column.reach.start, column.reach.start + width),
        )
        return at, values


class _Gathered:
    """What the fusion needs of the whole image, gathered from its tiles."""

    def __init__(self, network: PanopticNetwork, size: tuple[int, int]) -> None:
        self.network = network
        self.size = size
        self.stride = network.complexity_stride
        unit = network.coarsest_stride
        padded = [-(-side // unit) * unit for side in size]
        self.cells = torch.zeros(1, 3, *(side // self.stride for side in padded))
        self.sums: list[Tensor] = []
        self.counts: list[int] = []

    def add(self, levels: Sequence[Float[Tensor, "1 D _ _"]], row: Part, column: Part) -> None:
        """Add the levels of a tile."""
        seen = (row.seen.stop - row.seen.start, column.seen.stop - column.seen.start)
        estimate = self.network.estimate(levels, seen)
        at = _cells(row.core, column.core, self.stride)
        self.cells[..., at[0], at[1]] = _own(estimate.cells, row, column, self.stride).float().cpu()
        cores = [_own(level, row, column, stride) for level, stride in zip(levels, self._strides(levels), strict=True)]
        sums = [core.sum((2, 3), dtype=torch.float32).cpu().double() for core in cores]
        counts = [core.shape[2] * core.shape[3] for core in cores]
        if self.sums:
            sums = [a + b for a, b in zip(sums, self.sums, strict=True)]
            counts = [a + b for a, b in zip(counts, self.counts, strict=True)]
        self.sums, self.counts = sums, counts

    def _strides(self, levels: Sequence[Tensor]) -> list[int]:
        return [self.network.backbone.strides[0] * 2**i for i in range(len(levels))]

    def pooled(self) -> Float[Tensor, "1 LD"]:
        """Return the averages of the levels over the image, as of :func:`panoptic.models.fusion.pool`."""
        means = [total / count for total, count in zip(self.sums, self.counts, strict=True)]
        return torch.cat(means, dim=1).float().to(self.network.mean.device)

    def complexity(self) -> ComplexityEstimate:
        """Return the estimate for the image."""
        areas = cell_areas(self.size, self.stride, self.cells.device, self.cells.shape[-2:])
        count, mean, variance = self.cells.unbind(1)
        estimate = complexity_estimate(count, mean, variance, areas, self.network.complexity.window)
        return ComplexityEstimate(*(part.to(self.network.mean.device) for part in estimate))

    def crop(
        self, complexity: ComplexityEstimate, row: Part, column: Part, levels: Sequence[Tensor]
    ) -> ComplexityEstimate:
        """Return the estimate for the image, with the maps of what a tile sees."""
        top, left = row.seen.start // self.stride, column.seen.start // self.stride
        ratio = self.stride // self.network.backbone.strides[0]
        height, width = (side // ratio for side in levels[0].shape[-2:])
        at = (..., slice(top, top + height), slice(left, left + width))
        return ComplexityEstimate(complexity.image, complexity.map[at], complexity.cells[at])


def _mean_alpha(alpha: Float[Tensor, "1 L *place"], row: Part, column: Part, stride: int) -> Float[Tensor, "1 L"]:
    """Return the fusion weights of a tile, averaged over its core if they are local."""
    return _own(alpha, row, column, stride).flatten(2).mean(2) if alpha.ndim > 2 else alpha


def _own(maps: Float[Tensor, "1 C h w"], row: Part, column: Part, stride: int) -> Float[Tensor, "1 C a b"]:
    """Return the cells of a tile's maps that are in its core."""
    rows, columns = (
        slice((part.core.start - part.seen.start) // stride, -(-(part.core.stop - part.seen.start) // stride))
        for part in (row, column)
    )
    return maps[..., rows, columns]


def _cells(row: slice, column: slice, stride: int) -> tuple[slice, slice]:
    """Return the cells that pixels lie in."""
    return slice(row.start // stride, -(-row.stop // stride)), slice(column.start // stride, -(-column.stop // stride))


def _scaled(part: Part, stride: int) -> Part:
    """Convert parts from pixels to cells; those cut off by the end of the image count as whole."""
    return Part(*(slice(each.start // stride, -(-each.stop // stride)) for each in part))


def _within(part: Part) -> slice:
    """Return the reach of a tile, from the start of what it sees."""
    return slice(part.reach.start - part.seen.start, part.reach.stop - part.seen.start)


def _seams(parts: Sequence[Part], i: int) -> tuple[int, int]:
    """Return the widths of the seams before and after a part."""
    before = parts[i - 1].reach.stop - parts[i].reach.start if i else 0
    after = parts[i].reach.stop - parts[i + 1].reach.start if i + 1 < len(parts) else 0
    return before, after


def _weights(length: int, before: int, after: int, device: torch.device) -> Float[Tensor, " length"]:
    """Return weights that rise over the seam before and fall over the seam after; those of neighbors add to 1."""
    weights = torch.ones(length, device=device)
    if before:
        weights[:before] = (torch.arange(before, device=device) + 0.5) / before
    if after:
        weights[length - after :] = 1 - (torch.arange(after, device=device) + 0.5) / after
    return weights


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Create a temporary folder for a block.

    Raises:
        InputError: If its disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="panoptic-") as name:
        try:
            yield Path(name)
        except OSError as error:
            raise InputError(
                f"{name}: expected room for temporary files of tiles, got: {error.strerror or error}; "
                "the variable TMPDIR names another folder"
            ) from error


def _create_maps(folder: Path, size: tuple[int, int], stride: int) -> PixelMaps:
    """Create maps in files, for which room on the disk is reserved."""
    cells = [-(-side // stride) for side in size]
    return PixelMaps(
        classes=_create(folder / "classes.npy", np.uint8, size),
        confidence=_create(folder / "confidence.npy", np.float32, size),
        offset=_create(folder / "offset.npy", np.float32, (2, *size)),
        center=_create(folder / "center.npy", np.float32, cells),
    )


def _create(file: Path, dtype: type, shape: Sequence[int]) -> np.ndarray:
    length = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with file.open("wb") as opened:
        if hasattr(os, "posix_fallocate"):  # a full disk would otherwise end the process when the map is written
            os.posix_fallocate(opened.fileno(), 0, length)
        else:
            opened.truncate(length)
    return np.memmap(file, dtype, "r+", shape=tuple(shape))
