"""Stencils of synthetic scenes: shapes built once per process, then placed, stretched and colored cheaply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from panoptic.scenes.colors import Rgb
from panoptic.scenes.marks import Color, Coordinates, Pieces
from panoptic.scenes.view import View, tint


class Part(NamedTuple):
    """Range of points of a stencil: polygons of ``corners`` points each, or lines if they have a ``width``.

    Attributes:
        start: Index of the first point.
        stop: Index after the last point.
        corners: Number of points of each polygon or line.
        color: Color, or name of a color in the palette of a copy. ``None`` draws labels only.
        light: Brightness.
        labeled: Whether the part belongs to the outline.
        width: Line width, in meters; 0 for polygons.
        culled: Whether to skip the part where it faces away from the camera.
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
    """Shape in meters, flat ``(right, up)`` or solid ``(along, across, up)``, with its parts in painting order."""

    points: Float[np.ndarray, "P D"]
    parts: tuple[Part, ...]

    def copy(self, flat: Float[np.ndarray, "P 2"], view: View, depth: float, palette: Mapping[str, Rgb]) -> Pieces:
        """Return a mark that paints a copy of the stencil.

        Args:
            flat: Canvas positions of the points.
            view: Camera.
            depth: Depth of the copy, in meters, which determines line widths and haze.
            palette: Colors by name.
        """
        tints: dict[tuple[Rgb | str, float], Color] = {}
        scale, pieces, (clear, air) = view.scale(depth), [], view.air(depth)
        for start, stop, corners, color, light, labeled, width, culled in self.parts:
            if culled and _faces_away(flat[start:stop].tolist()):
                continue
            tinted = None
            if color is not None:
                tinted = tints.get((color, light))
                if tinted is None:
                    plain = palette[color] if isinstance(color, str) else color
                    tinted = tints[color, light] = tint(plain, light * clear, air)
            pieces.append((start, stop, corners, tinted, labeled, width * scale))
        return Pieces(flat, pieces)


class Cutter:
    """Builder of a stencil."""

    def __init__(self) -> None:
        self._points: list[np.ndarray] = []
        self._parts: list[Part] = []
        self._count = 0

    def fill(
        self,
        color: Rgb | str | None,
        *polygons: Coordinates,
        light: float = 1.0,
        labeled: bool = True,
        culled: bool = False,
    ) -> None:
        """Add polygons, painted one after the other; they may overlap."""
        for polygon in polygons:
            points = np.asarray(polygon, float)
            self._add(points, len(points), color, light, labeled, 0.0, culled)

    def details(self, color: Rgb | str, polygons: Coordinates, light: float = 1.0) -> None:
        """Add polygons inside the outline, with equal numbers of corners; they must not overlap."""
        points = np.asarray(polygons, float)
        self._add(points.reshape(-1, points.shape[-1]), points.shape[1], color, light, False)

    def lines(self, color: Rgb | str, width: float, *lines: Coordinates) -> None:
        """Add lines with equal numbers of points, ``width`` meters wide; they do not belong to the outline."""
        points = np.asarray(lines, float)
        self._add(points.reshape(-1, points.shape[-1]), points.shape[1], color, 1.0, False, width)

    def stencil(self) -> Stencil:
        """Return the stencil built so far."""
        return Stencil(np.concatenate(self._points), tuple(self._parts))

    def _add(
        self,
        points: Float[np.ndarray, "P D"],
        corners: int,
        color: Rgb | str | None,
        light: float,
        labeled: bool,
        width: float = 0.0,
        culled: bool = False,
    ) -> None:
        start, self._count = self._count, self._count + len(points)
        self._points.append(points)
        self._parts.append(Part(start, self._count, corners, color, light, labeled, width, culled))


def _faces_away(panel: list[list[float]]) -> bool:
    """Return whether the corners of a panel have reversed orientation on the canvas."""
    (x, y), (x1, y1), (x2, y2), (x3, y3) = panel
    return (x1 - x) * (y2 - y) - (y1 - y) * (x2 - x) + (x2 - x) * (y3 - y) - (y2 - y) * (x3 - x) <= 0
