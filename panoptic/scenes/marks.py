"""Drawing primitives of synthetic scenes: the layout makes items, each a list of marks, for the painter.

All coordinates are in canvas units: x in 0..2 from left to right, y in 0..1 from top to bottom, at any resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

CANVAS_WIDTH = 2.0
"""Width of the canvas, whose height is 1."""

FINEST = 0.027
"""Smallest period of a regular pattern, in canvas units: 3.5 pixels of a 128 x 256 image."""

Color = tuple[int, int, int]
Polygons = list[np.ndarray]
Coordinates = np.ndarray | Sequence[Any]
"""Array of coordinates, or nested sequences that convert to one."""


@dataclass(slots=True)
class Fill:
    """Polygons of a single color.

    Attributes:
        polygons: Polygons ``[K 2]``, or one array ``[N K 2]``. Those of one mark must not overlap.
        color: Red, green and blue. ``None`` draws labels only, as between the bars of a fence.
        labeled: Whether the polygons belong to the outline of the item. Details inside the outline need not.
    """

    polygons: Polygons | Float[np.ndarray, "N K 2"]
    color: Color | None
    labeled: bool = False


@dataclass(slots=True)
class Textured:
    """A labeled polygon filled from a noise tile.

    Attributes:
        polygon: Outline.
        tile: Name of a tile, one of :data:`panoptic.scenes.textures.KINDS`.
        period: Size of the tile's grain, in canvas units. On the ground, its size per unit below the horizon.
        palette: Color of each tile value.
        offset: Start (row, column) in the tile, in 0..1.
        horizon: Vertical position of the horizon, where the grain size is 0, for textures on the ground; else ``None``.
    """

    polygon: Float[np.ndarray, "K 2"]
    tile: str
    period: float
    palette: UInt8[np.ndarray, "256 3"]
    offset: tuple[float, float]
    horizon: float | None = None


@dataclass(slots=True)
class Shade:
    """Polygons that darken the image below them.

    Attributes:
        polygons: Polygons ``[K 2]``, or one array ``[N K 2]``.
        factor: Remaining share of the brightness, in 0..1.
    """

    polygons: Polygons | Float[np.ndarray, "N K 2"]
    factor: float


@dataclass(slots=True)
class Sky:
    """The sky, from the top of the canvas to the horizon.

    Attributes:
        palette: Colors from the zenith over the horizon to clouds.
        horizon: Vertical position of the horizon.
        clouds: Strength of the clouds, in 0..1.
        offset: Start (row, column) in the tile of clouds, in 0..1.
    """

    palette: UInt8[np.ndarray, "256 3"]
    horizon: float
    clouds: float
    offset: tuple[float, float]


Piece = tuple[int, int, int, Color | None, bool, float]
"""Polygons or lines of a :class:`Pieces` mark: (start, stop, corners, color, labeled, width).

The points from ``start`` to ``stop`` form polygons of ``corners`` points each, or lines if ``width`` (in canvas units)
is not 0. A color of ``None`` draws labels only, as between the spokes of a wheel. Unlabeled pieces are drawn in the
image only. A plain tuple, because a scene has hundreds of them.
"""


@dataclass(slots=True)
class Pieces:
    """Overlapping polygons and lines in painting order, with all points in one array, converted to pixels together.

    Attributes:
        points: Points of all pieces.
        pieces: Pieces, which refer to ranges of the points.
    """

    points: Float[np.ndarray, "P 2"]
    pieces: list[Piece]


Mark = Fill | Textured | Shade | Sky | Pieces


@dataclass(slots=True)
class Item:
    """Part of a scene that is painted as a unit.

    Attributes:
        class_: Class, ``-1`` for void.
        depth: Sort key: items are painted in descending order.
        marks: Marks, in painting order.
        thing: Number of the thing or crowd that the item belongs to, from 1; 0 for stuff.
        crowd: Whether the item belongs to a crowd.
        pair: Number of the pair (rider and bicycle) that is kept or left out together, from 1; 0 for none.
        since: Smallest strength at which the item is present.
    """

    class_: int
    depth: float
    marks: list[Mark] = field(default_factory=list)
    thing: int = 0
    crowd: bool = False
    pair: int = 0
    since: float = 0.0


@cache
def _circle(points: int) -> Float[np.ndarray, "K 2"]:
    angles = np.arange(points) * (2 * np.pi / points)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def ellipse(x: float, y: float, rx: float, ry: float) -> Float[np.ndarray, "16 2"]:
    """Return an ellipse as a polygon."""
    return _circle(16) * (rx, ry) + (x, y)


def box(x0: float, y0: float, x1: float, y1: float) -> Float[np.ndarray, "4 2"]:
    """Return an axis-aligned rectangle as a polygon."""
    return np.array(((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


def bar(a: tuple[float, float], b: tuple[float, float], width: float, tip: float | None = None) -> np.ndarray:
    """Return a bar as a polygon.

    Args:
        a: Start point.
        b: End point.
        width: Width at ``a``.
        tip: Width at ``b``, by default the same as at ``a``.

    Returns:
        The four corners.
    """
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    nx, ny = -dy / length / 2, dx / length / 2
    tip = width if tip is None else tip
    return np.array(
        (
            (a[0] + nx * width, a[1] + ny * width),
            (b[0] + nx * tip, b[1] + ny * tip),
            (b[0] - nx * tip, b[1] - ny * tip),
            (a[0] - nx * width, a[1] - ny * width),
        )
    )


def blob(rng: np.random.Generator, x: float, y: float, rx: float, ry: float, ragged: float, points: int) -> np.ndarray:
    """Draw an ellipse with a ragged edge, whose radius varies by a share of ``ragged`` in 0..1."""
    shape = _circle(points) * (1 + ragged * (rng.random(points) - 0.7))[:, None]
    shape *= (rx, ry)
    shape += (x, y)
    return shape
