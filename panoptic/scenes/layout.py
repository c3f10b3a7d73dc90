"""Layout of a synthetic scene: a pure function from random streams to items, independent of the resolution."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import cv2
import numpy as np

from panoptic.scenes import backdrop, colors, plants, things
from panoptic.scenes import street as streets
from panoptic.scenes.furniture import post
from panoptic.scenes.marks import Color, Fill, Item, blob, box
from panoptic.scenes.painter import Surface, label_of
from panoptic.scenes.plan import PLANS, Plan, Stream

_VISIBILITY_SIZE = (128, 256)  # height and width of the label map on which visibility is measured
_MIN_VISIBLE_AREA = 0.0003  # as a share of the image: 157 pixels at 512 x 1024, some of them lost when painted
_MIN_VISIBLE_SHARE = 0.3  # of the area of a thing without occlusion
_CROWD_PROBABILITY = 0.17  # some crowds find no room
_MAX_STREET_DEPTH = 1e5  # items below this depth stand on the street


@dataclass(frozen=True)
class Layout:
    """Contents of a scene.

    Attributes:
        items: Items, in painting order.
        film: Response of the camera.
    """

    items: tuple[Item, ...]
    film: colors.Film


def compose(stream: Stream, strength: float, generator: int = 1) -> Layout:
    """Lay out a scene.

    Args:
        stream: Function that returns the random stream of a name. Each part of the scene draws from a stream of its
            own, so that a change to one part does not affect the others.
        strength: Position in the curriculum, in 0..1. Below 1 there are fewer things and less clutter on the same
            street.
        generator: Version of the generator, a key of :data:`panoptic.scenes.plan.PLANS`.

    Returns:
        The items and the film.
    """
    plan = PLANS[generator](stream)
    view = plan.view
    rng = stream("street")
    street, green = streets.plan_street(rng), colors.draw(rng, "vegetation")
    items = [streets.sky(rng, view), *streets.ground(rng, view, street), *streets.shadows(rng, view)]
    items += backdrop.skyline(stream("skyline"), view, street, green)
    items += backdrop.backdrop(stream("backdrop"), view, street, green)
    places = things.Places(view, street, framed=plan.exact)
    items += _clutter(stream("clutter"), plan, street, places, green)
    rng = stream("things")
    count = plan.count(rng)
    candidates = things.candidates(rng, plan, places, count)
    items += candidates
    rng = stream("crowd")
    since = rng.random() / _CROWD_PROBABILITY
    if since < 1:
        items += [replace(item, since=since) for item in things.crowd(rng, plan, street, places, len(candidates) + 1)]
    items += _void(stream("void"))
    items.sort(key=lambda item: -item.depth)
    return Layout(_select(items, count, strength), plan.film)


def _clutter(
    rng: np.random.Generator, plan: Plan, street: streets.Street, places: things.Places, green: colors.Rgb
) -> list[Item]:
    """Draw posts, trees and bushes beside the road, some of them present only above some strength."""
    view = plan.view
    preferences = {"road": 0.02, "sidewalk": 1.0, "terrain": 1.0}
    items: list[Item] = []
    posts, trees = int(rng.integers(1, 9)), int(rng.integers(7)) if rng.random() < 0.6 else 0
    sizes = [(0.045 + 0.25 * u**1.5) * plan.nearness for u in rng.random(posts + trees)]
    kinds = [things.Kind(0, 1.0, 0.3, 0.4, preferences)] * (posts + trees)
    for i, place in enumerate(places.find(rng, kinds, sizes)):
        since = (rng.random() - 0.3) / 0.7
        if place is None:
            continue
        if i < posts:
            parts = post(rng, view, *place)
        else:
            draw = plants.tree if rng.random() < 0.65 else plants.bush
            parts = [Item(streets.CLASS["vegetation"], view.depth(*place), draw(rng, view, *place, green))]
        items += [replace(item, since=since) for item in parts]
    return items


def _void(rng: np.random.Generator) -> list[Item]:
    """Draw void regions: the hood of the ego vehicle, and a border as left by rectification."""
    items: list[Item] = []
    if rng.random() < 0.2:
        paint = _integers(colors.draw(rng, "paint"))
        hood = blob(rng, 0.8 + 0.4 * rng.random(), 1.06, 0.8 + 0.4 * rng.random(), 0.1 + 0.1 * rng.random(), 0.0, 40)
        highlight = hood * (0.9, 1.0) + (0.1, 0.035)
        gloss = _integers(colors.contrast(paint, 0.15))
        items.append(Item(-1, -1.0, [Fill([hood], paint, True), Fill([highlight], gloss)]))
    if rng.random() < 0.12:
        width = 0.01 + 0.015 * rng.random()
        rows = [box(-1, -1, 3, width), box(-1, 1 - width, 3, 2)]
        columns = [box(-1, 0, width, 1), box(2 - width, 0, 3, 1)]
        items.append(Item(-1, -2.0, [Fill(bars, (0, 0, 0), True) for bars in (rows, columns)]))
    return items


def _integers(color: colors.Rgb) -> Color:
    red, green, blue = color
    return int(red), int(green), int(blue)


def _select(items: list[Item], count: int, strength: float) -> tuple[Item, ...]:
    """Drop things that are hidden, too small or beyond ``count``, and renumber the rest.

    A single pass is enough, because dropping a thing can only reveal others. Visibility is measured at full strength,
    so that the things at a lower strength are always a subset of those at full strength.
    """
    surface = Surface(*_VISIBILITY_SIZE, labels_only=True)
    unoccluded: Counter[int] = Counter()
    for item in items:
        if item.depth < _MAX_STREET_DEPTH:
            surface.paint(item)
            if item.thing:
                unoccluded[item.thing] += np.count_nonzero(surface.labels == label_of(item))
    visible = cv2.calcHist([surface.labels], [0], None, [256], [0, 256]).ravel().tolist()
    numbered = {item.thing: item for item in items if item.thing}
    min_area = _MIN_VISIBLE_AREA * surface.labels.size
    dropped = set()
    for number, item in numbered.items():
        area = visible[label_of(item)]
        # Members of a crowd occlude each other, so only its area counts.
        if area < min_area or (not item.crowd and area < _MIN_VISIBLE_SHARE * unoccluded[number]):
            dropped.add(number)
    broken_pairs = {numbered[number].pair for number in dropped} - {0}
    kept = [n for n in sorted(numbered) if n not in dropped and numbered[n].pair not in broken_pairs]
    single = [n for n in kept if not numbered[n].crowd]
    count = round(min(count, len(single)) * (0.1 + 0.9 * strength))
    if len(single) > count:
        last = numbered[single[count - 1]].pair if count else 0
        split = last and numbered[single[count]].pair == last
        single = single[: count - 1 if split else count]
    kept = single + [n for n in kept if numbered[n].crowd and numbered[n].since <= strength]
    renumbered = {old: new for new, old in enumerate(kept, start=1)}
    selected = [item for item in items if (item.thing in renumbered if item.thing else item.since <= strength)]
    for item in selected:
        item.thing = renumbered.get(item.thing, 0)
    return tuple(selected)
