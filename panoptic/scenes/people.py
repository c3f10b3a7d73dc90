"""Persons, riders, bicycles and motorcycles of synthetic scenes, as flat figures that face the camera."""

from __future__ import annotations

from functools import cache

import numpy as np

from panoptic.scenes import colors
from panoptic.scenes.marks import Coordinates, Fill, Mark, Shade, bar, box, ellipse
from panoptic.scenes.stencils import Cutter, Stencil
from panoptic.scenes.view import View

Point = tuple[float, float]
_SKIN = ((240, 205, 180), (215, 170, 140), (165, 115, 85), (95, 65, 50))
_POSTURES = 64
_SEATS = 8


class Figure:
    """Placement of a flat figure, with points in meters to the right of and above a ground position.

    Args:
        view: Camera.
        x: Position across the street, in meters.
        z: Position along the street, in meters.
        facing: Horizontal scale: its sign is the direction that the figure faces, and it is below 1 in magnitude where
            the figure is seen at an angle.
        size: Factor on the size of the figure.
    """

    def __init__(self, view: View, x: float, z: float, facing: float, size: float = 1.0) -> None:
        self.view, self.facing = view, facing
        right, self.depth = view.locate(x, z)
        scale = view.scale(self.depth)
        self.scale, self.foot, self.center = scale * size, view.foot(self.depth), 1 + right * scale

    def flat(self, points: Coordinates) -> np.ndarray:
        """Project points of the figure to the canvas."""
        flat = np.array(points, float)
        flat *= (self.scale * self.facing, -self.scale)
        flat += (self.center, self.foot)
        return flat

    def fill(self, color: colors.Rgb, part: Coordinates, light: float = 1.0) -> Fill:
        """Return a mark for a part of the figure that belongs to its outline."""
        return Fill([self.flat(part)], self.view.tint(color, self.depth, light), True)

    def copy(self, stencil: Stencil, palette: dict[str, colors.Rgb]) -> Mark:
        """Return a stencil as a mark at the figure's place."""
        return stencil.copy(self.flat(stencil.points), self.view, self.depth, palette)

    def shadow(self, width: float) -> Shade:
        """Return an elliptical shadow on the ground below."""
        across = width * self.scale * max(abs(self.facing), 0.4)
        return Shade([ellipse(self.center, self.foot, across, 0.1 * width * self.scale)], 0.6)


def person(rng: np.random.Generator, view: View, x: float, z: float) -> list[Mark]:
    """Draw a person who stands or walks, 1.2 to 2 meters tall."""
    u = rng.random(6).tolist()
    size, width = 0.7 if u[0] < 0.08 else 0.92 + 0.2 * u[0], 0.9 + 0.3 * u[1]
    figure = Figure(view, x, z, width if u[2] < 0.5 else -width, size)
    palette = {
        "skin": _SKIN[int(u[3] * 4)],
        "hair": colors.mix((25, 20, 18), (170, 130, 80), u[4] ** 2),
        "top": colors.draw(rng, "cloth"),
        "trousers": colors.draw(rng, "trousers"),
        "bag": colors.draw(rng, "cloth"),
    }
    return [figure.shadow(0.5), figure.copy(_posture(int(u[5] * _POSTURES)), palette)]


@cache
def _posture(number: int) -> Stencil:
    """Return one of many standing or walking postures."""
    u = np.random.Generator(np.random.Philox(5000 + number)).random(5).tolist()
    cut, width, step, swing = Cutter(), 0.2 + 0.06 * u[0], 0.28 * u[1], 0.25 * u[2]
    cut.fill("top", bar((0.9 * width, 1.42), (width + swing, 0.85), 0.13, 0.09), light=0.75)
    left, right = (-0.1 - step, 0.05), (0.1 + step, 0.06)
    if u[3] < 0.2:  # a coat or skirt
        cut.fill("skin", bar((-0.09, 0.6), left, 0.13), bar((0.09, 0.6), right, 0.13))
        cut.fill("trousers", [(-width, 0.95), (width, 0.95), (width + 0.1, 0.42), (-width - 0.1, 0.42)])
    else:
        cut.fill("trousers", bar((0.09, 0.88), right, 0.19, 0.12), light=0.8)
        cut.fill("trousers", bar((-0.09, 0.88), left, 0.19, 0.12))
    cut.fill((40, 36, 34), box(-0.16 - step, 0, 0.02 - step, 0.08), box(0.04 + step, 0, 0.22 + step, 0.08))
    cut.fill("top", [(-width, 1.45), (width, 1.45), (0.85 * width, 0.84), (-0.85 * width, 0.84)])
    cut.fill("top", bar((-0.9 * width, 1.42), (-width - swing, 0.85), 0.13, 0.1), light=0.88)
    if u[4] < 0.25:  # a bag or rucksack
        cut.fill("bag", box(-width - 0.16, 0.95, -width + 0.05, 1.38))
    _head(cut, (0.0, 1.6), "hair")
    return cut.stencil()


def _head(cut: Cutter, at: Point, hair: str) -> None:
    x, y = at
    cut.fill("skin", box(x - 0.05, y - 0.18, x + 0.05, y), light=0.8)
    cut.fill("skin", ellipse(x, y, 0.11, 0.14))
    cut.fill(hair, ellipse(x - 0.01, y + 0.06, 0.125, 0.1))


def bicycle(rng: np.random.Generator, figure: Figure) -> list[Mark]:
    """Draw a bicycle: two thin wheels, a frame of tubes, saddle and handlebar."""
    tire = colors.mix((20, 20, 22), (70, 65, 60), rng.random())
    palette = {"paint": colors.draw(rng, "frame"), "tire": tire}
    return [figure.shadow(0.8), figure.copy(_bicycle(), palette)]


@cache
def _bicycle() -> Stencil:
    cut = Cutter()
    rear, front, saddle, crank, head = (-0.52, 0.34), (0.52, 0.34), (-0.2, 0.88), (-0.05, 0.32), (0.4, 0.86)
    for x, radius in (rear, front):  # the background is visible between the spokes
        ring = ellipse(x, radius, radius - 0.04, radius - 0.04)
        cut.fill(None, ellipse(x, radius, radius, radius))
        cut.lines((150, 150, 150), 0.012, *(((x, radius), tuple(ring[i])) for i in (1, 5, 9, 13)))
        cut.lines("tire", 0.075, np.concatenate([ring, ring[:1]]))
    cut.fill(None, [rear, saddle, head, front, crank])
    frame = [(rear, saddle), (rear, crank), (crank, saddle), (crank, head), (saddle, head), (head, front)]
    cut.lines("paint", 0.065, *frame)
    cut.fill((30, 28, 28), box(-0.33, 0.88, -0.08, 0.96))
    cut.fill((35, 35, 38), bar((0.38, 0.86), (0.34, 1.02), 0.06), bar((0.3, 1.0), (0.5, 1.02), 0.06))
    return cut.stencil()


def motorcycle(rng: np.random.Generator, figure: Figure) -> list[Mark]:
    """Draw a motorcycle: two thick wheels, an engine, a painted tank, a long seat and a lamp."""
    return [figure.shadow(1.1), figure.copy(_motorcycle(), {"paint": colors.draw(rng, "frame")})]


@cache
def _motorcycle() -> Stencil:
    cut, dark = Cutter(), (32, 32, 35)
    cut.fill(dark, *(ellipse(x, 0.32, 0.33, 0.33) for x in (-0.68, 0.7)))
    cut.fill((140, 140, 145), *(ellipse(x, 0.32, 0.16, 0.16) for x in (-0.68, 0.7)))
    cut.fill((95, 95, 100), [(-0.4, 0.25), (0.3, 0.22), (0.36, 0.6), (-0.35, 0.62)])
    cut.fill((195, 195, 200), bar((-0.85, 0.3), (0.1, 0.25), 0.1))
    cut.fill("paint", [(-0.1, 0.62), (0.42, 0.6), (0.5, 0.85), (0.3, 0.97), (0.0, 0.92)])
    cut.fill("paint", [(-0.95, 0.75), (-0.3, 0.6), (-0.1, 0.66), (-0.7, 0.82)], light=0.8)
    cut.fill(dark, [(-0.85, 0.78), (-0.05, 0.78), (-0.1, 0.9), (-0.75, 0.92)])
    cut.fill((120, 120, 125), bar((0.7, 0.32), (0.45, 1.0), 0.09))
    cut.fill(dark, bar((0.3, 1.12), (0.5, 1.04), 0.07))
    cut.fill((250, 245, 215), ellipse(0.58, 0.9, 0.1, 0.11))
    return cut.stencil()


def rider(rng: np.random.Generator, figure: Figure, on_motorcycle: bool) -> list[Mark]:
    """Draw a rider who sits on a bicycle or motorcycle, bent forward with hands on the bar."""
    u = rng.random(2).tolist()
    palette = {
        "skin": _SKIN[int(u[0] * 4)],
        "top": colors.draw(rng, "jacket"),
        "trousers": colors.draw(rng, "trousers"),
        "helmet": colors.draw(rng, "frame"),
    }
    return [figure.copy(_seated(int(u[1] * _SEATS), on_motorcycle), palette)]


@cache
def _seated(number: int, on_motorcycle: bool) -> Stencil:
    u = np.random.Generator(np.random.Philox(6000 + number)).random(2).tolist()
    cut = Cutter()
    hip, hand, foot = (
        ((-0.4, 0.9), (0.36, 1.1), (-0.12, 0.28)) if on_motorcycle else ((-0.2, 0.97), (0.4, 1.02), (0.0, 0.18))
    )
    shoulder, knee = (0.06 + 0.12 * u[0], 1.48), (0.2 + 0.08 * u[1], 0.66)
    head = (shoulder[0] + 0.08, 1.7)
    cut.fill("trousers", bar(hip, knee, 0.24, 0.18), bar(knee, foot, 0.17, 0.12))
    cut.fill((40, 36, 34), bar(foot, (foot[0] + 0.2, foot[1] - 0.03), 0.1))
    cut.fill("top", bar(hip, shoulder, 0.34, 0.4))
    cut.fill("top", bar(shoulder, hand, 0.16, 0.12), light=0.8)
    _head(cut, head, "helmet")
    cut.fill("helmet", ellipse(head[0], head[1] + 0.06, 0.15, 0.13))
    return cut.stencil()
