"""Poles, traffic lights and traffic signs of synthetic scenes."""

from __future__ import annotations

import numpy as np

from panoptic.scenes import colors
from panoptic.scenes.marks import Fill, Item, Mark, bar, box, ellipse
from panoptic.scenes.people import Figure
from panoptic.scenes.street import CLASS
from panoptic.scenes.view import View


def post(rng: np.random.Generator, view: View, x: float, z: float) -> list[Item]:
    """A lamp post, a sign post or traffic lights, at a position on the ground: pole first, then what it carries."""
    figure = Figure(view, x, z, 1.0 if rng.random() < 0.5 else -1.0)
    color, wide, u = colors.draw(rng, "pole"), 0.14 + 0.16 * rng.random(), rng.random()
    if u < 0.25:
        return [Item(CLASS["pole"], figure.depth, _lamp_post(rng, figure, color, wide))]
    tall = (2.5 + 1.5 * rng.random()) if u < 0.6 else (3.2 + 1.6 * rng.random())
    if rng.random() < 0.2:
        tall += 3.0
    pole = Item(CLASS["pole"], figure.depth, [_shaft(figure, color, wide, tall)])
    at, reach = 0.0, 0.0
    if tall > 4.5 and rng.random() < 0.6:  # hung over the street
        reach = at = 1.5 + 2 * rng.random()
        pole.marks.append(figure.fill(color, bar((0, tall - 0.1), (reach, tall - 0.1), 0.7 * wide)))
    carried = _signs if u < 0.6 else _lights
    class_ = CLASS["traffic sign" if u < 0.6 else "traffic light"]
    return [pole, Item(class_, figure.depth - 1e-3, carried(rng, figure, at, tall))]


def _shaft(figure: Figure, color: colors.Rgb, wide: float, tall: float) -> Fill:
    return figure.fill(color, bar((0, 0), (0, tall), wide, 0.8 * wide))


def _lamp_post(rng: np.random.Generator, figure: Figure, color: colors.Rgb, wide: float) -> list[Mark]:
    tall, reach = 4 + 4 * rng.random(), 0.6 + 1.4 * rng.random()
    marks: list[Mark] = [_shaft(figure, color, wide, tall)]
    if rng.random() < 0.75:
        marks.append(figure.fill(color, bar((0, tall - 0.1), (reach, tall + 0.15), 0.6 * wide)))
        marks.append(figure.fill((235, 235, 215), ellipse(reach, tall + 0.1, 0.38, 0.13)))
    return marks


def _lights(rng: np.random.Generator, figure: Figure, at: float, tall: float) -> list[Mark]:
    """A box with three lamps, one of them lit."""
    frame = colors.mix((22, 24, 24), (70, 74, 60), rng.random() ** 2)
    if rng.random() < 0.1:
        frame = colors.draw(rng, "paint")
    height = 1.2 + 0.9 * rng.random()
    wide, low = 0.42 * height, tall - 0.9 * height
    dim = colors.mix((15, 15, 15), frame, 0.3)
    lamps = [ellipse(at, low + height * share, 0.27 * wide, 0.135 * height) for share in (0.82, 0.5, 0.18)]
    lit = int(3 * rng.random())
    glow = ((255, 60, 45), (255, 195, 50), (60, 250, 150))
    marks: list[Mark] = [figure.fill(frame, box(at - wide / 2, low, at + wide / 2, low + height))]
    for i, lamp in enumerate(lamps):
        # Unlit lamps keep a hint of their color: three spots in a box are what to look for.
        marks.append(figure.fill(glow[i] if i == lit else colors.mix(dim, glow[i], 0.3), lamp))
    return marks


def _signs(rng: np.random.Generator, figure: Figure, at: float, tall: float) -> list[Mark]:
    """One or two plates with a rim: disc, triangle, rectangle, octagon or rhombus."""
    marks: list[Mark] = []
    y = tall
    for _ in range(1 + int(rng.random() < 0.35)):
        size = 0.42 + 0.3 * rng.random()
        kind = int(6 * rng.random())
        face = colors.draw(rng, "sign")
        rim = (245, 245, 240) if sum(face) < 480 else colors.from_range(rng, (0.0, 1.0, 0.6, 0.95, 0.4, 0.85))
        shape = np.asarray(_PLATES[kind]) * size + (at, y - size)
        middle = shape.mean(axis=0)
        marks.append(figure.fill(rim, shape))
        marks.append(figure.fill(face, middle + (shape - middle) * 0.72))
        if rng.random() < 0.35:
            marks.append(figure.fill(rim, middle + (box(-0.35, -0.12, 0.35, 0.12)) * size))
        y -= 2.1 * size
    return marks


_eight = np.arange(8) * (np.pi / 4) + np.pi / 8
_PLATES = (
    ellipse(0, 0, 1, 1),
    [(0, 1), (1, -0.8), (-1, -0.8)],
    [(0, -1), (1, 0.8), (-1, 0.8)],
    box(-1.4, -0.7, 1.4, 0.7),
    np.stack([np.cos(_eight), np.sin(_eight)], axis=-1),
    [(0, 1), (1, 0), (0, -1), (-1, 0)],
)
