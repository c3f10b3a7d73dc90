"""How the world of a synthetic scene is seen: a pinhole camera on a flat ground, and air that swallows color.

World coordinates are meters: x across the street, y up, z along it; the camera stands above the origin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from panoptic.scenes.marks import Color

NEAR = 0.4
Numbers = float | Float[np.ndarray, "..."]


@dataclass(frozen=True)
class View:
    """A camera and the air in front of it.

    Attributes:
        height: of the camera above the ground, in meters.
        focal: focal length, in image heights.
        horizon: height of the horizon, in canvas units.
        yaw: direction of sight, in radians to the right of the street's.
        haze: color of the air.
        clearness: distance in meters at which two thirds of a color are lost.
        light: brightness of surfaces seen from the left and from the right.
    """

    height: float
    focal: float
    horizon: float
    yaw: float
    haze: tuple[float, float, float]
    clearness: float
    light: tuple[float, float]

    def camera(self, world: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """World to camera: right, up above the ground, forward."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        x, z = world[..., 0], world[..., 2]
        seen = np.empty(world.shape)
        seen[..., 0], seen[..., 1], seen[..., 2] = x * cos - z * sin, world[..., 1], x * sin + z * cos
        return seen

    def world(self, right: Numbers, forward: Numbers) -> tuple[Numbers, Numbers]:
        """Ground position (x, z) of camera coordinates, one or many."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        return right * cos + forward * sin, forward * cos - right * sin

    def locate(self, x: float, z: float) -> tuple[float, float]:
        """How far to the right and how far ahead of the camera a position on the ground is."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        return x * cos - z * sin, x * sin + z * cos

    def depth(self, x: float, z: float) -> float:
        """Distance in front of the camera of a position on the ground."""
        return x * math.sin(self.yaw) + z * math.cos(self.yaw)

    def flatten(self, seen: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Camera coordinates, all in front of the camera, to the canvas."""
        scale = self.focal / seen[..., 2]
        flat = np.empty((*seen.shape[:-1], 2))
        flat[..., 0], flat[..., 1] = 1 + seen[..., 0] * scale, self.horizon + (self.height - seen[..., 1]) * scale
        return flat

    def project(self, world: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"] | None:
        """World to canvas; ``None`` if any point is behind the camera."""
        seen = self.camera(world)
        return None if seen[..., 2].min() < NEAR else self.flatten(seen)

    def polygon(self, world: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "M 2"] | None:
        """A convex polygon, clipped to what is in front of the camera; ``None`` if nothing is on the canvas."""
        seen = self.camera(world)
        inside = seen[:, 2] >= NEAR
        if not inside.any():
            return None
        if not inside.all():
            corners = []
            for i in range(len(seen)):
                a, b = seen[i - 1], seen[i]
                if inside[i - 1] != inside[i]:
                    corners.append(a + (b - a) * ((NEAR - a[2]) / (b[2] - a[2])))
                if inside[i]:
                    corners.append(b)
            seen = np.stack(corners)
            seen[:, 2] = np.maximum(seen[:, 2], NEAR)
        flat = self.flatten(seen)
        (left, top), (right, bottom) = flat.min(axis=0), flat.max(axis=0)
        return flat if right > 0 and left < 2 and bottom > 0 and top < 1 else None

    def stripes(self, world: Float[np.ndarray, "N 4 3"]) -> Float[np.ndarray, "M 4 2"]:
        """Thin rectangles, their long sides (corners 0 to 1 and 2 to 3) clipped to what is in front of the camera."""
        seen = self.camera(world)
        depths = seen[..., 2]
        ahead = np.minimum(np.maximum(depths[:, 0], depths[:, 1]), np.maximum(depths[:, 2], depths[:, 3])) >= NEAR
        seen = seen[ahead]
        start, end = seen[:, 0::2], seen[:, 1::2]
        way = end - start
        rise = np.where(way[..., 2:] == 0, 1.0, way[..., 2:])
        near = (NEAR - start[..., 2:]) / rise  # where along the way the camera's plane is crossed
        clipped = np.empty_like(seen)
        clipped[:, 0::2] = np.where(start[..., 2:] < NEAR, start + near * way, start)
        clipped[:, 1::2] = np.where(end[..., 2:] < NEAR, start + near * way, end)
        np.maximum(clipped[..., 2], NEAR, out=clipped[..., 2])
        return self.flatten(clipped)

    def quads(self, world: Float[np.ndarray, "N K 3"]) -> Float[np.ndarray, "M K 2"]:
        """Those of many polygons that are wholly in front of the camera and at least partly on the canvas."""
        seen = self.camera(world)
        flat = self.flatten(seen[(seen[..., 2] >= NEAR).all(axis=1)])
        low, high = flat.min(axis=1), flat.max(axis=1)
        return flat[(high[:, 0] > 0) & (low[:, 0] < 2) & (high[:, 1] > 0) & (low[:, 1] < 1)]

    def scale(self, depth: float) -> float:
        """Canvas units per meter at a depth."""
        return self.focal / max(depth, NEAR)

    def foot(self, depth: float) -> float:
        """Height on the canvas of the ground at a depth."""
        return self.horizon + self.height * self.scale(depth)

    def tint(self, color: tuple[float, float, float], depth: float, light: float = 1.0) -> Color:
        """A color under some light, seen through the air."""
        clear, air = self.air(depth)
        return tint(color, light * clear, air)

    def air(self, depth: float) -> tuple[float, tuple[float, float, float]]:
        """Share of the light that gets through to a depth, and the light that the air adds."""
        clear = math.exp(-max(depth, 0.0) / self.clearness)
        lost, (red, green, blue) = 1 - clear, self.haze
        return clear, (red * lost + 0.5, green * lost + 0.5, blue * lost + 0.5)


def tint(color: tuple[float, float, float], light: float, air: tuple[float, float, float]) -> Color:
    """A color dimmed to ``light``, with the light of the air (halves for rounding included) added."""
    red, green, blue = int(color[0] * light + air[0]), int(color[1] * light + air[1]), int(color[2] * light + air[2])
    return red if red < 255 else 255, green if green < 255 else 255, blue if blue < 255 else 255


def thin(points: Float[np.ndarray, "N 2"], spacing: float) -> Int[np.ndarray, " M"]:
    """Indices of points along a line, leaving out some where they are less than ``spacing`` apart."""
    if len(points) < 2:
        return np.arange(len(points))
    steps = np.abs(np.diff(points, axis=0)).max(axis=1)
    buckets = np.floor(np.concatenate([[0.0], np.cumsum(steps)]) / spacing)
    return np.flatnonzero(np.diff(buckets, prepend=-1.0) > 0)
