"""Things of a synthetic scene: their kinds, apparent sizes and positions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from panoptic.scenes import people, vehicles
from panoptic.scenes.marks import Item, Mark
from panoptic.scenes.plan import MANY, Plan
from panoptic.scenes.solids import Pose
from panoptic.scenes.street import CLASS, Street
from panoptic.scenes.view import View

Spot = tuple[float, float]
"""Ground position (x, z), in meters."""

_POSITIONS = 16  # random positions per thing
_BEST_POSITIONS = 3  # positions per thing that are tested for room
_ATTEMPTS = 8  # to place a thing whose size is given
_MAX_OVERLAP = 0.45  # share of a thing that a nearer one may cover
_MAX_MISSES = 100  # things in a row without room after which the street counts as full
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
        extent: Side of a square of the mean area of each of its things, which rider and vehicle are, divided by
            ``size``.
        tall: Height in meters.
    """

    weight: float
    size: float
    shape: float
    radius: float
    likes: dict[str, float]
    near: float = 1.0
    extent: float = 1.0
    tall: float = 1.0


# Preferences for surfaces.
_FOOT = {"road": 0.4, "sidewalk": 1.0, "terrain": 0.6}
_WHEEL = {"road": 1.0, "sidewalk": 0.6, "terrain": 0.4}
_MOTOR = {"road": 1.0, "sidewalk": 0.15, "terrain": 0.2}
_RAIL = {"road": 0.6, "sidewalk": 0.2, "terrain": 1.0}
KINDS = {
    "person": Kind(0.30, 0.8, 0.6, 0.3, _FOOT, extent=1.14, tall=1.75),
    "car": Kind(0.32, 1.9, 1.3, 1.9, _MOTOR, extent=1.28, tall=1.5),
    "cyclist": Kind(0.09, 1.2, 0.85, 0.7, _WHEEL, 1.25, 0.71, 1.75),
    "motorcyclist": Kind(0.08, 1.3, 0.9, 0.8, _WHEEL, 1.25, 0.73, 1.7),
    "bicycle": Kind(0.06, 0.95, 1.3, 0.6, _WHEEL, tall=1.0),
    "motorcycle": Kind(0.06, 1.1, 1.4, 0.8, _WHEEL, tall=1.1),
    "truck": Kind(0.18, 3.6, 1.2, 3.5, _MOTOR, 2.0, 1.18, 3.5),
    "bus": Kind(0.19, 4.0, 1.3, 4.0, _MOTOR, 2.0, 1.26, 3.2),
    "train": Kind(0.14, 5.0, 1.4, 5.0, _RAIL, 2.0, 1.56, 3.7),
}
"""Kinds of things by name."""

_CROWDS = ("person", "person", "person", "bicycle", "car", "cyclist")


class Places:
    """Occupied places on the street, used to find room for things.

    Args:
        view: Camera.
        street: Plan of the street.
        framed: Whether to keep large things away from the sides of the picture.
    """

    def __init__(self, view: View, street: Street, framed: bool = False) -> None:
        self.view, self.street, self.framed = view, street, framed
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
        scale = view.focal / depth
        half = 0.5 * size * shape * scale
        right = (2.1 * draws[0] - 1.05) * depth / view.focal
        if self.framed:
            right *= np.maximum(1 - 0.8 * half, 0.2)
        x, z = view.world(right, depth)
        likes = np.array([[kind.likes[strip.kind] for strip in street.strips] for kind in kinds])
        margin = np.minimum(radius, 1.2)
        inside = (x > street.left + margin) & (x < street.right - margin) & (z < 1.8 * street.end)
        score = np.take_along_axis(likes, street.kind(x), axis=1) * draws[1] * inside
        center, foot = 1 + right * scale, view.horizon + view.height * scale
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

    def suited(self, kinds: list[Kind], sizes: list[float]) -> Bool[np.ndarray, "N K"]:
        """Return which kinds can have which apparent sizes: with head and feet in the picture, on a street this long.

        Args:
            kinds: Kinds.
            sizes: Apparent sizes, in image heights.

        Returns:
            A row for each size. Where no kind suits, all do.
        """
        view = self.view
        depth = view.focal * np.array([kind.size * kind.extent for kind in kinds]) / np.array(sizes)[:, None]
        nearest = np.array([max(view.focal * view.height / (1.0 - view.horizon), 1.2 + kind.radius) for kind in kinds])
        top = view.horizon + (view.height - np.array([kind.tall for kind in kinds])) * view.focal / depth
        suited = (depth >= nearest) & (depth < 1.6 * self.street.end) & (top > -0.05)
        return suited | ~suited.any(axis=1, keepdims=True)

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


def candidates(rng: np.random.Generator, plan: Plan, places: Places, count: int) -> list[Item]:
    """Draw candidates for things, numbered from 1 in random order.

    Args:
        rng: Random stream.
        plan: Plan of the scene.
        places: Occupied places, which the candidates are added to.
        count: Number of things wanted.

    Returns:
        More things than wanted if there is room, because some will be hidden or too small.
    """
    names = list(KINDS)
    weights = np.array([kind.weight for kind in KINDS.values()]) * (0.15 + rng.random(len(names)) ** 2)
    if count < 5:  # rider and vehicle are of similar size: a few such pairs would leave no variance
        weights[[names.index("cyclist"), names.index("motorcyclist")]] *= 1e-6 if plan.exact else 0.25
    if count >= MANY:  # large vehicles would hide many others
        weights[[names.index("truck"), names.index("bus"), names.index("train")]] *= 0.25
    sizes, most = plan.sizes(rng, count), min(_MAX_CANDIDATES, count + count // 4 + 4)
    items: list[Item] = []
    if not plan.exact:
        limits = np.cumsum(weights / weights.sum())
        kinds = _pick(rng, np.tile(limits, (2 * count + 8, 1)))
        apparent_sizes = [
            sizes.draw(rng, i) * (KINDS[name].near if count < MANY else 1.0) for i, name in enumerate(kinds)
        ]
        _place(rng, places, kinds, apparent_sizes, items, most)
        return items
    wanted = [sizes.draw(rng, position) for position in range(most)]
    for batch in (wanted[:count], wanted[count:]):  # the reserve comes last
        for _ in range(_ATTEMPTS):
            if batch:
                suited = weights * places.suited(list(KINDS.values()), batch)
                kinds = _pick(rng, np.cumsum(suited / suited.sum(axis=1, keepdims=True), axis=1))
                nominal = [size / KINDS[name].extent for name, size in zip(kinds, batch, strict=True)]
                batch = [batch[i] for i in _place(rng, places, kinds, nominal, items, most)]
    return items


def _pick(rng: np.random.Generator, limits: Float[np.ndarray, "N K"]) -> list[str]:
    """Draw a kind for each row of cumulative probabilities."""
    names = list(KINDS)
    picked = (limits < rng.random(len(limits))[:, None]).sum(axis=1)
    return [names[min(i, len(names) - 1)] for i in picked.tolist()]


def _place(
    rng: np.random.Generator, places: Places, kinds: list[str], sizes: list[float], items: list[Item], most: int
) -> list[int]:
    """Add the things there is room for to the items, at most as many as ``most``.

    Args:
        rng: Random stream.
        places: Occupied places, which the things are added to.
        kinds: Kind of each thing.
        sizes: Apparent size of each thing, in image heights.
        items: Items, numbered from 1, which are added to.
        most: Number of items after which no thing is added.

    Returns:
        Positions of the things that found no room.
    """
    rejected: list[int] = []
    pairs, missed = max((item.pair for item in items), default=0), 0
    for i, place in enumerate(places.find(rng, [KINDS[name] for name in kinds], sizes)):
        if place is None:
            rejected.append(i)
            missed += 1
            if missed == _MAX_MISSES:
                break
            continue
        missed = 0
        depth = places.view.depth(*place)
        parts = dress(rng, places.view, places.street, kinds[i], *place)
        pairs += len(parts) > 1
        for part, (class_, marks) in enumerate(parts):
            pair = pairs if len(parts) > 1 else 0
            items.append(Item(CLASS[class_], depth - 1e-3 * part, marks, len(items) + 1, False, pair))
        if len(items) >= most:
            break
    return rejected


def crowd(rng: np.random.Generator, plan: Plan, street: Street, places: Places, number: int) -> list[Item]:
    """Draw a crowd: overlapping things of one class that cannot be told apart, labeled as one segment.

    Args:
        rng: Random stream.
        plan: Plan of the scene.
        street: Plan of the street.
        places: Occupied places, which the crowd is added to.
        number: Number of the segment.

    Returns:
        The members, or an empty list if there is no room.
    """
    name = _CROWDS[int(rng.integers(len(_CROWDS)))]
    view = plan.view
    kind, size, members = KINDS[name], (0.06 + 0.12 * rng.random()) * plan.nearness, int(rng.integers(7, 18))
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
