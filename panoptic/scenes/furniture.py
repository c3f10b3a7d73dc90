"""Poles, traffic lights and traffic signs of synthetic scenes."""

from __future__ import annotations

import numpy as np

from panoptic.scenes import colors
from panoptic.scenes.marks import Fill, Item, Mark, bar, box, ellipse
from panoptic.scenes.people import Figure
from panoptic.scenes.street import CLASS
from panoptic.scenes.view import View


def post(rng: np.random.Generator, view: View, x: float, z: float) -> list[Item]:
    """Draw a lamp post, a sign post or traffic lights at a ground position: the pole first, then its attachment."""
    figure = Figure(view, x, z, 1.0 if rng.random() < 0.5 else -1.0)
    color, width, u = colors.draw(rng, "pole"), 0.14 + 0.16 * rng.random(), rng.random()
    if u < 0.25:
        return [Item(CLASS["pole"], figure.depth, _lamp_post(rng, figure, color, width))]
    height = (2.5 + 1.5 * rng.random()) if u < 0.6 else (3.2 + 1.6 * rng.random())
    if rng.random() < 0.2:
        height += 3.0
    pole = Item(CLASS["pole"], figure.depth, [_shaft(figure, color, width, height)])
    offset = 0.0
    if height > 4.5 and rng.random() < 0.6:  # on an arm over the street
        offset = 1.5 + 2 * rng.random()
        pole.marks.append(figure.fill(color, bar((0, height - 0.1), (offset, height - 0.1), 0.7 * width)))
    draw = _signs if u < 0.6 else _lights
    class_ = CLASS["traffic sign" if u < 0.6 else "traffic light"]
    return [pole, Item(class_, figure.depth - 1e-3, draw(rng, figure, offset, height))]


def _shaft(figure: Figure, color: colors.Rgb, width: float, height: float) -> Fill:
    return figure.fill(color, bar((0, 0), (0, height), width, 0.8 * width))


def _lamp_post(rng: np.random.Generator, figure: Figure, color: colors.Rgb, width: float) -> list[Mark]:
    height, reach = 4 + 4 * rng.random(), 0.6 + 1.4 * rng.random()
    marks: list[Mark] = [_shaft(figure, color, width, height)]
    if rng.random() < 0.75:
        marks.append(figure.fill(color, bar((0, height - 0.1), (reach, height + 0.15), 0.6 * width)))
        marks.append(figure.fill((235, 235, 215), ellipse(reach, height + 0.1, 0.38, 0.13)))
    return marks


def _lights(rng: np.random.Generator, figure: Figure, x: float, top: float) -> list[Mark]:
    """Draw a box with three lamps, one of them lit."""
    frame = colors.mix((22, 24, 24), (70, 74, 60), rng.random() ** 2)
    if rng.random() < 0.1:
        frame = colors.draw(rng, "paint")
    height = 1.2 + 0.9 * rng.random()
    width, low = 0.42 * height, top - 0.9 * height
    dim = colors.mix((15, 15, 15), frame, 0.3)
    lamps = [ellipse(x, low + height * share, 0.27 * width, 0.135 * height) for share in (0.82, 0.5, 0.18)]
    lit = int(3 * rng.random())
    glow = ((255, 60, 45), (255, 195, 50), (60, 250, 150))
    marks: list[Mark] = [figure.fill(frame, box(x - width / 2, low, x + width / 2, low + height))]
    for i, lamp in enumerate(lamps):
        # Unlit lamps keep a hint of their color, since three spots in a box identify the class.
        marks.append(figure.fill(glow[i] if i == lit else colors.mix(dim, glow[i], 0.3), lamp))
    return marks


def _signs(rng: np.random.Generator, figure: Figure, x: float, top: float) -> list[Mark]:
    """Draw one or two plates with a rim: disc, triangle, rectangle, octagon or rhombus."""
    marks: list[Mark] = []
    y = top
    for _ in range(1 + int(rng.random() < 0.35)):
        size = 0.42 + 0.3 * rng.random()
        kind = int(6 * rng.random())
        face = colors.draw(rng, "sign")
        rim = (245, 245, 240) if sum(face) < 480 else colors.from_range(rng, (0.0, 1.0, 0.6, 0.95, 0.4, 0.85))
        shape = np.asarray(_PLATES[kind]) * size + (x, y - size)
        middle = shape.mean(axis=0)
        marks.append(figure.fill(rim, shape))
        marks.append(figure.fill(face, middle + (shape - middle) * 0.72))
        if rng.random() < 0.35:
            marks.append(figure.fill(rim, middle + (box(-0.35, -0.12, 0.35, 0.12)) * size))
        y -= 2.1 * size
    return marks


_octagon_angles = np.arange(8) * (np.pi / 4) + np.pi / 8
_PLATES = (
    ellipse(0, 0, 1, 1),
    [(0, 1), (1, -0.8), (-1, -0.8)],
    [(0, -1), (1, 0.8), (-1, 0.8)],
    box(-1.4, -0.7, 1.4, 0.7),
    np.stack([np.cos(_octagon_angles), np.sin(_octagon_angles)], axis=-1),
    [(0, 1), (1, 0), (0, -1), (-1, 0)],
)
