"""Solids of synthetic scenes: profiles drawn out to a width, placed on the street and seen in perspective."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from panoptic.scenes.colors import Rgb
from panoptic.scenes.marks import Mark, Shade, ellipse
from panoptic.scenes.stencils import Cutter, Stencil
from panoptic.scenes.view import View

Profile = tuple[tuple[float, float], ...]
_CLOSEST = 0.3  # points nearer than this, in meters, are moved out to it


class Aspect(NamedTuple):
    """What of a vehicle can be seen.

    Attributes:
        side: -1 or 1 for its left or right side, 0 for neither.
        end: 1 for the front, -1 for the rear, 0 for neither.
        near: 1 if its front half is nearer, else -1.
    """

    side: int
    end: int
    near: int


@dataclass(frozen=True)
class Body:
    """A solid: its profile drawn out sideways.

    Attributes:
        profile: shares of length and height, from the rear over the roof to the front.
        rear, length, width, height: meters; ``rear`` is where it begins along the vehicle.
        base: meters above the ground where it begins.
    """

    profile: Profile
    rear: float
    length: float
    width: float
    height: float
    base: float = 0.0


class Carver(Cutter):
    """Cuts the stencil of a vehicle as seen in one aspect; its points are (along, across, up) in meters."""

    def __init__(self, aspect: Aspect) -> None:
        super().__init__()
        self.aspect = aspect

    def solid(self, body: Body, paint: Rgb | str, glass: Rgb | str = "glass", panes: tuple[int, ...] = ()) -> None:
        """A body: its panels from rear to front, ``panes`` of glass, then its visible side."""
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

    def on_side(self, body: Body, polygons, color: Rgb | str) -> None:
        """Polygons ``[N K 2]`` (along, up; shares of the body) on its visible side."""
        if self.aspect.side:
            flat = np.asarray(polygons, float)
            across = np.full(flat.shape[:2], self.aspect.side * body.width / 2)
            along, up = body.rear + flat[..., 0] * body.length, body.base + flat[..., 1] * body.height
            self.details(color, np.stack([along, across, up], axis=-1))

    def on_end(self, body: Body, rects, front: Rgb | str | None, rear: Rgb | str | None) -> None:
        """Rectangles ``[N 4]`` (across -1..1, up, across, up) on the front or the rear, whichever can be seen."""
        color = front if self.aspect.end > 0 else rear
        if self.aspect.end and color is not None:
            flat = quads(rects)
            along = np.full(flat.shape[:2], body.rear + body.length * (self.aspect.end > 0))
            across, up = flat[..., 0] * body.width / 2, body.base + flat[..., 1] * body.height
            self.details(color, np.stack([along, across, up], axis=-1))

    def wheels(self, body: Body, places: tuple[float, ...], radius: float) -> None:
        """Wheels on the visible side at ``places`` (shares of the length), and tires under the near end."""
        at, half = body.rear + body.length * places[-1 if self.aspect.near > 0 else 0], body.width / 2
        for left, right in ((-half, -0.74 * half), (0.74 * half, half)):
            up = 1.3 * radius
            self.fill((28, 28, 30), [(at, left, 0), (at, right, 0), (at, right, up), (at, left, up)])
        if self.aspect.side:
            for place in places:
                for share, color in ((1.0, (25, 25, 28)), (0.5, (165, 165, 170))):
                    circle = ellipse(body.rear + body.length * place, radius, radius * share, radius * share)
                    across = np.full((len(circle), 1), self.aspect.side * half)
                    self.fill(color, np.hstack([circle[:, :1], across, circle[:, 1:]]), labeled=share == 1.0)

    def skirt(self, body: Body) -> None:
        """The dark underside between the wheels, where it can be seen."""
        up, half = body.height * body.profile[0][1] * 1.15, 0.48 * body.width
        rear, front = body.rear + 0.04 * body.length, body.rear + 0.96 * body.length
        if self.aspect.end:
            x = front if self.aspect.end > 0 else rear
            self.fill((30, 30, 32), [(x, -half, 0.05), (x, half, 0.05), (x, half, up), (x, -half, up)])
        if self.aspect.side:
            y = self.aspect.side * half
            self.fill((30, 30, 32), [(rear, y, 0.05), (front, y, 0.05), (front, y, up), (rear, y, up)])


def quads(rects) -> Float[np.ndarray, "N 4 2"]:
    """Corners of rectangles (x, y, x, y)."""
    return np.asarray(rects, float)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


class Pose:
    """Where a vehicle stands and where it looks: turns stencils in its coordinates into marks."""

    def __init__(self, view: View, x: float, z: float, heading: float) -> None:
        self.view = view
        self.right, self.depth = view.locate(x, z)
        # Steps along and across the vehicle, as steps to the right and forward of the camera.
        self.along = math.sin(heading - view.yaw), math.cos(heading - view.yaw)
        # Where the camera is, in the vehicle's coordinates.
        sin, cos = math.sin(heading), math.cos(heading)
        self.ahead, self.beside = -x * sin - z * cos, -x * cos + z * sin

    def aspect(self, rear: float, length: float, width: float) -> Aspect:
        """What can be seen from the camera of a vehicle of this size."""
        side = 0 if abs(self.beside) <= width / 2 else 1 if self.beside > 0 else -1
        end = 1 if self.ahead > rear + length else -1 if self.ahead < rear else 0
        return Aspect(side, end, 1 if self.ahead > rear + length / 2 else -1)

    def copy(self, stencil: Stencil, stretch: tuple[float, float, float], palette: dict[str, Rgb]) -> Mark:
        """A stencil, stretched along, across and upwards, where the vehicle stands."""
        return stencil.copy(self._flat(stencil.points * stretch), self.view, self.depth, palette)

    def shadow(self, length: float, width: float) -> Mark:
        """The shadow on the ground below."""
        half, wide = 0.53 * length, 0.6 * width
        return Shade(
            [self._flat(np.array(((-half, -wide, 0), (half, -wide, 0), (half, wide, 0), (-half, wide, 0))))], 0.45
        )

    def _flat(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "P 2"]:
        """The canvas position of points of the vehicle."""
        x, z = self.along
        seen = points[:, :2] @ np.array(((x, z), (z, -x)))
        scale = self.view.focal / np.maximum(seen[:, 1] + self.depth, _CLOSEST)
        flat = np.empty((len(points), 2))
        flat[:, 0] = 1 + (self.right + seen[:, 0]) * scale
        flat[:, 1] = self.view.horizon + (self.view.height - points[:, 2]) * scale
        return flat
