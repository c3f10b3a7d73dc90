"""Solids of synthetic scenes: extruded profiles, placed on the street and projected in perspective."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from panoptic.scenes.colors import Rgb
from panoptic.scenes.marks import Coordinates, Mark, Shade, ellipse
from panoptic.scenes.stencils import Cutter, Stencil
from panoptic.scenes.view import View

Profile = tuple[tuple[float, float], ...]
_MIN_DEPTH = 0.3  # depths are clamped to at least this, in meters


class Aspect(NamedTuple):
    """Visible faces of a vehicle.

    Attributes:
        side: Visible side: -1 for left, 1 for right, 0 for neither.
        end: Visible end: 1 for the front, -1 for the rear, 0 for neither.
        near: Half that is nearer to the camera: 1 for the front, -1 for the rear.
    """

    side: int
    end: int
    near: int


@dataclass(frozen=True)
class Body:
    """Solid made by extruding a profile sideways.

    Attributes:
        profile: Points as shares of length and height, from the rear over the roof to the front.
        rear: Position of the rear end along the vehicle, in meters.
        length: Length, in meters.
        width: Width, in meters.
        height: Height, in meters.
        base: Height of the lower edge above the ground, in meters.
    """

    profile: Profile
    rear: float
    length: float
    width: float
    height: float
    base: float = 0.0


class Carver(Cutter):
    """Builder of the stencil of a vehicle in one aspect. Points are (along, across, up) in meters."""

    def __init__(self, aspect: Aspect) -> None:
        super().__init__()
        self.aspect = aspect

    def solid(self, body: Body, paint: Rgb | str, glass: Rgb | str = "glass", panes: tuple[int, ...] = ()) -> None:
        """Add a body: its panels from rear to front, with glass on those in ``panes``, then its visible side."""
        shape = np.array(body.profile) * (body.length, body.height) + (body.rear, body.base)
        half = body.width / 2
        for i, ((a, low), (b, high)) in enumerate(zip(shape[:-1].tolist(), shape[1:].tolist(), strict=True)):
            panel = np.array(((a, -half, low), (b, -half, high), (b, half, high), (a, half, low)))
            light = 1.12 - 0.3 * abs(high - low) / max(math.hypot(b - a, high - low), 1e-6)
            self.fill(paint, panel, light=light, culled=True)
            if i in panes:
                center = panel.mean(axis=0)
                self.fill(glass, center + (panel - center) * 0.84, labeled=False, culled=True)
        if self.aspect.side:
            across = np.full((len(shape), 1), self.aspect.side * half)
            self.fill(paint, np.hstack([shape[:, :1], across, shape[:, 1:]]), light=0.92)

    def on_side(self, body: Body, polygons: Coordinates, color: Rgb | str) -> None:
        """Add polygons ``[N K 2]`` (along, up; as shares of the body) to its visible side."""
        if self.aspect.side:
            flat = np.asarray(polygons, float)
            across = np.full(flat.shape[:2], self.aspect.side * body.width / 2)
            along, up = body.rear + flat[..., 0] * body.length, body.base + flat[..., 1] * body.height
            self.details(color, np.stack([along, across, up], axis=-1))

    def on_end(self, body: Body, rects: Coordinates, front: Rgb | str | None, rear: Rgb | str | None) -> None:
        """Add rectangles ``[N 4]`` (across in -1..1, up, across, up) to the front or the rear, whichever is visible."""
        color = front if self.aspect.end > 0 else rear
        if self.aspect.end and color is not None:
            flat = quads(rects)
            along = np.full(flat.shape[:2], body.rear + body.length * (self.aspect.end > 0))
            across, up = flat[..., 0] * body.width / 2, body.base + flat[..., 1] * body.height
            self.details(color, np.stack([along, across, up], axis=-1))

    def wheels(self, body: Body, places: tuple[float, ...], radius: float) -> None:
        """Add wheels to the visible side at ``places`` (shares of the length), and tires under the near end."""
        along, half = body.rear + body.length * places[-1 if self.aspect.near > 0 else 0], body.width / 2
        for left, right in ((-half, -0.74 * half), (0.74 * half, half)):
            up = 1.3 * radius
            self.fill((28, 28, 30), [(along, left, 0), (along, right, 0), (along, right, up), (along, left, up)])
        if self.aspect.side:
            for place in places:
                for share, color in ((1.0, (25, 25, 28)), (0.5, (165, 165, 170))):
                    circle = ellipse(body.rear + body.length * place, radius, radius * share, radius * share)
                    across = np.full((len(circle), 1), self.aspect.side * half)
                    self.fill(color, np.hstack([circle[:, :1], across, circle[:, 1:]]), labeled=share == 1.0)

    def skirt(self, body: Body) -> None:
        """Add the dark underside between the wheels, on the visible side and end."""
        up, half = body.height * body.profile[0][1] * 1.15, 0.48 * body.width
        rear, front = body.rear + 0.04 * body.length, body.rear + 0.96 * body.length
        if self.aspect.end:
            x = front if self.aspect.end > 0 else rear
            self.fill((30, 30, 32), [(x, -half, 0.05), (x, half, 0.05), (x, half, up), (x, -half, up)])
        if self.aspect.side:
            y = self.aspect.side * half
            self.fill((30, 30, 32), [(rear, y, 0.05), (front, y, 0.05), (front, y, up), (rear, y, up)])


def quads(rects: Coordinates) -> Float[np.ndarray, "N 4 2"]:
    """Return the corners of rectangles (x, y, x, y)."""
    return np.asarray(rects, float)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


class Pose:
    """Position and heading of a vehicle, which turn stencils in its coordinates into marks."""

    def __init__(self, view: View, x: float, z: float, heading: float) -> None:
        self.view = view
        self.right, self.depth = view.locate(x, z)
        # Unit step along the vehicle, in camera coordinates (right, forward).
        self.along = math.sin(heading - view.yaw), math.cos(heading - view.yaw)
        # Position of the camera in the vehicle's coordinates.
        sin, cos = math.sin(heading), math.cos(heading)
        self.ahead, self.beside = -x * sin - z * cos, -x * cos + z * sin

    def aspect(self, rear: float, length: float, width: float) -> Aspect:
        """Return which faces of a vehicle of this size are visible."""
        side = 0 if abs(self.beside) <= width / 2 else 1 if self.beside > 0 else -1
        end = 1 if self.ahead > rear + length else -1 if self.ahead < rear else 0
        return Aspect(side, end, 1 if self.ahead > rear + length / 2 else -1)

    def copy(self, stencil: Stencil, stretch: tuple[float, float, float], palette: dict[str, Rgb]) -> Mark:
        """Return a stencil as a mark at this pose, stretched along, across and upwards."""
        return stencil.copy(self._flat(stencil.points * stretch), self.view, self.depth, palette)

    def shadow(self, length: float, width: float) -> Mark:
        """Return the shadow on the ground."""
        x, y = 0.53 * length, 0.6 * width
        return Shade([self._flat(np.array(((-x, -y, 0), (x, -y, 0), (x, y, 0), (-x, y, 0))))], 0.45)

    def _flat(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 2"]:
        """Project points in vehicle coordinates to the canvas."""
        x, z = self.along
        offsets = points[:, :2] @ np.array(((x, z), (z, -x)))
        scale = self.view.focal / np.maximum(offsets[:, 1] + self.depth, _MIN_DEPTH)
        flat = np.empty((len(points), 2))
        flat[:, 0] = 1 + (self.right + offsets[:, 0]) * scale
        flat[:, 1] = self.view.horizon + (self.view.height - points[:, 2]) * scale
        return flat
