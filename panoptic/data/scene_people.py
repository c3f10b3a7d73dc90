"""Persons, riders, bicycles and motorcycles of synthetic scenes: flat figures that face the camera."""

from __future__ import annotations

import numpy as np

from panoptic.data import scene_colors as colors
from panoptic.data.scene_marks import Color, Fill, Lines, Mark, Shade, bar, box, ellipse
from panoptic.data.scene_view import View

Point = tuple[float, float]
_SKIN = ((240, 205, 180), (215, 170, 140), (165, 115, 85), (95, 65, 50))


class Figure:
    """Places flat figures on the ground: meters to the right of and above a position, to the canvas.

    ``facing`` is 1 or -1, and less where a figure is turned away from the side.
    """

    def __init__(self, view: View, x: float, z: float, facing: float, size: float = 1.0) -> None:
        self.view, self.depth, self.facing = view, view.depth(x, z), facing
        self.scale = view.scale(self.depth) * size
        self.foot = view.foot(self.depth)
        self.center = 1 + view.camera(np.array((x, 0.0, z)))[0] * view.scale(self.depth)

    def flat(self, points) -> np.ndarray:
        """Points of the figure on the canvas."""
        points = np.asarray(points, float)
        return points * (self.scale * self.facing, -self.scale) + (self.center, self.foot)

    def fill(self, color: colors.Rgb | None, *parts, light: float = 1.0) -> Fill:
        """Parts of the figure, all in its outline."""
        seen: Color | None = None if color is None else self.view.tint(color, self.depth, light)
        return Fill([self.flat(part) for part in parts], seen, True)

    def lines(self, color: colors.Rgb, width: float, *lines) -> Lines:
        """Thin tubes of ``width`` meters."""
        return Lines(self.flat(np.array(lines)), self.view.tint(color, self.depth), width * self.scale)

    def shadow(self, width: float) -> Shade:
        """A soft patch on the ground below."""
        spot = ellipse(
            self.center, self.foot, width * self.scale * max(abs(self.facing), 0.4), 0.1 * width * self.scale
        )
        return Shade([spot], 0.6)


def person(rng: np.random.Generator, view: View, x: float, z: float) -> list[Mark]:
    """Someone who stands or walks, 1.2 to 2 meters tall."""
    u = rng.random(10)
    tall = 0.7 if u[0] < 0.08 else 0.92 + 0.2 * u[0]
    figure = Figure(view, x, z, 1.0 if u[1] < 0.5 else -1.0, tall)
    skin = _SKIN[int(u[2] * 4)]
    top, trousers = colors.draw(rng, "cloth"), colors.draw(rng, "cloth")
    hair, shoes = colors.mix((25, 20, 18), (170, 130, 80), u[3] ** 2), (40, 36, 34)
    wide, step = 0.2 + 0.08 * u[4], 0.28 * u[5]
    swing = 0.25 * u[6]
    marks: list[Mark] = [figure.shadow(0.5)]
    marks.append(figure.fill(top, bar((0.9 * wide, 1.42), (wide + swing, 0.85), 0.13, 0.09), light=0.75))
    if u[7] < 0.2:  # a coat or skirt
        marks.append(
            figure.fill(
                skin, bar((-0.09, 0.6), (-0.07 - step, 0.03), 0.13), bar((0.09, 0.6), (0.11 + step, 0.03), 0.13)
            )
        )
        marks.append(figure.fill(trousers, [(-wide, 0.95), (wide, 0.95), (wide + 0.1, 0.42), (-wide - 0.1, 0.42)]))
    else:
        marks.append(figure.fill(trousers, bar((0.09, 0.88), (0.1 + step, 0.06), 0.19, 0.12), light=0.8))
        marks.append(figure.fill(trousers, bar((-0.09, 0.88), (-0.1 - step, 0.05), 0.19, 0.12)))
    marks.append(figure.fill(shoes, box(-0.16 - step, 0, 0.02 - step, 0.08), box(0.04 + step, 0, 0.22 + step, 0.08)))
    marks.append(figure.fill(top, [(-wide, 1.45), (wide, 1.45), (0.85 * wide, 0.84), (-0.85 * wide, 0.84)]))
    marks.append(figure.fill(top, bar((-0.9 * wide, 1.42), (-wide - swing, 0.85), 0.13, 0.1), light=0.88))
    if u[8] < 0.25:  # a bag or rucksack
        bag = colors.draw(rng, "cloth")
        marks.append(figure.fill(bag, box(-wide - 0.16, 0.95, -wide + 0.05, 1.38)))
    return marks + _head(figure, (0.0, 1.6), skin, hair)


def _head(figure: Figure, at: Point, skin: colors.Rgb, hair: colors.Rgb) -> list[Mark]:
    x, y = at
    neck, hat = box(x - 0.05, y - 0.18, x + 0.05, y), ellipse(x - 0.01, y + 0.05, 0.115, 0.1)
    return [figure.fill(skin, neck, light=0.8), figure.fill(skin, ellipse(x, y, 0.1, 0.13)), figure.fill(hair, hat)]


def _wheel(figure: Figure, x: float, radius: float, tire: float, color: colors.Rgb) -> list[Mark]:
    """A wheel of spokes that one can see through."""
    circle = ellipse(x, radius, radius, radius)
    ring = ellipse(x, radius, radius - tire / 2, radius - tire / 2)
    spokes = np.stack([np.tile((x, radius), (4, 1)), ring[[1, 5, 9, 13]]], axis=1)
    segments = np.stack([ring, np.roll(ring, -1, axis=0)], axis=1)
    return [
        figure.fill(None, circle),
        figure.lines((150, 150, 150), 0.012, *spokes),
        figure.lines(color, tire, *segments),
    ]


def bicycle(rng: np.random.Generator, figure: Figure) -> list[Mark]:
    """Two thin wheels, a frame of tubes, saddle and handlebar."""
    paint, tire = colors.draw(rng, "paint"), colors.mix((20, 20, 22), (70, 65, 60), rng.random())
    rear, front, radius = (-0.52, 0.34), (0.52, 0.34), 0.34
    saddle, crank, head = (-0.2, 0.88), (-0.05, 0.32), (0.4, 0.86)
    frame = [(rear, saddle), (rear, crank), (crank, saddle), (crank, head), (saddle, head), (head, front)]
    return [
        figure.shadow(0.8),
        *_wheel(figure, rear[0], radius, 0.075, tire),
        *_wheel(figure, front[0], radius, 0.075, tire),
        figure.fill(None, [rear, saddle, head, front, crank]),
        figure.lines(paint, 0.065, *frame),
        figure.fill((30, 28, 28), box(-0.33, 0.88, -0.08, 0.96)),
        figure.fill((35, 35, 38), bar((0.38, 0.86), (0.34, 1.02), 0.06), bar((0.3, 1.0), (0.5, 1.02), 0.06)),
    ]


def motorcycle(rng: np.random.Generator, figure: Figure) -> list[Mark]:
    """Two thick wheels, an engine, a painted tank, a long seat and a lamp."""
    paint, dark = colors.draw(rng, "paint"), (32, 32, 35)
    hubs = [ellipse(x, 0.32, 0.16, 0.16) for x in (-0.68, 0.7)]
    return [
        figure.shadow(1.1),
        figure.fill(dark, *(ellipse(x, 0.32, 0.33, 0.33) for x in (-0.68, 0.7))),
        figure.fill((140, 140, 145), *hubs),
        figure.fill((95, 95, 100), [(-0.4, 0.25), (0.3, 0.22), (0.36, 0.6), (-0.35, 0.62)]),
        figure.fill((195, 195, 200), bar((-0.85, 0.3), (0.1, 0.25), 0.1)),
        figure.fill(paint, [(-0.1, 0.62), (0.42, 0.6), (0.5, 0.85), (0.3, 0.97), (0.0, 0.92)]),
        figure.fill(paint, [(-0.95, 0.75), (-0.3, 0.6), (-0.1, 0.66), (-0.7, 0.82)], light=0.8),
        figure.fill(dark, [(-0.85, 0.78), (-0.05, 0.78), (-0.1, 0.9), (-0.75, 0.92)]),
        figure.fill((120, 120, 125), bar((0.7, 0.32), (0.45, 1.0), 0.09)),
        figure.fill(dark, bar((0.3, 1.12), (0.5, 1.04), 0.07)),
        figure.fill((250, 245, 215), ellipse(0.58, 0.9, 0.1, 0.11)),
    ]


def rider(rng: np.random.Generator, figure: Figure, on_motorcycle: bool) -> list[Mark]:
    """Someone who sits on a bicycle or motorcycle, bent forward, hands on the bar."""
    u = rng.random(4)
    top, trousers = colors.draw(rng, "cloth"), colors.draw(rng, "cloth")
    skin, helmet = _SKIN[int(u[0] * 4)], colors.draw(rng, "paint")
    hip, hand, foot = (
        ((-0.4, 0.9), (0.36, 1.1), (-0.12, 0.28)) if on_motorcycle else ((-0.2, 0.97), (0.4, 1.02), (0.0, 0.18))
    )
    shoulder, knee = (0.06 + 0.1 * u[1], 1.48), (0.2 + 0.08 * u[2], 0.66)
    head = (shoulder[0] + 0.07, 1.68)
    return [
        figure.fill(trousers, bar(hip, knee, 0.22, 0.16), bar(knee, foot, 0.16, 0.11)),
        figure.fill((40, 36, 34), bar(foot, (foot[0] + 0.2, foot[1] - 0.03), 0.1)),
        figure.fill(top, bar(hip, shoulder, 0.32, 0.36)),
        figure.fill(top, bar(shoulder, hand, 0.14, 0.1), light=0.8),
        *_head(figure, head, skin, helmet),
        figure.fill(helmet, ellipse(head[0], head[1] + 0.05, 0.14, 0.12)),
    ]
