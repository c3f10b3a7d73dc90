"""Upright surfaces of synthetic scenes: buildings with windows, brick walls and fences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from panoptic.scenes import colors
from panoptic.scenes.cover import Cover
from panoptic.scenes.marks import CANVAS_WIDTH, FINEST, Fill, Mark, Textured
from panoptic.scenes.view import NEAR, View

Corner = tuple[float, float]


class Face:
    """Upright rectangle on the ground, with coordinates ``s`` in 0..1 along it and meters above the ground.

    Args:
        view: Camera.
        start: Ground position (x, z) of ``s`` = 0, in meters.
        end: Ground position (x, z) of ``s`` = 1, in meters.
        height: Height, in meters.
    """

    def __init__(self, view: View, start: Corner, end: Corner, height: float) -> None:
        self.view, self.height = view, height
        along, across = end[1] - start[1], end[0] - start[0]
        self.length = math.hypot(along, across)
        self.start, stop = view.locate(*start), view.locate(*end)
        self.step = stop[0] - self.start[0], stop[1] - self.start[1]
        self.depth = max((self.start[1] + stop[1]) / 2, NEAR)
        self.nearest = max(min(self.start[1], stop[1]), 1.5)
        # Surfaces across and along the view are lit differently, which makes the corners of houses visible.
        self.light = view.light[0] if abs(self.step[0]) > 0.7 * self.length else view.light[1]
        self._ends = self._clip()

    def _clip(self) -> tuple[float, float, float, float] | None:
        """Return canvas x and scale of both ends, clipped to the near plane, or ``None`` if the face is out of view."""
        (right, depth), (rise, far) = self.start, self.step
        if max(depth, depth + far) <= NEAR:
            return None
        ends = []
        for s in (0.0, 1.0):
            if depth + s * far < NEAR:
                s = (NEAR - depth) / far
            scale = self.view.focal / max(depth + s * far, NEAR)
            ends += [1 + (right + s * rise) * scale, scale]
        x, scale, x_, scale_ = ends
        return (x, scale, x_, scale_) if min(x, x_) < CANVAS_WIDTH and max(x, x_) > 0 else None

    def bands(self, low: float | np.ndarray, high: float | np.ndarray) -> Float[np.ndarray, "M 4 2"]:
        """Project stripes along the whole face, from ``low`` to ``high`` meters above the ground."""
        low, high = np.atleast_1d(low), np.atleast_1d(high)
        if self._ends is None:
            return np.empty((0, 4, 2))
        x, scale, x_, scale_ = self._ends
        flat, view = np.empty((len(low), 4, 2)), self.view
        flat[:, :, 0] = x, x_, x_, x
        flat[:, :, 1] = np.stack([low, low, high, high], axis=-1)
        flat[:, :, 1] = view.horizon + (view.height - flat[:, :, 1]) * (scale, scale_, scale_, scale)
        return flat

    def outline(self) -> Float[np.ndarray, "4 2"] | None:
        """Project the outline of the face. Return ``None`` if it is off the canvas."""
        if self._ends is None:
            return None
        x, scale, x_, scale_ = self._ends
        horizon, down, up = self.view.horizon, self.view.height, self.view.height - self.height
        top, top_ = horizon + up * scale, horizon + up * scale_
        if min(top, top_) >= 1 or max(horizon + down * scale, horizon + down * scale_) <= 0:
            return None
        return np.array(((x, horizon + down * scale), (x_, horizon + down * scale_), (x_, top_), (x, top)))

    def grid(
        self,
        s0: Float[np.ndarray, " n"],
        s1: Float[np.ndarray, " n"],
        low: Float[np.ndarray, " m"],
        high: Float[np.ndarray, " m"],
    ) -> Float[np.ndarray, "N 4 2"]:
        """Project a grid of rectangles, dropping those off the canvas.

        Args:
            s0: Left edges ``[n]`` along the face.
            s1: Right edges ``[n]`` along the face.
            low: Lower edges ``[m]``, in meters above the ground.
            high: Upper edges ``[m]``, in meters above the ground.

        Returns:
            The rectangles on the canvas.
        """
        view, (right, depth), (rise, far) = self.view, self.start, self.step
        s = np.stack([s0, s1])
        depths = depth + far * s
        scale = view.focal / np.maximum(depths, NEAR)
        x = 1 + (right + rise * s) * scale
        visible = (depths.min(axis=0) >= NEAR) & (x.max(axis=0) > 0) & (x.min(axis=0) < CANVAS_WIDTH)
        x, scale = x[:, visible], scale[:, visible]
        if not x.size:
            return np.empty((0, 4, 2))
        low, high = low[view.horizon + (view.height - low) * scale.min() > 0], high[: len(low)]
        down, up = view.height - low[:, None], view.height - high[: len(low), None]
        flat = np.empty((len(low), x.shape[1], 4, 2))
        flat[..., 0] = x[[0, 1, 1, 0]].T
        flat[..., 0, 1], flat[..., 1, 1] = down * scale[0], down * scale[1]
        flat[..., 2, 1], flat[..., 3, 1] = up * scale[1], up * scale[0]
        flat[..., 1] += view.horizon
        return flat.reshape(-1, 4, 2)

    def color(self, color: colors.Rgb, light: float = 1.0) -> tuple[int, int, int]:
        """Return a color as it appears on this face."""
        return self.view.tint(color, self.depth, self.light * light)

    def marks_along(self, spacing: float, finest: float = FINEST) -> Float[np.ndarray, " N"]:
        """Return positions along the face in front of the camera.

        Args:
            spacing: Approximate distance between positions, in meters.
            finest: Minimum distance on the canvas. Positions that are closer are skipped.

        Returns:
            Positions ``s``, in ascending order.
        """
        count = max(int(self.length / spacing), 1)
        s = np.arange(count + 1) / count
        depths = self.start[1] + self.step[1] * s
        if min(self.start[1], self.start[1] + self.step[1]) < NEAR:
            s, depths = s[depths >= NEAR], depths[depths >= NEAR]
        if not len(s):
            return s
        x = (self.start[0] + self.step[0] * s) * (self.view.focal / finest) / depths
        buckets = np.abs(x - x[0]).astype(np.int64)
        kept = np.empty(len(s), bool)
        kept[0] = True
        np.greater(buckets[1:], buckets[:-1], out=kept[1:])
        return s[kept]


def textured(rng: np.random.Generator, face: Face, color: colors.Rgb, spread: float, tile: str) -> Textured | None:
    """Draw the face as a stained surface.

    Args:
        rng: Random stream.
        face: Face to cover.
        color: Mean color.
        spread: Strength of the stains, in 0..1.
        tile: Name of the noise tile.

    Returns:
        The mark, or ``None`` if the face is off the canvas.
    """
    outline = face.outline()
    if outline is None:
        return None
    low, high = (face.color(colors.mix(color, end, spread)) for end in ((0, 0, 0), (255, 255, 255)))
    period = max(0.25 * face.view.scale(face.depth), 0.016)
    offset = (float(rng.random()), float(rng.random()))
    return Textured(outline, tile, period, colors.palette((0, low), (255, high)), offset)


def building_face(rng: np.random.Generator, face: Face, style: dict[str, Any]) -> list[Mark]:
    """Draw one side of a building: plaster with a grid of windows."""
    base = textured(rng, face, style["color"], style["stain"], "plaster")
    if base is None:
        return []
    marks: list[Mark] = [base]
    story = max(style["story"], 1.3 * FINEST / face.view.scale(face.depth))
    stories = max(int(face.height / story), 1)
    story = face.height / stories
    edges = face.marks_along(style["bay"], 1.2 * FINEST)
    up = np.arange(stories) * story
    if style["ledge"]:
        marks.append(Fill(face.bands(up - 0.05 * story, up + 0.05 * story), face.color(style["trim"])))
    if len(edges) >= 2:
        left, gap = style["margin"], edges[1:] - edges[:-1]
        s0, s1 = edges[:-1] + left * gap, edges[1:] - left * gap
        low, high = up + style["sill"] * story, up + style["lintel"] * story
        if style["frame"]:
            border, rim = 0.09 * gap, 0.07 * story
            marks.append(Fill(face.grid(s0 - border, s1 + border, low - rim, high + rim), face.color(style["trim"])))
        panes = face.grid(s0, s1, low, high)
        marks.append(Fill(panes, face.color(style["glass"])))
        if style["lit"]:
            lit = rng.random(len(panes)) < style["lit"]
            marks.append(Fill(panes[lit], face.view.tint(style["lamp"], face.depth)))
        if style["cross"]:
            middle = (s0 + s1) / 2
            marks.append(
                Fill(face.grid(middle - 0.03 * gap, middle + 0.03 * gap, low, high), face.color(style["trim"]))
            )
    return marks


def building_style(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the style that the sides of a building share."""
    u = rng.random(12).tolist()
    color = colors.draw(rng, "building")
    glass = colors.draw(rng, "glass")
    if abs(sum(glass) - sum(color)) < 150:  # windows identify buildings, so they must stand out
        glass = colors.contrast(color, 0.65)
    ribbon = u[0] < 0.15
    return {
        "color": color,
        "glass": glass,
        "trim": colors.contrast(color, 0.25 + 0.3 * u[1]),
        "lamp": colors.mix((255, 225, 150), (255, 255, 230), u[2]),
        "lit": 0.0 if u[3] < 0.5 else 0.35 * u[4],
        "stain": 0.05 + 0.1 * u[5],
        "story": 2.7 + 1.2 * u[6],
        "bay": 1.6 + 2.0 * u[7],
        "margin": 0.06 if ribbon else 0.2 + 0.08 * u[8],
        "sill": 0.22 + 0.15 * u[9],
        "lintel": 0.75 + 0.12 * u[9],
        "ledge": u[10] < 0.35,
        "frame": not ribbon and u[11] < 0.4,
        "cross": not ribbon and u[11] > 0.7,
    }


def building(
    rng: np.random.Generator, view: View, cover: Cover, x: float, deep: float, z0: float, z1: float
) -> list[Mark]:
    """Draw a house, skipping the parts that nearer houses hide.

    Args:
        rng: Random stream.
        view: Camera.
        cover: Occlusion by nearer houses, which this one is added to.
        x: Position of the front across the street, in meters.
        deep: Extent away from the street, in meters, negative for a house on the left.
        z0: Start along the street, in meters.
        z1: End along the street, in meters.

    Returns:
        The marks.
    """
    height = 3.0 + 4.0 * rng.random() if rng.random() < 0.3 else 6.0 + 16.0 * rng.random() ** 1.5
    marks: list[Mark] = []
    end = z0 if z0 > 0 else z1 if z1 < 0 else None
    ridge = height + 1.5 + 2.5 * rng.random()
    if rng.random() < 0.5 and cover.shows((x + deep, z0), (x, z1), ridge):
        marks += _roof(rng, view, x, deep, z0, z1, height, ridge, end)
    front = cover.add((x, z0), (x, z1), height)
    gable = end is not None and cover.add((x, end), (x + deep, end), height)
    if not front and not gable:
        return marks
    style = building_style(rng)
    if gable and end is not None:
        marks += building_face(rng, Face(view, (x, end), (x + deep, end), height), style)
    return marks + building_face(rng, Face(view, (x, z0), (x, z1), height), style) if front else marks


def _roof(
    rng: np.random.Generator,
    view: View,
    x: float,
    deep: float,
    z0: float,
    z1: float,
    height: float,
    ridge: float,
    end: float | None,
) -> list[Mark]:
    """Draw a gabled roof with its ridge along the street."""
    x_ridge = x + deep / 2
    depth = view.depth(x_ridge, (z0 + z1) / 2)
    color = colors.draw(rng, "roof")
    slope = np.array([(x, height, z0), (x, height, z1), (x_ridge, ridge, z1), (x_ridge, ridge, z0)])
    faces = [(slope, 0.9)]
    if end is not None:
        gable = np.array([(x, height, end), (x + deep, height, end), (x_ridge, ridge, end)])
        faces.append((gable, 0.7))
    polygons = [(view.polygon(face), light) for face, light in faces]
    return [Fill([p], view.tint(color, depth, light), True) for p, light in polygons if p is not None]


def wall(rng: np.random.Generator, view: View, start: Corner, end: Corner) -> list[Mark]:
    """Draw a wall of bricks or blocks with a coping on top."""
    face = Face(view, start, end, 1.2 + 2.3 * rng.random())
    color, amount = colors.draw(rng, "wall"), 0.35 + 0.3 * rng.random()
    base = textured(rng, face, color, 0.1, "plaster")
    if base is None:
        return []
    course = max(0.22 + 0.25 * rng.random(), FINEST / view.scale(0.6 * face.nearest + 0.4 * face.depth))
    courses = max(int(face.height / course), 2)
    course = face.height / courses
    up = np.arange(courses) * course
    joints = face.marks_along(2.2 * course, 1.8 * FINEST)
    tint = face.color(colors.contrast(color, amount))
    marks: list[Mark] = [base, Fill(face.bands(up - 0.09 * course, up + 0.09 * course), tint)]
    if len(joints) >= 2:
        gap = joints[1:] - joints[:-1]
        for parity in (0, 1):  # each course is offset by half a brick from the one below
            s, low = joints[:-1] + 0.5 * parity * gap, up[parity::2]
            marks.append(Fill(face.grid(s - 0.07 * gap, s + 0.07 * gap, low, low + course), tint))
    top = face.bands(face.height - 0.12 * course, face.height + 0.35 * course)
    return [*marks, Fill(top, face.color(color, 1.25), True)]


def fence(rng: np.random.Generator, view: View, start: Corner, end: Corner) -> list[Mark]:
    """Draw a fence between two rails: see-through bars, or boards of two tones."""
    face = Face(view, start, end, 1.2 + 1.3 * rng.random())
    outline = face.outline()
    if outline is None:
        return []
    color = colors.draw(rng, "fence")
    solid = rng.random() < 0.4
    marks: list[Mark] = [Fill([outline], face.color(colors.contrast(color, 0.35)) if solid else None, True)]
    s = face.marks_along(0.18 + 0.3 * rng.random(), 1.15 * FINEST)
    width = 0.5 if solid else 0.36
    if len(s) >= 2:
        top = face.height * (1.0 if solid else 1.06)
        slats = face.grid(s[:-1], s[:-1] + width * (s[1:] - s[:-1]), np.zeros(1), np.array((top,)))
        marks.append(Fill(slats, face.color(color)))
    rails = np.array((0.12, 0.82)) * face.height
    marks.append(Fill(face.bands(rails, rails + 0.09 * face.height), face.color(color, 0.85)))
    return marks


def far_houses(rng: np.random.Generator, view: View, depth: float, low: float, high: float) -> list[Mark]:
    """Draw a skyline of small frontal houses at one depth, from ``low`` to ``high`` on the x axis of the canvas."""
    marks: list[Mark] = []
    x, foot, scale = low, view.foot(depth), view.scale(depth)
    while x < high:
        width, height = 0.08 + 0.2 * rng.random(), (4 + 18 * rng.random()) * scale
        color = colors.draw(rng, "building")
        light = view.light[int(rng.integers(2))]
        body = np.array(((x, foot - height), (x + width, foot - height), (x + width, foot), (x, foot)))
        marks.append(Fill([body], view.tint(color, depth, light), True))
        pitch = FINEST * (1.1 + 0.6 * rng.random())
        columns = np.arange(x + 0.4 * pitch, x + width - 0.6 * pitch, pitch)
        rows = np.arange(foot - height + 0.4 * pitch, foot - 0.7 * pitch, pitch)
        if len(columns) and len(rows):
            left, top = (a.ravel() for a in np.meshgrid(columns, rows))
            right, bottom = left + 0.5 * pitch, top + 0.55 * pitch
            panes = np.stack([left, top, right, top, right, bottom, left, bottom], axis=-1).reshape(-1, 4, 2)
            marks.append(Fill(panes, view.tint(colors.contrast(color, 0.5), depth, light)))
        x += width
    return marks
