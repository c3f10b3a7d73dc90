"""Cars, trucks, buses and trains of synthetic scenes."""

from __future__ import annotations

import numpy as np

from panoptic.data import scene_colors as colors
from panoptic.data.scene_marks import Fill, Mark
from panoptic.data.scene_solids import Body, Pose, Profile

# From the rear bumper over the roof to the front, in shares of length and height.
_SEDAN: Profile = [(0, 0.2), (0, 0.6), (0.16, 0.64), (0.3, 0.98), (0.58, 1), (0.74, 0.64), (0.98, 0.55), (1, 0.2)]
_HATCH: Profile = [(0, 0.2), (0, 0.62), (0.08, 0.95), (0.2, 1), (0.6, 1), (0.78, 0.62), (0.98, 0.52), (1, 0.2)]
_VAN: Profile = [(0, 0.18), (0, 0.9), (0.03, 1), (0.7, 1), (0.86, 0.58), (0.98, 0.5), (1, 0.18)]
_BOX: Profile = [(0, 0.12), (0, 1), (0.99, 1), (1, 0.45), (1, 0.12)]
_CAB: Profile = [(0, 0.12), (0, 1), (0.7, 1), (0.95, 0.55), (1, 0.12)]
_NOSE: Profile = [(0, 0.1), (0, 0.5), (0.02, 1), (0.97, 1), (1, 0.5), (1, 0.1)]

_LAMPS = np.array([(-0.92, 0.42, -0.6, 0.54), (0.6, 0.42, 0.92, 0.54)])


def car(rng: np.random.Generator, pose: Pose) -> list[Mark]:
    """A sedan, hatchback or van."""
    u = rng.random(5)
    kind = int(u[0] * 3)
    profile, height = ((_SEDAN, 1.42), (_HATCH, 1.5), (_VAN, 1.9))[kind]
    length = (4.5, 4.0, 4.8)[kind] * (0.92 + 0.16 * u[1])
    body = Body(profile, -length / 2, length, 1.8, height * (0.95 + 0.1 * u[2]))
    paint, glass = colors.draw(rng, "paint"), colors.mix((30, 38, 48), (120, 140, 160), u[3])
    panes = ((2, 4), (2, 4), (1, 3))[kind]
    marks = [pose.shadow(length, 1.8), pose.skirt(body), *pose.solid(body, paint, glass, panes)]
    low, high = (0.66, 0.92) if kind < 2 else (0.6, 0.88)
    # Side windows lean with the screens: quadrilaterals along the profile.
    side = pose.side(body)
    if side is not None:
        windows = np.array(
            [
                ((0.24, low), (0.31, high), (0.43, high), (0.43, low)),
                ((0.46, low), (0.46, high), (0.57, high), (0.69, low)),
            ]
        )
        if kind == 2:
            windows = np.array(
                [
                    ((0.45, low), (0.45, high), (0.58, high), (0.58, low)),
                    ((0.61, low), (0.61, high), (0.69, high), (0.81, low)),
                ]
            )
        flat = pose.flat(body.rear + windows[..., 0] * length, side, windows[..., 1] * body.height)
        marks.append(Fill(flat, pose.color(glass)))
    marks += pose.on_end(body, _LAMPS, (255, 250, 225), (200, 25, 30))
    marks += pose.on_end(body, [(-0.3, 0.3, 0.3, 0.4)], (225, 225, 220), (225, 225, 220))
    return marks + pose.wheels(body, (0.19, 0.81), 0.32)


def truck(rng: np.random.Generator, pose: Pose) -> list[Mark]:
    """A cab and a box, a tank or an open load behind it."""
    u = rng.random(6)
    cargo = Body(((0, 0.0), (0, 1), (1, 1), (1, 0.0)), -4.2, 5.6 + 1.4 * u[0], 2.5, 2.0 + 0.7 * u[1], 1.0)
    if u[2] < 0.25:
        cargo = Body(cargo.profile, cargo.rear, cargo.length, 2.4, 0.9, 1.0)
    cab = Body(_CAB, cargo.rear + cargo.length + 0.25, 2.2, 2.3, 2.5 + 0.3 * u[3], 0.25)
    paint, load = colors.draw(rng, "paint"), colors.draw(rng, "paint")
    glass = colors.mix((30, 38, 48), (120, 140, 160), u[4])
    frame = Body(((0, 0.0), (0, 1), (1, 1), (1, 0.0)), cargo.rear, cargo.length + 2.0, 2.0, 0.55, 0.45)
    box = pose.solid(cargo, load, load, ())
    ribs = np.linspace(0.06, 0.94, 7)
    box += pose.on_side(cargo, [(s, 0.03, s + 0.05, 0.97) for s in ribs], colors.contrast(load, 0.28))
    box += pose.on_end(cargo, [(-0.05, 0.04, 0.05, 0.96), (-0.9, 0.02, 0.9, 0.1)], *(colors.contrast(load, 0.4),) * 2)
    head = pose.solid(cab, paint, glass, (2,))
    head += pose.on_side(cab, [(0.38, 0.55, 0.7, 0.88)], glass)
    head += pose.on_end(cab, [(-0.9, 0.1, -0.55, 0.22), (0.55, 0.1, 0.9, 0.22)], (255, 250, 225), (60, 60, 60))
    parts = [box, head] if pose.ahead > 0 else [head, box]
    lamps = pose.on_end(frame, [(-0.95, 0.3, -0.6, 0.8), (0.6, 0.3, 0.95, 0.8)], (30, 30, 30), (210, 30, 30))
    whole = Body(cargo.profile, cargo.rear, cargo.length + 2.4, 2.4, 1.0)
    chassis = pose.solid(frame, (45, 45, 48), (45, 45, 48), ())
    return [pose.shadow(9.0, 2.5), *chassis, *lamps, *parts[0], *parts[1], *pose.wheels(whole, (0.12, 0.26, 0.86), 0.5)]


def bus(rng: np.random.Generator, pose: Pose) -> list[Mark]:
    """A city bus: a row of large windows, doors, a destination board."""
    u = rng.random(5)
    length = 10 + 2.5 * u[0]
    body = Body(_BOX, -length / 2, length, 2.55, 3.0 + (1.1 if u[1] < 0.15 else 0.2 * u[2]))
    paint, glass = colors.draw(rng, "paint"), colors.mix((28, 36, 46), (100, 120, 140), u[3])
    marks = [pose.shadow(length, 2.55), pose.skirt(body), *pose.solid(body, paint, glass, ())]
    count = 6
    starts = 0.03 + np.arange(count) * (0.94 / count)
    marks += pose.on_side(body, [(s, 0.5, s + 0.8 / count, 0.84) for s in starts], glass)
    marks += pose.on_side(
        body, [(s, 0.15, s + 0.09, 0.84) for s in (0.3, 0.84)], colors.mix(glass, (150, 160, 170), 0.35)
    )
    marks += pose.on_side(body, [(0.0, 0.24, 1.0, 0.32)], colors.contrast(paint, 0.45))
    marks += pose.on_end(body, [(-0.88, 0.42, 0.88, 0.8)], glass, glass)
    marks += pose.on_end(body, [(-0.6, 0.86, 0.6, 0.95)], (250, 190, 60), (30, 30, 30))
    marks += pose.on_end(body, [(-0.92, 0.2, -0.66, 0.29), (0.66, 0.2, 0.92, 0.29)], (255, 250, 225), (205, 25, 30))
    return marks + pose.wheels(body, (0.2, 0.78), 0.5)


def train(rng: np.random.Generator, pose: Pose) -> list[Mark]:
    """A tram or train: long, many cars, a stripe along all of them, a light at the nose."""
    u = rng.random(5)
    length, cars = 24 + 10 * u[0], 3
    body = Body(_NOSE, -length / 2, length, 2.7, 3.7)
    paint, stripe = colors.draw(rng, "paint"), colors.draw(rng, "sign")
    glass = colors.mix((25, 30, 38), (90, 105, 120), u[1])
    marks = [pose.shadow(length, 2.7), pose.skirt(body), *pose.solid(body, paint, glass, ())]
    marks += pose.on_side(body, [(0.0, 0.28, 1.0, 0.42)], stripe)
    marks += pose.on_side(body, [(0.01, 0.9, 0.99, 0.96)], colors.contrast(paint, 0.5))
    marks += pose.on_side(body, [(0.02, 0.5, 0.98, 0.82)], glass)
    posts = np.linspace(0.02, 0.98, 5 * cars + 1)[1:-1]
    marks += pose.on_side(body, [(s - 0.006, 0.5, s + 0.006, 0.82) for s in posts], paint)
    joints = np.arange(1, cars) / cars
    marks += pose.on_side(body, [(s - 0.012, 0.1, s + 0.012, 1.0) for s in joints], (35, 35, 38))
    for rects, color in (
        ([(-0.8, 0.52, 0.8, 0.86)], glass),
        ([(-1.0, 0.3, 1.0, 0.42)], stripe),
        ([(-0.12, 0.9, 0.12, 0.98), (-0.85, 0.18, -0.6, 0.26), (0.6, 0.18, 0.85, 0.26)], (255, 250, 225)),
    ):
        marks += pose.on_end(body, rects, color, color)
    return marks
