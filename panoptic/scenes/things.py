"""Things of a synthetic scene: their kinds, apparent sizes and positions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from panoptic.scenes import people, vehicles
from panoptic.scenes.marks import Item, Mark
from panoptic.scenes.solids import Pose
from panoptic.scenes.street import CLASS, Street
from panoptic.scenes.view import View

Spot = tuple[float, float]
"""Ground position (x, z), in meters."""

_POSITIONS = 16  # random positions per thing
_BEST_POSITIONS = 3  # positions per thing that are tested for room
_MAX_OVERLAP = 0.45  # share of a thing that a nearer one may cover
_PACKED = 140  # from this count on, things fit only at about the smallest size
_MAX_MISSES = 100  # things in a row without room after which the street counts as full
_MANY = 50  # from this count on, things fit only if they are small and far
_MAX_CANDIDATES = 200  # labels are bytes


@dataclass(frozen=True)
class Kind:
    """Kind of thing.

    Attributes:
        weight: Relative frequency.
        size: Side of a square of its typical apparent area, in meters.
        shape: Width of its bounding box, divided by ``size``. The height is ``size`` divided by ``shape``.
        radius: Radius of its footprint, in meters.
        likes: Preference for road, sidewalk and terrain.
        near: Factor on its apparent size, so that large objects look larger in the image too.
    """

    weight: float
    size: float
    shape: float
    radius: float
    likes: dict[str, float]
    near: float = 1.0


# Preferences for surfaces.
_FOOT = {"road": 0.4, "sidewalk": 1.0, "terrain": 0.6}
_WHEEL = {"road": 1.0, "sidewalk": 0.6, "terrain": 0.4}
_MOTOR = {"road": 1.0, "sidewalk": 0.15, "terrain": 0.2}
_RAIL = {"road": 0.6, "sidewalk": 0.2, "terrain": 1.0}
KINDS = {
    "person": Kind(0.30, 0.8, 0.6, 0.3, _FOOT),
    "car": Kind(0.32, 1.9, 1.3, 1.9, _MOTOR),
    "cyclist": Kind(0.09, 1.2, 0.85, 0.7, _WHEEL, 1.25),
    "motorcyclist": Kind(0.08, 1.3, 0.9, 0.8, _WHEEL, 1.25),
    "bicycle": Kind(0.06, 0.95, 1.3, 0.6, _WHEEL),
    "motorcycle": Kind(0.06, 1.1, 1.4, 0.8, _WHEEL),
    "truck": Kind(0.18, 3.6, 1.2, 3.5, _MOTOR, 2.0),
    "bus": Kind(0.19, 4.0, 1.3, 4.0, _MOTOR, 2.0),
    "train": Kind(0.14, 5.0, 1.4, 5.0, _RAIL, 2.0),
}
"""Kinds of things by name."""

_CROWDS = ("person", "person", "person", "bicycle", "car", "cyclist")


@dataclass(frozen=True)
class Sizes:
    """Distribution of apparent sizes in one scene: log sizes are uniform between the bounds.

    Up to moderate counts the bounds do not depend on the number of things, so that scale variance does not follow
    density.

    Attributes:
        low: Lower bound of the log size.
        high: Upper bound of the log size.
    """

    low: float
    high: float

    def draw(self, rng: np.random.Generator, position: int) -> float:
        """Draw the apparent size of a thing: the square root of its area, in image heights.

        The first things are drawn near the bounds, to compensate for the smaller variance of a few draws.

        Args:
            rng: Random stream.
            position: Position of the thing in the order of draws.

        Returns:
            The size.
        """
        share = rng.random()
        if position < 4:
            share = 0.5 + (0.36 if position % 2 else -0.36) + 0.1 * (share - 0.5)
        return math.exp(self.low + (self.high - self.low) * share)


def draw_sizes(rng: np.random.Generator, count: int) -> Sizes:
    """Draw the sizes of a scene: all far, all near, all similar, or mixed. Many things fit only if they are far."""
    if count >= _PACKED:
        return Sizes(math.log(0.046), math.log(0.085))
    least, most = math.log(0.05), math.log(0.8)
    half = 0.5 * (most - least) * rng.random() ** 0.5 * (1.0 if count < _MANY else 0.35)
    center = least + half + (most - least - 2 * half) * rng.random() ** (1.3 if count < _MANY else 8.0)
    return Sizes(center - half, center + half)


def draw_count(rng: np.random.Generator) -> int:
    """Draw the number of things: mostly log-uniform, sometimes 0 or 1, sometimes more than a street can hold."""
    u, few = rng.random(2).tolist()
    if few < 0.05:
        return int(u * 2)
    if few > 0.9:
        return _PACKED + int(u * 60)
    return round(2 * 55.0**u)


class Places:
    """Occupied places on the street, used to find room for things."""

    def __init__(self, view: View, street: Street) -> None:
        self.view, self.street = view, street
        # x, z and radius on the ground; depth; approximate bounding box and area on the canvas, as unpacked in `_take`.
        self.taken: list[tuple[float, ...]] = []

    def find(self, rng: np.random.Generator, kinds: list[Kind], sizes: list[float]) -> Iterator[Spot | None]:
        """Find a place for each thing in turn.

        Args:
            rng: Random stream.
            kinds: Kind of each thing.
            sizes: Apparent size of each thing, in image heights.

        Yields:
            The place, or ``None`` if there is no room.
        """
        view, street, draws = self.view, self.street, rng.random((3, len(kinds), _POSITIONS))
        radius, size, shape = (np.array([getattr(k, n) for k in kinds])[:, None] for n in ("radius", "size", "shape"))
        nearest = np.maximum(view.focal * view.height / (1.1 - view.horizon), 1.2 + radius)
        depth = np.maximum(view.focal * size / np.array(sizes)[:, None] * (0.95 + 0.1 * draws[2]), nearest)
        right = (2.1 * draws[0] - 1.05) * depth / view.focal
        x, z = view.world(right, depth)
        likes = np.array([[kind.likes[strip.kind] for strip in street.strips] for kind in kinds])
        margin = np.minimum(radius, 1.2)
        inside = (x > street.left + margin) & (x < street.right - margin) & (z < 1.8 * street.end)
        score = np.take_along_axis(likes, street.kind(x), axis=1) * draws[1] * inside
        scale = view.focal / depth
        center, half, foot = 1 + right * scale, 0.5 * size * shape * scale, view.horizon + view.height * scale
        best = np.argsort(-score, axis=1, kind="stable")[:, :_BEST_POSITIONS]
        height = size / shape * scale
        bounds = [x, z, radius + 0 * x, center - half, foot - height, center + half, foot, depth, 2 * half * height]
        spots = np.stack([np.take_along_axis(a, best, axis=1) for a in bounds], axis=-1).tolist()
        fits = (np.take_along_axis(score, best, axis=1) > 0).tolist()
        for spots_of_thing, fits_of_thing in zip(spots, fits, strict=True):
            for spot, fit in zip(spots_of_thing, fits_of_thing, strict=True):
                if fit and self._take(spot):
                    yield spot[0], spot[1]
                    break
            else:
                yield None

    def _take(self, spot: list[float]) -> bool:
        """Occupy a place if it is free and its thing neither covers too much of another one nor is covered too much."""
        x, z, radius, left, top, right, bottom, depth, area = spot
        # A loop over plain numbers can stop early: most places are rejected by one of the first few things.
        for x_, z_, radius_, left_, top_, right_, bottom_, depth_, area_ in self.taken:
            dx, dz, spacing = x - x_, z - z_, 0.75 * (radius + radius_)
            if dx * dx + dz * dz < spacing * spacing:
                return False
            if left < right_ and left_ < right and top < bottom_ and top_ < bottom:
                common = (min(right, right_) - max(left, left_)) * (min(bottom, bottom_) - max(top, top_))
                if common > _MAX_OVERLAP * (area if depth_ < depth else area_):
                    return False
        self.taken.append(tuple(spot))
        return True


def _heading(rng: np.random.Generator, x: float, street: Street) -> float:
    """Draw the heading of a vehicle: by its side of the road, with some crossing or parked across."""
    u, road = rng.random(), next(strip for strip in street.strips if strip.kind == "road")
    heading = 0.0 if x > (road.x0 + road.x1) / 2 else math.pi
    if u < 0.3:
        heading = (0.0, math.pi, math.pi / 2, -math.pi / 2)[int(rng.integers(4))]
    return heading + 0.12 * (rng.random() - 0.5)


def _facing(rng: np.random.Generator) -> float:
    side = 1.0 if rng.random() < 0.5 else -1.0
    return side * (0.55 + 0.45 * rng.random() ** 0.5)


def dress(
    rng: np.random.Generator, view: View, street: Street, kind: str, x: float, z: float
) -> list[tuple[str, list[Mark]]]:
    """Draw the appearance of a thing.

    Args:
        rng: Random stream.
        view: Camera.
        street: Plan of the street.
        kind: Name in :data:`KINDS`.
        x: Position across the street, in meters.
        z: Position along the street, in meters.

    Returns:
        Pairs of class name and marks, the vehicle before its rider.
    """
    if kind in ("car", "truck", "bus", "train"):
        pose = Pose(view, x, z, _heading(rng, x, street))
        draw = {"car": vehicles.car, "truck": vehicles.truck, "bus": vehicles.bus, "train": vehicles.train}[kind]
        return [(kind, draw(rng, pose))]
    if kind == "person":
        return [("person", people.person(rng, view, x, z))]
    figure = people.Figure(view, x, z, _facing(rng))
    if kind in ("bicycle", "cyclist"):
        parts = [("bicycle", people.bicycle(rng, figure))]
    else:
        parts = [("motorcycle", people.motorcycle(rng, figure))]
    if kind in ("cyclist", "motorcyclist"):
        parts.append(("rider", people.rider(rng, figure, kind == "motorcyclist")))
    return parts


def candidates(rng: np.random.Generator, view: View, street: Street, places: Places, count: int) -> list[Item]:
    """Draw candidates for things, numbered from 1 in random order.

    Args:
        rng: Random stream.
        view: Camera.
        street: Plan of the street.
        places: Occupied places, which the candidates are added to.
        count: Number of things wanted.

    Returns:
        More things than wanted if there is room, because some will be hidden or too small.
    """
    names = list(KINDS)
    weights = np.array([kind.weight for kind in KINDS.values()]) * (0.15 + rng.random(len(names)) ** 2)
    if count < 5:  # rider and vehicle are of similar size: a few such pairs would leave no variance
        weights[[names.index("cyclist"), names.index("motorcyclist")]] *= 0.25
    if count >= _MANY:  # large vehicles would hide many others
        weights[[names.index("truck"), names.index("bus"), names.index("train")]] *= 0.25
    limits = np.cumsum(weights / weights.sum())
    sizes, tries = draw_sizes(rng, count), 2 * count + 8
    drawn = [names[min(int(i), len(names) - 1)] for i in np.searchsorted(limits, rng.random(tries))]
    apparent_sizes = [
        sizes.draw(rng, position) * (KINDS[name].near if count < _MANY else 1.0) for position, name in enumerate(drawn)
    ]
    items: list[Item] = []
    pairs = missed = 0
    for name, place in zip(drawn, places.find(rng, [KINDS[name] for name in drawn], apparent_sizes), strict=True):
        if place is None:
            missed += 1
            if missed == _MAX_MISSES:
                break
            continue
        missed = 0
        depth = view.depth(*place)
        parts = dress(rng, view, street, name, *place)
        pairs += len(parts) > 1
        for i, (class_, marks) in enumerate(parts):
            pair = pairs if len(parts) > 1 else 0
            items.append(Item(CLASS[class_], depth - 1e-3 * i, marks, len(items) + 1, False, pair))
        if len(items) >= min(_MAX_CANDIDATES, count + count // 4 + 4):
            break
    return items


def crowd(rng: np.random.Generator, view: View, street: Street, places: Places, number: int) -> list[Item]:
    """Draw a crowd: overlapping things of one class that cannot be told apart, labeled as one segment.

    Args:
        rng: Random stream.
        view: Camera.
        street: Plan of the street.
        places: Occupied places, which the crowd is added to.
        number: Number of the segment.

    Returns:
        The members, or an empty list if there is no room.
    """
    name = _CROWDS[int(rng.integers(len(_CROWDS)))]
    kind, size, members = KINDS[name], 0.06 + 0.12 * rng.random(), int(rng.integers(7, 18))
    place = next(places.find(rng, [kind], [size]))
    if place is None:
        return []
    items: list[Item] = []
    x, z = place
    step = 0.9 * kind.radius if name != "person" else 0.42
    right, depth = view.locate(x, z)
    for i in range(members):
        side = right + (i - members / 2) * step * (0.7 + 0.6 * rng.random())
        back = depth + kind.radius * 2 * rng.random()
        for class_, marks in dress(rng, view, street, name, *view.world(side, back)):
            items.append(Item(CLASS[class_], back - 1e-3 * len(items), marks, number, True))
    # A crowd has a single class: riders get the class of their vehicles.
    for item in items:
        item.class_ = items[0].class_
    return items
