"""Upright surfaces of synthetic scenes: buildings with windows, walls of bricks, fences of bars."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from panoptic.data import scene_colors as colors
from panoptic.data.scene_marks import FINEST, Fill, Mark, Textured
from panoptic.data.scene_view import NEAR, View, thin

Corner = tuple[float, float]


class Face:
    """An upright rectangle from ``start`` to ``end`` on the ground, ``height`` meters tall.

    Its own coordinates are ``s`` along it in 0..1 and meters above the ground.
    """

    def __init__(self, view: View, start: Corner, end: Corner, height: float) -> None:
        self.view, self.height = view, height
        self.start, self.step = np.array(start), np.array(end) - np.array(start)
        self.length = float(np.hypot(*self.step))
        depths = [view.depth(*start), view.depth(*end)]
        self.depth = max(sum(depths) / 2, NEAR)
        self.nearest = max(min(depths), 1.5)
        # Surfaces that look left and those that look right are lit differently, which makes corners visible.
        turned = self.step[0] * np.cos(view.yaw) - self.step[1] * np.sin(view.yaw)
        self.light = view.light[0] if abs(turned) > 0.7 * self.length else view.light[1]

    def world(self, s: Float[np.ndarray, " *n"], up: float) -> Float[np.ndarray, "*n 3"]:
        """World coordinates of points of the face, all at one height."""
        world = np.empty((*np.shape(s), 3))
        world[..., 0], world[..., 1], world[..., 2] = (
            self.start[0] + s * self.step[0],
            up,
            self.start[1] + s * self.step[1],
        )
        return world

    def rect(self, s0, s1, low, high) -> Float[np.ndarray, "N 4 3"]:
        """Rectangles of the face in world coordinates, from broadcastable bounds."""
        shape = np.broadcast_shapes(*map(np.shape, (s0, s1, low, high)))
        world = np.empty((*shape, 4, 3))
        for corners, s in (((0, 3), s0), ((1, 2), s1)):
            for corner in corners:
                world[..., corner, 0] = self.start[0] + s * self.step[0]
                world[..., corner, 2] = self.start[1] + s * self.step[1]
        for corner, up in enumerate((low, low, high, high)):
            world[..., corner, 1] = up
        return world.reshape(-1, 4, 3)

    def outline(self) -> Float[np.ndarray, "K 2"] | None:
        """The face on the canvas."""
        return self.view.polygon(self.rect(0.0, 1.0, 0.0, self.height)[0])

    def color(self, color: colors.Rgb, light: float = 1.0) -> tuple[int, int, int]:
        """A color as seen on this face."""
        return self.view.tint(color, self.depth, self.light * light)

    def marks_along(self, spacing: float, finest: float = FINEST) -> Float[np.ndarray, " N"]:
        """Positions ``s`` about ``spacing`` meters apart, fewer where they would be too dense to be seen."""
        count = max(int(self.length / spacing), 1)
        s = np.linspace(0.0, 1.0, count + 1)
        seen = self.view.camera(self.world(s, 0.0))
        s, seen = s[seen[:, 2] >= NEAR], seen[seen[:, 2] >= NEAR]
        kept = s[thin(self.view.flatten(seen), finest)] if len(s) else s
        return kept


def textured(rng: np.random.Generator, face: Face, color: colors.Rgb, spread: float, tile: str) -> Textured | None:
    """The face as a stained surface."""
    outline = face.outline()
    if outline is None:
        return None
    low, high = (face.color(colors.mix(color, end, spread)) for end in ((0, 0, 0), (255, 255, 255)))
    period = max(0.25 * face.view.scale(face.depth), 0.016)
    offset = (float(rng.random()), float(rng.random()))
    return Textured(outline, tile, period, colors.palette((0, low), (255, high)), offset)


def building_face(rng: np.random.Generator, face: Face, style: dict) -> list[Mark]:
    """One side of a building: plaster or bricks with a grid of windows."""
    base = textured(rng, face, style["color"], style["stain"], "plaster")
    if base is None:
        return []
    marks: list[Mark] = [base]
    storey = max(style["storey"], 1.3 * FINEST / face.view.scale(face.depth))
    storeys = max(int(face.height / storey), 1)
    storey = face.height / storeys
    edges = face.marks_along(style["bay"], 1.2 * FINEST)
    if style["ledge"]:
        up = (np.arange(storeys) * storey)[:, None]
        ledges = face.view.quads(face.rect(0.0, 1.0, up - 0.05 * storey, up + 0.05 * storey))
        marks.append(Fill(ledges, face.color(style["trim"])))
    if len(edges) >= 2:
        left, gap = style["margin"], np.diff(edges)[None, :]
        s0, s1 = edges[None, :-1] + left * gap, edges[None, 1:] - left * gap
        up = (np.arange(storeys) * storey)[:, None]
        low, high = up + style["sill"] * storey, up + style["lintel"] * storey
        if style["frame"]:
            border, rim = 0.09 * gap, 0.07 * storey
            frames = face.rect(s0 - border, s1 + border, low - rim, high + rim)
            marks.append(Fill(face.view.quads(frames), face.color(style["trim"])))
        panes = face.rect(s0, s1, low, high)
        lit = rng.random(len(panes)) < style["lit"]
        marks.append(Fill(face.view.quads(panes[~lit]), face.color(style["glass"])))
        if lit.any():
            marks.append(Fill(face.view.quads(panes[lit]), face.view.tint(style["lamp"], face.depth)))
        if style["cross"]:
            middle = (s0 + s1) / 2
            bars = face.rect(middle - 0.03 * gap, middle + 0.03 * gap, low, high)
            marks.append(Fill(face.view.quads(bars), face.color(style["trim"])))
    return marks


def building_style(rng: np.random.Generator) -> dict:
    """What the sides of one building have in common."""
    u = rng.random(12)
    color = colors.draw(rng, "building")
    glass = colors.draw(rng, "glass")
    if abs(sum(glass) - sum(color)) < 150:  # windows are what makes a building: never lose them
        glass = colors.contrast(color, 0.65)
    ribbon = u[0] < 0.15
    return {
        "color": color,
        "glass": glass,
        "trim": colors.contrast(color, 0.25 + 0.3 * u[1]),
        "lamp": colors.mix((255, 225, 150), (255, 255, 230), u[2]),
        "lit": 0.0 if u[3] < 0.5 else 0.35 * u[4],
        "stain": 0.05 + 0.1 * u[5],
        "storey": 2.7 + 1.2 * u[6],
        "bay": 1.6 + 2.0 * u[7],
        "margin": 0.06 if ribbon else 0.2 + 0.08 * u[8],
        "sill": 0.22 + 0.15 * u[9],
        "lintel": 0.75 + 0.12 * u[9],
        "ledge": u[10] < 0.35,
        "frame": not ribbon and u[11] < 0.4,
        "cross": not ribbon and u[11] > 0.7,
    }


def building(rng: np.random.Generator, view: View, x: float, deep: float, z0: float, z1: float) -> list[Mark]:
    """A house with its front at ``x`` from ``z0`` to ``z1``, reaching ``deep`` meters away from the street.

    ``deep`` is negative for a house on the left.
    """
    height = 3.0 + 4.0 * rng.random() if rng.random() < 0.3 else 6.0 + 16.0 * rng.random() ** 1.5
    style = building_style(rng)
    marks: list[Mark] = []
    end = z0 if z0 > 0 else z1 if z1 < 0 else None
    if rng.random() < 0.5:
        marks += _roof(rng, view, x, deep, z0, z1, height, end)
    if end is not None:
        marks += building_face(rng, Face(view, (x, end), (x + deep, end), height), style)
    return marks + building_face(rng, Face(view, (x, z0), (x, z1), height), style)


def _roof(rng, view: View, x: float, deep: float, z0: float, z1: float, height: float, end) -> list[Mark]:
    """A gabled roof with its ridge along the street."""
    ridge, x_ridge = height + 1.5 + 2.5 * rng.random(), x + deep / 2
    depth = view.depth(x_ridge, (z0 + z1) / 2)
    color = colors.draw(rng, "roof")
    slope = np.array([(x, height, z0), (x, height, z1), (x_ridge, ridge, z1), (x_ridge, ridge, z0)])
    faces = [(slope, 0.9)]
    if end is not None:
        gable = np.array([(x, height, end), (x + deep, height, end), (x_ridge, ridge, end)])
        faces.append((gable, 0.7))
    seen = [(view.polygon(face), light) for face, light in faces]
    return [Fill([p], view.tint(color, depth, light), True) for p, light in seen if p is not None]


def wall(rng: np.random.Generator, view: View, start: Corner, end: Corner) -> list[Mark]:
    """A wall of bricks or blocks with a coping on top."""
    face = Face(view, start, end, 1.2 + 2.3 * rng.random())
    color, amount = colors.draw(rng, "wall"), 0.35 + 0.3 * rng.random()
    base = textured(rng, face, color, 0.1, "plaster")
    if base is None:
        return []
    course = max(0.22 + 0.25 * rng.random(), FINEST / view.scale(0.6 * face.nearest + 0.4 * face.depth))
    courses = max(int(face.height / course), 2)
    course = face.height / courses
    up = np.arange(courses) * course
    ground = face.marks_along(2.2 * course, 1.8 * FINEST)
    joints = [face.rect(0.0, 1.0, up - 0.09 * course, up + 0.09 * course)]
    if len(ground) >= 2:
        half = 0.07 * np.diff(ground)
        for parity in (0, 1):  # each course is shifted by half a brick against the one below
            s = ground[:-1] + (0.5 * np.diff(ground) if parity else 0.0)
            joints.append(face.rect(s - half, s + half, up[parity::2, None], up[parity::2, None] + course))
    # Long joints leave the canvas on the near side, so they are clipped, not left out.
    long = [p for p in map(view.polygon, joints[0]) if p is not None]
    tint = face.color(colors.contrast(color, amount))
    marks: list[Mark] = [base, Fill(long, tint)] + [Fill(view.quads(j), tint) for j in joints[1:]]
    top = view.polygon(face.rect(-0.0, 1.0, face.height - 0.12 * course, face.height + 0.35 * course)[0])
    return marks if top is None else [*marks, Fill([top], face.color(color, 1.25), True)]


def fence(rng: np.random.Generator, view: View, start: Corner, end: Corner) -> list[Mark]:
    """A fence: see-through bars, or boards of two tones, between two rails."""
    face = Face(view, start, end, 0.9 + 1.3 * rng.random())
    outline = face.outline()
    if outline is None:
        return []
    color = colors.draw(rng, "fence")
    solid = rng.random() < 0.4
    marks: list[Mark] = [Fill([outline], face.color(colors.contrast(color, 0.35)) if solid else None, True)]
    s = face.marks_along(0.18 + 0.3 * rng.random(), 1.15 * FINEST)
    width = 0.5 if solid else 0.36
    if len(s) >= 2:
        slats = face.rect(s[:-1], s[:-1] + width * np.diff(s), 0.0, face.height * (1.0 if solid else 1.06))
        marks.append(Fill(view.quads(slats), face.color(color)))
    rails = np.array((0.12, 0.82)) * face.height
    seen = [p for p in map(view.polygon, face.rect(0.0, 1.0, rails, rails + 0.09 * face.height)) if p is not None]
    marks.append(Fill(seen, face.color(color, 0.85)))
    return marks


def far_houses(rng: np.random.Generator, view: View, depth: float, low: float, high: float) -> list[Mark]:
    """A skyline of small frontal houses at one depth, from ``low`` to ``high`` on the canvas's x axis."""
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
