"""Background of a synthetic street: houses, woods, walls, fences and hedges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from panoptic.scenes import colors, facades, plants
from panoptic.scenes.cover import Cover
from panoptic.scenes.marks import Item
from panoptic.scenes.street import BACKDROP, BARRIER, CLASS, SKYLINE, Street
from panoptic.scenes.view import View


def skyline(rng: np.random.Generator, view: View, street: Street, green: colors.Rgb) -> list[Item]:
    """Draw woods and houses along parts of the horizon."""
    items: list[Item] = []
    x = -0.1
    while x < 2.1:
        width, depth, u = 0.4 + 1.5 * rng.random(), street.end * (1.0 + 0.5 * rng.random()), rng.random()
        if u < 0.45:
            marks = plants.skyline(rng, view, depth, green, x, x + width)
            items.append(Item(CLASS["vegetation"], SKYLINE + depth, marks))
        elif u < 0.8:
            marks = facades.far_houses(rng, view, depth, x, min(x + width, 2.1))
            items.append(Item(CLASS["building"], SKYLINE + depth, marks))
        x += width
    return items


def backdrop(rng: np.random.Generator, view: View, street: Street, green: colors.Rgb) -> list[Item]:
    """Draw houses and trees on both sides, and walls, fences and hedges in front of them."""
    items: list[Item] = []
    plots: list[Plot] = []
    for side, edge in ((-1.0, street.left), (1.0, street.right)):
        plots += _plots(rng, view, side, edge, street.end)
        items += _barriers(rng, view, edge, street.end, green)
    cover = Cover(view)
    for plot in sorted(plots):  # from near to far
        if plot.built:
            marks = facades.building(rng, view, cover, plot.x, plot.deep, plot.z0, plot.z1)
            items.append(Item(CLASS["building"], BACKDROP + plot.depth, marks))
        else:
            items += _woods(rng, view, cover, plot.x, plot.z0, plot.z1, green)
    return items


class Plot(NamedTuple):
    """Plot of land beside the street, with a house or woods.

    Attributes:
        depth: Distance ahead of the camera, in meters.
        x: Position of the front across the street, in meters.
        z0: Start along the street, in meters.
        z1: End along the street, in meters.
        built: Whether there is a house, not woods.
        deep: Extent away from the street, in meters, negative on the left; 0 for woods.
    """

    depth: float
    x: float
    z0: float
    z1: float
    built: bool
    deep: float


def _plots(rng: np.random.Generator, view: View, side: float, edge: float, end: float) -> list[Plot]:
    houses, woods = rng.random(), 0.25 + 0.75 * rng.random()
    z = -25.0 - 10 * rng.random()
    plots: list[Plot] = []
    while z < end:
        length, u, far, setback, deep = rng.random(5).tolist()
        length = 7 + 18 * length
        depth, x = view.depth(edge, z + length / 2), edge + side * (0.0 if far < 0.5 else 5 * setback)
        if u < houses:
            plots.append(Plot(depth, x, z, z + length * 0.97, True, side * (7 + 8 * deep)))
        elif u < houses + (1 - houses) * woods:
            plots.append(Plot(depth, x + side, z, z + length, False, 0.0))
        z += length
    return plots


def _woods(
    rng: np.random.Generator, view: View, cover: Cover, x: float, z0: float, z1: float, green: colors.Rgb
) -> list[Item]:
    """Draw a dense row of trees or a loose one."""
    if rng.random() < 0.5:
        height = 3 + 6 * rng.random()
        if not cover.shows((x, z0), (x, z1), 1.2 * height):
            return []
        marks = plants.hedge(rng, view, (x, z0), (x, z1), height, green)
        return [Item(CLASS["vegetation"], BACKDROP + view.depth(x, (z0 + z1) / 2), marks)]
    items = []
    for z in np.arange(z0, z1, 3 + 4 * rng.random()).tolist():
        depth = view.depth(x, z)
        if depth > 2.5 and cover.shows_at(x, z, 4.5, plants.TALLEST):
            items.append(Item(CLASS["vegetation"], BACKDROP + depth, plants.tree(rng, view, x, z, green)))
    return items


def _barriers(rng: np.random.Generator, view: View, x: float, end: float, green: colors.Rgb) -> list[Item]:
    """Draw walls, fences and hedges along one side."""
    items: list[Item] = []
    if rng.random() < 0.25:
        return items
    z = -15.0 - 5 * rng.random()
    while z < end:
        length, u = 8 + 25 * rng.random(), rng.random()
        start, stop = (x, z), (x, z + length)
        depth = BARRIER + view.depth(x, z + length / 2)
        if u < 0.25:
            items.append(Item(CLASS["wall"], depth, facades.wall(rng, view, start, stop)))
        elif u < 0.62:
            items.append(Item(CLASS["fence"], depth, facades.fence(rng, view, start, stop)))
        elif u < 0.72:
            marks = plants.hedge(rng, view, start, stop, 0.8 + rng.random(), green)
            items.append(Item(CLASS["vegetation"], depth, marks))
        z += length
    return items
