"""Camera of a synthetic scene: a pinhole above flat ground, and haze that fades colors with distance.

World coordinates are in meters: x across the street, y up, z along it. The camera is above the origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int

from panoptic.scenes.marks import Color

NEAR = 0.4
"""Depth of the near plane, in meters."""

Numbers = TypeVar("Numbers", float, Float[np.ndarray, "..."])


@dataclass(frozen=True)
class View:
    """A camera and the haze in front of it.

    Attributes:
        height: Height of the camera above the ground, in meters.
        focal: Focal length, in image heights.
        horizon: Vertical position of the horizon, in canvas units.
        yaw: Viewing direction, in radians to the right of the street's direction.
        haze: Color of the haze.
        clearness: Distance in meters at which two thirds of a color are lost.
        light: Brightness of surfaces that run mostly across the view, and of the others.
        veil: Share of the haze in the color of the sky, in 0..1.
    """

    height: float
    focal: float
    horizon: float
    yaw: float
    haze: tuple[float, float, float]
    clearness: float
    light: tuple[float, float]
    veil: float = 0.0

    def camera(self, world: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Transform world to camera coordinates: right, up above the ground, forward."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        x, z = world[..., 0], world[..., 2]
        points = np.empty(world.shape)
        points[..., 0], points[..., 1], points[..., 2] = x * cos - z * sin, world[..., 1], x * sin + z * cos
        return points

    def world(self, right: Numbers, forward: Numbers) -> tuple[Numbers, Numbers]:
        """Transform camera coordinates to ground positions (x, z), one or many."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        return right * cos + forward * sin, forward * cos - right * sin

    def locate(self, x: float, z: float) -> tuple[float, float]:
        """Transform a ground position to meters to the right and ahead of the camera."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        return x * cos - z * sin, x * sin + z * cos

    def depth(self, x: float, z: float) -> float:
        """Return the depth of a ground position, in meters ahead of the camera."""
        return x * math.sin(self.yaw) + z * math.cos(self.yaw)

    def flatten(self, seen: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Project camera coordinates to the canvas. All points must be in front of the camera."""
        scale = self.focal / seen[..., 2]
        flat = np.empty((*seen.shape[:-1], 2))
        flat[..., 0], flat[..., 1] = 1 + seen[..., 0] * scale, self.horizon + (self.height - seen[..., 1]) * scale
        return flat

    def polygon(self, world: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "M 2"] | None:
        """Project a convex polygon, clipped to the near plane. Return ``None`` if it is off the canvas."""
        points = self.camera(world)
        inside = points[:, 2] >= NEAR
        if not inside.any():
            return None
        if not inside.all():
            corners = []
            for i in range(len(points)):
                a, b = points[i - 1], points[i]
                if inside[i - 1] != inside[i]:
                    corners.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
                if inside[i]:
                    corners.append(b)
            points = np.stack(corners)
            points[:, 2] = np.maximum(points[:, 2], NEAR)
        flat = self.flatten(points)
        (left, top), (right, bottom) = flat.min(axis=0), flat.max(axis=0)
        return flat if right > 0 and left < 2 and bottom > 0 and top < 1 else None

    def stripes(self, world: Float[np.ndarray, "N 4 3"]) -> Float[np.ndarray, "M 4 2"]:
        """Project thin rectangles, clipping their long sides (corners 0 to 1 and 2 to 3) to the near plane."""
        points = self.camera(world)
        depths = points[..., 2]
        ahead = np.minimum(np.maximum(depths[:, 0], depths[:, 1]), np.maximum(depths[:, 2], depths[:, 3])) >= NEAR
        points = points[ahead]
        start, end = points[:, 0::2], points[:, 1::2]
        direction = end - start
        rise = np.where(direction[..., 2:] == 0, 1.0, direction[..., 2:])
        near = (NEAR - start[..., 2:]) / rise  # position along the side where it crosses the near plane
        clipped = np.empty_like(points)
        clipped[:, 0::2] = np.where(start[..., 2:] < NEAR, start + near * direction, start)
        clipped[:, 1::2] = np.where(end[..., 2:] < NEAR, start + near * direction, end)
        np.maximum(clipped[..., 2], NEAR, out=clipped[..., 2])
        return self.flatten(clipped)

    def quads(self, world: Float[np.ndarray, "N K 3"]) -> Float[np.ndarray, "M K 2"]:
        """Project polygons, dropping those that cross the near plane or are entirely off the canvas."""
        points = self.camera(world)
        flat = self.flatten(points[(points[..., 2] >= NEAR).all(axis=1)])
        low, high = flat.min(axis=1), flat.max(axis=1)
        return flat[(high[:, 0] > 0) & (low[:, 0] < 2) & (high[:, 1] > 0) & (low[:, 1] < 1)]

    def scale(self, depth: float) -> float:
        """Return the number of canvas units per meter at a depth."""
        return self.focal / max(depth, NEAR)

    def foot(self, depth: float) -> float:
        """Return the vertical canvas position of the ground at a depth."""
        return self.horizon + self.height * self.scale(depth)

    def tint(self, color: tuple[float, float, float], depth: float, light: float = 1.0) -> Color:
        """Return a color at some brightness, seen through the haze at a depth."""
        clear, air = self.air(depth)
        return tint(color, light * clear, air)

    def air(self, depth: float) -> tuple[float, tuple[float, float, float]]:
        """Return the share of light transmitted from a depth, and the light of the haze, plus 0.5 for rounding."""
        clear = math.exp(-max(depth, 0.0) / self.clearness)
        lost, (red, green, blue) = 1 - clear, self.haze
        return clear, (red * lost + 0.5, green * lost + 0.5, blue * lost + 0.5)


def tint(color: tuple[float, float, float], light: float, air: tuple[float, float, float]) -> Color:
    """Scale a color by ``light`` and add the light of the haze, which includes 0.5 for rounding."""
    red, green, blue = int(color[0] * light + air[0]), int(color[1] * light + air[1]), int(color[2] * light + air[2])
    return red if red < 255 else 255, green if green < 255 else 255, blue if blue < 255 else 255


def thin(points: Float[np.ndarray, "N 2"], spacing: float) -> Int[np.ndarray, " M"]:
    """Return indices of points along a line, skipping points where they are less than ``spacing`` apart."""
    if len(points) < 2:
        return np.arange(len(points))
    steps = np.abs(np.diff(points, axis=0)).max(axis=1)
    buckets = np.floor(np.concatenate([[0.0], np.cumsum(steps)]) / spacing)
    return np.flatnonzero(np.diff(buckets, prepend=-1.0) > 0)
