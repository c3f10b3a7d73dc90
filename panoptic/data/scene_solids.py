"""Solids of synthetic scenes: a profile drawn out to a width, placed on the street and seen in perspective."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panoptic.data import scene_colors as colors
from panoptic.data.scene_marks import Fill, Mark, Shade
from panoptic.data.scene_view import View

Profile = list[tuple[float, float]]


@dataclass(frozen=True)
class Body:
    """A solid: its profile drawn out sideways.

    Attributes:
        profile: shares of length and height.
        rear, length, width, height: meters; ``rear`` is where it begins along the vehicle.
        base: meters above the ground where it begins.
    """

    profile: Profile
    rear: float
    length: float
    width: float
    height: float
    base: float = 0.0


class Pose:
    """Where a vehicle stands and where it looks: turns its coordinates (along, across, up) into marks."""

    def __init__(self, view: View, x: float, z: float, heading: float) -> None:
        self.view, self.x, self.z = view, x, z
        sin, cos = math.sin(heading), math.cos(heading)
        self.depth = view.depth(x, z)
        self.right = float(view.camera(np.array((x, 0.0, z)))[0])
        # Steps along and across the vehicle, as steps to the right and forward of the camera.
        self.along = math.sin(heading - view.yaw), math.cos(heading - view.yaw)
        self.across = self.along[1], -self.along[0]
        self.ahead = -x * sin - z * cos  # where the camera is, in the vehicle's coordinates
        self.beside = -x * cos + z * sin

    def flat(self, along, across, up) -> Float[np.ndarray, "*n 2"]:
        """The canvas position of points of the vehicle."""
        forward = np.maximum(self.depth + self.along[1] * along + self.across[1] * across, 0.3)
        scale = self.view.focal / forward
        x = 1 + (self.right + self.along[0] * along + self.across[0] * across) * scale
        y = self.view.horizon + (self.view.height - up) * scale
        flat = np.empty((*np.broadcast_shapes(x.shape, y.shape), 2))
        flat[..., 0], flat[..., 1] = x, y
        return flat

    def color(self, color: colors.Rgb, light: float = 1.0):
        """A color as seen from here."""
        return self.view.tint(color, self.depth, light)

    def side(self, body: Body) -> float | None:
        """The side of a body that can be seen, as its place across; ``None`` if neither can."""
        if abs(self.beside) <= body.width / 2:
            return None
        return math.copysign(body.width / 2, self.beside)

    def solid(self, body: Body, paint: colors.Rgb, glass: colors.Rgb, panes: tuple[int, ...]) -> list[Mark]:
        """A body: those of its panels that face the camera, ``panes`` of glass, then its visible side."""
        shape = np.array(body.profile) * (body.length, body.height) + (body.rear, body.base)
        flat = self.flat(shape[:, :1], np.array([[-0.5, 0.5]]) * body.width, shape[:, 1:])
        marks: list[Mark] = []
        for i in range(len(shape) - 1):
            panel = np.array((flat[i, 0], flat[i + 1, 0], flat[i + 1, 1], flat[i, 1]))
            if _area(panel) <= 0:
                continue
            steep = abs(shape[i + 1, 1] - shape[i, 1]) / max(np.hypot(*(shape[i + 1] - shape[i])), 1e-6)
            light = 1.12 - 0.3 * steep
            marks.append(Fill([panel], self.color(paint, light), True))
            if i in panes:
                center = panel.mean(axis=0)
                marks.append(Fill([center + (panel - center) * 0.82], self.color(glass)))
        side = self.side(body)
        if side is not None:
            marks.append(Fill([flat[:, 0 if side < 0 else 1]], self.color(paint, 0.92), True))
        return marks

    def on_side(self, body: Body, rects: np.ndarray, color: colors.Rgb) -> list[Mark]:
        """Rectangles ``[N 4]`` (along, up, along, up; shares of the body) on its visible side."""
        side = self.side(body)
        if side is None:
            return []
        a, b, c, d = np.asarray(rects, float).T
        along = body.rear + np.stack([a, c, c, a], axis=-1) * body.length
        return [
            Fill(self.flat(along, side, body.base + np.stack([b, b, d, d], axis=-1) * body.height), self.color(color))
        ]

    def on_end(
        self, body: Body, rects: np.ndarray, front: colors.Rgb, rear: colors.Rgb, lean: float = 0.0
    ) -> list[Mark]:
        """Rectangles ``[N 4]`` (across -1..1, up, across, up) on the front or the rear, whichever can be seen."""
        at_front = self.ahead > body.rear + body.length
        if not at_front and self.ahead > body.rear:
            return []
        a, b, c, d = np.asarray(rects, float).T
        across, up = np.stack([a, c, c, a], axis=-1) * body.width / 2, np.stack([b, b, d, d], axis=-1)
        along = body.rear + body.length * (1 - lean if at_front else 0)
        flat = self.flat(along, across, body.base + up * body.height)
        return [Fill(flat, self.color(front if at_front else rear))]

    def wheels(self, body: Body, places: tuple[float, ...], radius: float) -> list[Mark]:
        """Wheels on the visible side at ``places`` (shares of the length), and tires under the near end."""
        marks: list[Mark] = []
        at = body.rear + body.length * (places[-1] if self.ahead > body.rear + body.length / 2 else places[0])
        tires = np.array([(-1.0, -0.74), (0.74, 1.0)]) * body.width / 2
        across = tires[:, [0, 1, 1, 0]]
        up = np.array([0.0, 0.0, radius * 1.3, radius * 1.3])
        marks.append(Fill(self.flat(at, across, up), self.color((28, 28, 30)), True))
        side = self.side(body)
        if side is not None:
            angles = np.arange(10) * (2 * np.pi / 10)
            circle = np.stack([np.cos(angles), np.sin(angles)]) * radius
            centers = body.rear + body.length * np.array(places)
            for share, color in ((1.0, (25, 25, 28)), (0.5, (165, 165, 170))):
                flat = self.flat(centers[:, None] + share * circle[0], side, radius + share * circle[1])
                marks.append(Fill(flat, self.color(color), share == 1.0))
        return marks

    def shadow(self, length: float, width: float) -> Mark:
        """The shadow on the ground below."""
        along = np.array((-0.53, 0.53, 0.53, -0.53)) * length
        across = np.array((-0.6, -0.6, 0.6, 0.6)) * width
        return Shade([self.flat(along, across, 0.0)], 0.45)

    def skirt(self, body: Body) -> Mark:
        """The dark underside between the wheels."""
        up = body.height * body.profile[0][1] * 1.15
        along = body.rear + np.array((0.04, 0.96)) * body.length
        flat = self.flat(along[[0, 0, 1, 1]], np.array((-0.48, 0.48, 0.48, -0.48)) * body.width, 0.05)
        top = self.flat(along[[0, 0, 1, 1]], np.array((-0.48, 0.48, 0.48, -0.48)) * body.width, up)
        quads = np.stack([np.stack([flat[i - 1], flat[i], top[i], top[i - 1]]) for i in range(4)])
        return Fill(list(quads), self.color((30, 30, 32)), True)


def _area(polygon: Float[np.ndarray, "K 2"]) -> float:
    """Signed area: positive for panels that face the camera."""
    a, b = polygon[1] - polygon[0], polygon[2] - polygon[0]
    c = polygon[3] - polygon[0]
    return float(a[0] * b[1] - a[1] * b[0] + b[0] * c[1] - b[1] * c[0])
