"""Things of a synthetic scene: what they are, how large they look and where they stand."""

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

Spot = tuple[float, float]  # x, z

_TRIES = 16
_CHECKED = 3
_OVERLAP = 0.45
_SWARM = 140  # so many fit only if all are about as small as can be
_PATIENCE = 100  # a street where so many in a row find no room is full
_MANY = 50  # from so many on, things have room only if they are small and far
_MOST = 200  # candidates for things: the label map holds bytes


@dataclass(frozen=True)
class Kind:
    """A kind of thing.

    Attributes:
        weight: how often it is drawn.
        size: side of a square as large as it usually looks, in meters.
        shape: width of what it covers, by that size; the height is as much smaller.
        radius: half of the room that it takes on the ground, in meters.
        likes: how readily it stands on road, sidewalk and terrain.
        near: how much larger it looks than others: what is big in the world is so in the image.
    """

    weight: float
    size: float
    shape: float
    radius: float
    likes: dict[str, float]
    near: float = 1.0


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
_CROWDS = ("person", "person", "person", "bicycle", "car", "cyclist")


@dataclass(frozen=True)
class Sizes:
    """How large the things of one scene look: the logarithm of their size is uniform between these bounds.

    Drawn without regard to how many things there are, so that scale variance doesn't follow density.
    """

    low: float
    high: float

    def draw(self, rng: np.random.Generator, position: int) -> float:
        """Side of a square as large as the thing at this position in the scene looks, in image heights.

        The variance of a few draws is less than that of many: the first ones are set apart to make up for it.
        """
        share = rng.random()
        if position < 4:
            share = 0.5 + (0.36 if position % 2 else -0.36) + 0.1 * (share - 0.5)
        return math.exp(self.low + (self.high - self.low) * share)


def draw_sizes(rng: np.random.Generator, count: int) -> Sizes:
    """All far, all near, all alike, or mixed; many things have room only where they are far."""
    if count >= _SWARM:
        return Sizes(math.log(0.046), math.log(0.085))
    least, most = math.log(0.05), math.log(0.8)
    half = 0.5 * (most - least) * rng.random() ** 0.5 * (1.0 if count < _MANY else 0.35)
    center = least + half + (most - least - 2 * half) * rng.random() ** (1.3 if count < _MANY else 8.0)
    return Sizes(center - half, center + half)


def draw_count(rng: np.random.Generator) -> int:
    """Number of things wanted: mostly log-uniform, more than a street holds at most; now and then none, one or many."""
    u, few = rng.random(2).tolist()
    if few < 0.05:
        return int(u * 2)
    if few > 0.9:
        return _SWARM + int(u * 60)
    return round(2 * 55.0**u)


class Places:
    """Finds room on the street: remembers what stands where."""

    def __init__(self, view: View, street: Street) -> None:
        self.view, self.street = view, street
        # Of what stands there: x, z, radius; and roughly what it covers of the canvas: left, top, right, bottom, depth,
        # area.
        self.taken: list[tuple[float, ...]] = []

    def find(self, rng: np.random.Generator, kinds: list[Kind], sizes: list[float]) -> Iterator[Spot | None]:
        """Places where things of these kinds look this large, one after the other; ``None`` if there is no room."""
        view, street, draws = self.view, self.street, rng.random((3, len(kinds), _TRIES))
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
        best = np.argsort(-score, axis=1, kind="stable")[:, :_CHECKED]
        tall = size / shape * scale
        room = [x, z, radius + 0 * x, center - half, foot - tall, center + half, foot, depth, 2 * half * tall]
        rooms = np.stack([np.take_along_axis(a, best, axis=1) for a in room], axis=-1).tolist()
        fits = (np.take_along_axis(score, best, axis=1) > 0).tolist()
        for candidates_, good in zip(rooms, fits, strict=True):
            for spot, fit in zip(candidates_, good, strict=True):
                if fit and self._take(spot):
                    yield spot[0], spot[1]
                    break
            else:
                yield None

    def _take(self, spot: list[float]) -> bool:
        """Takes a place if it is free and its thing would neither hide too much of another nor be hidden."""
        x, z, radius, left, top, right, bottom, depth, area = spot
        # Plain numbers: most places are refused by one of the first few things, which an array wouldn't know.
        for x_, z_, radius_, left_, top_, right_, bottom_, depth_, area_ in self.taken:
            dx, dz, least = x - x_, z - z_, 0.75 * (radius + radius_)
            if dx * dx + dz * dz < least * least:
                return False
            if left < right_ and left_ < right and top < bottom_ and top_ < bottom:
                common = (min(right, right_) - max(left, left_)) * (min(bottom, bottom_) - max(top, top_))
                if common > _OVERLAP * (area if depth_ < depth else area_):
                    return False
        self.taken.append(tuple(spot))
        return True


def _heading(rng: np.random.Generator, x: float, street: Street) -> float:
    """Traffic keeps to its side; some vehicles cross or are parked across."""
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
    """How a thing looks at a place: class names with marks, the vehicle before its rider."""
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
    """More things than wanted: some will be hidden or too small. They are numbered from 1 in random order."""
    names = list(KINDS)
    weights = np.array([kind.weight for kind in KINDS.values()]) * (0.15 + rng.random(len(names)) ** 2)
    if count < 5:  # a rider is as large as what he sits on: a few such pairs would leave no variance
        weights[[names.index("cyclist"), names.index("motorcyclist")]] *= 0.25
    if count >= _MANY:  # what is big would hide the many
        weights[[names.index("truck"), names.index("bus"), names.index("train")]] *= 0.25
    limits = np.cumsum(weights / weights.sum())
    sizes, tries = draw_sizes(rng, count), 2 * count + 8
    drawn = [names[min(int(i), len(names) - 1)] for i in np.searchsorted(limits, rng.random(tries))]
    wanted = [
        sizes.draw(rng, position) * (KINDS[name].near if count < _MANY else 1.0) for position, name in enumerate(drawn)
    ]
    items: list[Item] = []
    pairs = missed = 0
    for name, place in zip(drawn, places.find(rng, [KINDS[name] for name in drawn], wanted), strict=True):
        if place is None:
            missed += 1
            if missed == _PATIENCE:
                break
            continue
        missed = 0
        depth = view.depth(*place)
        parts = dress(rng, view, street, name, *place)
        pairs += len(parts) > 1
        for i, (class_, marks) in enumerate(parts):
            pair = pairs if len(parts) > 1 else 0
            items.append(Item(CLASS[class_], depth - 1e-3 * i, marks, len(items) + 1, False, pair))
        if len(items) >= min(_MOST, count + count // 4 + 4):
            break
    return items


def crowd(rng: np.random.Generator, view: View, street: Street, places: Places, number: int) -> list[Item]:
    """A band of overlapping things of one class that nobody could tell apart: one segment with this number."""
    name = _CROWDS[int(rng.integers(len(_CROWDS)))]
    kind, size, members = KINDS[name], 0.06 + 0.12 * rng.random(), int(rng.integers(7, 18))
    place = next(places.find(rng, [kind], [size]))
    if place is None:
        return []
    items, (x, z) = [], place
    step = 0.9 * kind.radius if name != "person" else 0.42
    right, depth = view.locate(x, z)
    for i in range(members):
        side = right + (i - members / 2) * step * (0.7 + 0.6 * rng.random())
        back = depth + kind.radius * 2 * rng.random()
        for class_, marks in dress(rng, view, street, name, *view.world(side, back)):
            items.append(Item(CLASS[class_], back - 1e-3 * len(items), marks, number, True))
    # A crowd is of one class: riders are labeled with the vehicles that they sit on.
    for item in items:
        item.class_ = items[0].class_
    return items
