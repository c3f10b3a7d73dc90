"""Stencils of synthetic scenes: shapes cut once per process, then placed, stretched and colored in a few steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from panoptic.scenes.colors import Rgb
from panoptic.scenes.marks import Color, Pieces
from panoptic.scenes.view import View, tint


class Part(NamedTuple):
    """A run of the points of a stencil: polygons of ``corners`` points each, or lines if they have a ``width``.

    Attributes:
        start, stop: the run.
        corners: number of points of each polygon or line.
        color: the color itself or the name of one that each copy chooses; ``None`` draws labels only.
        light: brightness.
        labeled: whether it belongs to the outline.
        width: of lines, in meters.
        culled: whether it is left out where it turns its back to the camera.
    """

    start: int
    stop: int
    corners: int
    color: Rgb | str | None
    light: float = 1.0
    labeled: bool = True
    width: float = 0.0
    culled: bool = False


@dataclass(frozen=True)
class Stencil:
    """A shape in meters, flat ``(right, up)`` or solid ``(along, across, up)``, and its parts in painting order."""

    points: Float[np.ndarray, "P D"]
    parts: tuple[Part, ...]

    def copy(self, flat: Float[np.ndarray, "P 2"], view: View, depth: float, palette: Mapping[str, Rgb]) -> Pieces:
        """The mark of a copy with its points at ``flat`` on the canvas, seen through the air at a depth."""
        tints: dict[tuple[Rgb | str, float], Color] = {}
        scale, pieces, (clear, air) = view.scale(depth), [], view.air(depth)
        for start, stop, corners, color, light, labeled, width, culled in self.parts:
            if culled and _faces_away(flat[start:stop].tolist()):
                continue
            seen = None
            if color is not None:
                seen = tints.get((color, light))
                if seen is None:
                    plain = palette[color] if isinstance(color, str) else color
                    seen = tints[color, light] = tint(plain, light * clear, air)
            pieces.append((start, stop, corners, seen, labeled, width * scale))
        return Pieces(flat, pieces)


class Cutter:
    """Collects the parts of a stencil."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []
        self._parts: list[Part] = []
        self._count = 0

    def fill(self, color: Rgb | str | None, *polygons, light: float = 1.0, labeled: bool = True, culled=False) -> None:
        """Polygons one after the other; they may overlap."""
        for polygon in polygons:
            points = np.asarray(polygon, float)
            self._add(points, len(points), color, light, labeled, 0.0, culled)

    def details(self, color: Rgb | str, polygons, light: float = 1.0) -> None:
        """Polygons with as many corners each, inside the outline; they don't overlap."""
        points = np.asarray(polygons, float)
        self._add(points.reshape(-1, points.shape[-1]), points.shape[1], color, light, False)

    def lines(self, color: Rgb | str, width: float, *lines) -> None:
        """Lines of as many points each, ``width`` meters wide; they don't belong to the outline."""
        points = np.asarray(lines, float)
        self._add(points.reshape(-1, points.shape[-1]), points.shape[1], color, 1.0, False, width)

    def stencil(self) -> Stencil:
        """What was cut."""
        return Stencil(np.concatenate(self._points), tuple(self._parts))

    def _add(self, points, corners, color, light, labeled, width=0.0, culled=False) -> None:
        start, self._count = self._count, self._count + len(points)
        self._points.append(points)
        self._parts.append(Part(start, self._count, corners, color, light, labeled, width, culled))


def _faces_away(panel: list[list[float]]) -> bool:
    """Whether the corners of a panel run the wrong way round on the canvas."""
    (x, y), (x1, y1), (x2, y2), (x3, y3) = panel
    return (x1 - x) * (y2 - y) - (y1 - y) * (x2 - x) + (x2 - x) * (y3 - y) - (y2 - y) * (x3 - x) <= 0
