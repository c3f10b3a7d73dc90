"""What the layout of a synthetic scene says to its painter: items in depth order, each a list of marks.

All coordinates are canvas units: x in 0..2 from left to right, y in 0..1 from top to bottom, at any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from jaxtyping import Float, UInt8

CANVAS_WIDTH = 2.0
FINEST = 0.027  # the smallest period of a regular pattern: 3.5 pixels of a 128 x 256 image

Color = tuple[int, int, int]
Polygons = list[np.ndarray]


@dataclass(slots=True)
class Fill:
    """Polygons of one color.

    Attributes:
        polygons: each ``[K 2]``, or one array ``[N K 2]``; those of one mark don't overlap.
        color: red, green, blue; ``None`` draws labels only, as between the bars of a fence.
        labeled: whether the polygons belong to the outline of the item; details inside it need not.
    """

    polygons: Polygons | Float[np.ndarray, "N K 2"]
    color: Color | None
    labeled: bool = False


@dataclass(slots=True)
class Textured:
    """A labeled polygon filled from a noise tile.

    Attributes:
        polygon: the outline.
        tile: the name of a tile of :mod:`panoptic.scenes.textures`.
        period: size of the tile's grain; on the ground, its size per unit below the horizon.
        palette: color of each tile value.
        offset: where in the tile to start, in 0..1.
        horizon: for textures on the ground the height of the horizon, where the period is 0.
    """

    polygon: Float[np.ndarray, "K 2"]
    tile: str
    period: float
    palette: UInt8[np.ndarray, "256 3"]
    offset: tuple[float, float]
    horizon: float | None = None


@dataclass(slots=True)
class Shade:
    """Polygons that darken what was painted there before to ``factor`` in 0..1 of it."""

    polygons: Polygons | Float[np.ndarray, "N K 2"]
    factor: float


@dataclass(slots=True)
class Sky:
    """The whole canvas as sky: ``palette`` runs from zenith over the horizon to clouds, ``clouds`` in 0..1."""

    palette: UInt8[np.ndarray, "256 3"]
    horizon: float
    clouds: float
    offset: tuple[float, float]


Piece = tuple[int, int, int, Color | None, bool, float]
"""A run of points, from and to, as polygons of so many corners each, or as lines if they have a width in canvas units
(the last element). A color of ``None`` draws labels only, as between the spokes of a wheel; of what isn't labeled, only
the image is drawn. Plain, since there are hundreds in a scene."""


@dataclass(slots=True)
class Pieces:
    """Many polygons and lines over each other, their points in one array: a thing is turned into pixels at once."""

    points: Float[np.ndarray, "P 2"]
    pieces: list[Piece]


Mark = Fill | Textured | Shade | Sky | Pieces


@dataclass(slots=True)
class Item:
    """Something in the scene that is painted in one go.

    Attributes:
        class_: its class, ``-1`` for void.
        depth: items are painted from the largest to the smallest.
        marks: how it looks.
        thing: number of the thing or crowd it belongs to, from 1; 0 for stuff.
        crowd: whether that is a crowd.
        pair: things of the same pair (rider and bicycle) are left out together; 0 for none.
        since: from which strength it is there.
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
    """An ellipse as a polygon."""
    return _circle(16) * (rx, ry) + (x, y)


def box(x0: float, y0: float, x1: float, y1: float) -> Float[np.ndarray, "4 2"]:
    """An upright rectangle as a polygon."""
    return np.array(((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


def bar(a: tuple[float, float], b: tuple[float, float], width: float, tip: float | None = None) -> np.ndarray:
    """A limb from ``a`` to ``b`` as a polygon, ``width`` wide at ``a`` and ``tip`` (default: the same) at ``b``."""
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
    """An ellipse with a ragged edge; ``ragged`` in 0..1 is the share by which its radius varies."""
    shape = _circle(points) * (1 + ragged * (rng.random(points) - 0.7))[:, None]
    shape *= (rx, ry)
    shape += (x, y)
    return shape
