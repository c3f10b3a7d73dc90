"""Cars, trucks, buses and trains of synthetic scenes."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np

from panoptic.scenes import colors
from panoptic.scenes.marks import Mark
from panoptic.scenes.solids import Aspect, Body, Carver, Pose, Profile, quads
from panoptic.scenes.stencils import Stencil

# From the rear bumper over the roof to the front, in shares of length and height.
_SEDAN: Profile = ((0, 0.2), (0, 0.6), (0.16, 0.64), (0.3, 0.98), (0.58, 1), (0.74, 0.64), (0.98, 0.55), (1, 0.2))
_HATCH: Profile = ((0, 0.2), (0, 0.62), (0.08, 0.95), (0.2, 1), (0.6, 1), (0.78, 0.62), (0.98, 0.52), (1, 0.2))
_VAN: Profile = ((0, 0.18), (0, 0.9), (0.03, 1), (0.7, 1), (0.86, 0.58), (0.98, 0.5), (1, 0.18))
_BOX: Profile = ((0, 0.12), (0, 1), (0.99, 1), (1, 0.45), (1, 0.12))
_CAB: Profile = ((0, 0.12), (0, 1), (0.7, 1), (0.95, 0.55), (1, 0.12))
_NOSE: Profile = ((0, 0.1), (0, 0.5), (0.02, 1), (0.97, 1), (1, 0.5), (1, 0.1))
_CRATE: Profile = ((0, 0.0), (0, 1), (1, 1), (1, 0.0))

_HEADLIGHT, _TAIL_LIGHT, _BLACK = (255, 250, 225), (205, 25, 30), (30, 30, 32)
# Profile, height, length and glass panels of a sedan, a hatchback and a van.
_CARS = ((_SEDAN, 1.42, 4.5, (2, 4)), (_HATCH, 1.5, 4.0, (2, 4)), (_VAN, 1.9, 4.8, (1, 3)))


def _stretch(rng: np.random.Generator, most: float) -> tuple[float, float, float]:
    u = rng.random(2).tolist()
    return 1 + most * (2 * u[0] - 1), 1.0, 1 + 0.05 * (2 * u[1] - 1)


def _glass(rng: np.random.Generator) -> colors.Rgb:
    return colors.mix((26, 33, 42), (90, 108, 126), rng.random())


def car(rng: np.random.Generator, pose: Pose) -> list[Mark]:
    """Draw a sedan, hatchback or van."""
    kind = int(3 * rng.random())
    length = _CARS[kind][2]
    stencil = _car(kind, pose.aspect(-length / 2, length, 1.8))
    palette = {"paint": colors.draw(rng, "car"), "glass": _glass(rng)}
    return [pose.shadow(length, 1.8), pose.copy(stencil, _stretch(rng, 0.08), palette)]


@cache
def _car(kind: int, aspect: Aspect) -> Stencil:
    profile, height, length, panes = _CARS[kind]
    cut, body = Carver(aspect), Body(profile, -length / 2, length, 1.8, height)
    cut.skirt(body)
    cut.solid(body, "paint", panes=panes)
    # Side windows are slanted like the windshield and the rear window.
    if kind == 2:
        back, front = (0.08, 0.58, 0.92), (0.61, 0.7, 0.82)
        windows = [
            ((back[0], 0.58), (back[0], 0.9), (0.3, 0.9), (0.3, 0.58)),
            ((0.33, 0.58), (0.33, 0.9), (0.58, 0.9), (0.58, 0.58)),
        ]
        windows.append(((front[0], 0.58), (front[0], 0.9), (front[1], 0.9), (front[2], 0.58)))
    else:
        rear = 0.23 if kind == 0 else 0.12
        windows = [
            ((rear, 0.66), (rear + 0.08, 0.93), (0.43, 0.93), (0.43, 0.66)),
            ((0.46, 0.66), (0.46, 0.93), (0.58, 0.93), (0.7, 0.66)),
        ]
    cut.on_side(body, windows, "glass")
    cut.on_end(body, [(-0.92, 0.42, -0.6, 0.54), (0.6, 0.42, 0.92, 0.54)], _HEADLIGHT, _TAIL_LIGHT)
    cut.on_end(body, [(-0.3, 0.3, 0.3, 0.4)], (225, 225, 220), (225, 225, 220))
    cut.wheels(body, (0.19, 0.81), 0.33)
    return cut.stencil()


def truck(rng: np.random.Generator, pose: Pose) -> list[Mark]:
    """Draw a truck: a cab and, in another color, a high or low box behind it."""
    low = rng.random() < 0.15
    stencil = _truck(low, pose.aspect(-4.2, 8.6, 2.5))
    paint, load = colors.draw(rng, "paint"), colors.draw(rng, "load")
    if sum(abs(a - b) for a, b in zip(paint, load, strict=True)) < 180:  # keep the cab and the load distinguishable
        paint = colors.contrast(load, 0.6)
    palette = {"paint": paint, "load": load, "glass": _glass(rng), "rib": colors.contrast(load, 0.25)}
    return [pose.shadow(9.0, 2.5), pose.copy(stencil, _stretch(rng, 0.1), palette)]


@cache
def _truck(low: bool, aspect: Aspect) -> Stencil:
    cut = Carver(aspect)
    cargo = Body(_CRATE, -4.2, 6.2, 2.5, 1.0 if low else 2.5, 1.0)
    cab, frame = Body(_CAB, 2.25, 2.2, 2.3, 2.6, 0.25), Body(_CRATE, -4.2, 8.2, 2.0, 0.55, 0.45)
    cut.solid(frame, (45, 45, 48))
    cut.on_end(frame, [(-0.95, 0.3, -0.6, 0.8), (0.6, 0.3, 0.95, 0.8)], _BLACK, _TAIL_LIGHT)

    def box() -> None:
        cut.solid(cargo, "load")
        cut.on_side(cargo, quads([(s, 0.03, s + 0.05, 0.97) for s in np.linspace(0.06, 0.89, 5)]), "rib")
        cut.on_end(cargo, [(-0.05, 0.04, 0.05, 0.96), (-0.9, 0.02, 0.9, 0.1)], None, "rib")

    def head() -> None:
        cut.solid(cab, "paint", panes=(2, 3))
        cut.on_side(cab, quads([(0.3, 0.5, 0.72, 0.88)]), "glass")
        cut.on_end(cab, [(-0.9, 0.1, -0.55, 0.22), (0.55, 0.1, 0.9, 0.22)], _HEADLIGHT, None)

    for part in (box, head) if aspect.near > 0 else (head, box):
        part()
    cut.wheels(Body(_CRATE, -4.2, 8.6, 2.4, 1.0), (0.12, 0.26, 0.86), 0.55)
    return cut.stencil()


def bus(rng: np.random.Generator, pose: Pose) -> list[Mark]:
    """Draw a city bus in a single color, with a row of large windows, doors and a destination board."""
    tall = rng.random() < 0.15
    stencil = _bus(tall, pose.aspect(-5.6, 11.2, 2.55))
    paint, glass = colors.draw(rng, "bus"), _glass(rng)
    palette = {"paint": paint, "glass": glass, "door": colors.mix(glass, (150, 160, 170), 0.35)}
    palette["stripe"] = colors.contrast(paint, 0.3)
    return [pose.shadow(11.2, 2.55), pose.copy(stencil, _stretch(rng, 0.1), palette)]


@cache
def _bus(tall: bool, aspect: Aspect) -> Stencil:
    cut, body, count = Carver(aspect), Body(_BOX, -5.6, 11.2, 2.55, 4.1 if tall else 3.1), 6
    cut.skirt(body)
    cut.solid(body, "paint")
    starts = 0.03 + np.arange(count) * (0.94 / count)
    for low, high in ((0.3, 0.52), (0.68, 0.9)) if tall else ((0.46, 0.86),):
        cut.on_side(body, quads([(s, low, s + 0.8 / count, high) for s in starts]), "glass")
    cut.on_side(body, quads([(s, 0.14, s + 0.08, 0.62) for s in (0.34, 0.86)]), "door")
    cut.on_side(body, quads([(0.0, 0.22, 1.0, 0.28)]), "stripe")
    cut.on_end(body, [(-0.88, 0.42, 0.88, 0.82)], "glass", "glass")
    cut.on_end(body, [(-0.6, 0.86, 0.6, 0.95)], (250, 190, 60), _BLACK)
    cut.on_end(body, [(-0.92, 0.2, -0.66, 0.29), (0.66, 0.2, 0.92, 0.29)], _HEADLIGHT, _TAIL_LIGHT)
    cut.wheels(body, (0.2, 0.78), 0.52)
    return cut.stencil()


def train(rng: np.random.Generator, pose: Pose) -> list[Mark]:
    """Draw a tram or train: long, with several cars, a stripe along all of them, no visible wheels and a headlight."""
    stencil = _train(pose.aspect(-14.5, 29.0, 2.7))
    paint, stripe = colors.draw(rng, "train"), colors.draw(rng, "sign")
    palette = {"paint": paint, "stripe": stripe, "glass": _glass(rng), "roof": colors.contrast(paint, 0.5)}
    return [pose.shadow(29.0, 2.7), pose.copy(stencil, _stretch(rng, 0.15), palette)]


@cache
def _train(aspect: Aspect) -> Stencil:
    cut, body, cars = Carver(aspect), Body(_NOSE, -14.5, 29.0, 2.7, 3.7), 3
    cut.skirt(body)
    cut.solid(body, "paint")
    cut.on_side(body, quads([(0.0, 0.24, 1.0, 0.42)]), "stripe")
    cut.on_side(body, quads([(0.01, 0.9, 0.99, 0.97)]), "roof")
    posts = np.linspace(0.02, 0.98, 5 * cars + 1)
    panes = [(a + 0.007, 0.5, b - 0.007, 0.82) for a, b in pairwise(posts)]
    cut.on_side(body, quads(panes), "glass")
    cut.on_side(body, quads([(s - 0.012, 0.1, s + 0.012, 1.0) for s in np.arange(1, cars) / cars]), (35, 35, 38))
    lamps = [(-0.12, 0.9, 0.12, 0.98), (-0.85, 0.14, -0.6, 0.22), (0.6, 0.14, 0.85, 0.22)]
    for rects, color in (([(-0.8, 0.5, 0.8, 0.86)], "glass"), ([(-1, 0.24, 1, 0.42)], "stripe"), (lamps, _HEADLIGHT)):
        cut.on_end(body, rects, color, color)
    return cut.stencil()
