"""Puts a synthetic scene together: a pure function from random streams to items, at no particular resolution."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import cv2
import numpy as np

from panoptic.scenes import backdrop, colors, plants, things
from panoptic.scenes import street as streets
from panoptic.scenes.furniture import post
from panoptic.scenes.marks import Fill, Item, blob, box
from panoptic.scenes.painter import Surface, label_of
from panoptic.scenes.view import View

_JUDGED_AT = (128, 256)  # height and width of the label map by which things are kept or left out
_SMALLEST = 0.0003  # visible share of the image: 157 pixels at 512 x 1024, some of them lost when painted
_HIDDEN = 0.3  # share of a thing that must be visible
_CROWDS = 0.17  # share of scenes that are to have a crowd; some find no room
_ON_STREET = 1e5  # depth below which items stand on the street


@dataclass(frozen=True)
class Layout:
    """Everything in a scene.

    Attributes:
        items: in the order of painting.
        film: what the camera makes of it.
    """

    items: tuple[Item, ...]
    film: colors.Film


def draw_view(rng: np.random.Generator) -> View:
    """Along the street mostly, else askew or right across it."""
    u = rng.random(10).tolist()
    yaw = 0.5 * (u[1] - 0.5) if u[0] < 0.5 else 0.25 + 0.75 * u[1] if u[0] < 0.78 else 1.0 + 0.7 * u[1]
    if u[2] < 0.5:
        yaw = -yaw
    haze = 120 + 110 * u[3]
    air = colors.mix((haze, haze, haze), colors.from_range(rng, (0.0, 1.0, 0.1, 0.3, 0.5, 0.9)), 0.4)
    clearness = 40 + 60 * u[4] if u[5] < 0.2 else 150 + 600 * u[4]
    light = (1.05, 0.68 + 0.3 * u[8]) if u[9] < 0.5 else (0.68 + 0.3 * u[8], 1.05)
    return View(1.2 + 1.8 * u[6], 0.8 + 1.1 * u[7] ** 1.5, 0.22 + 0.36 * rng.random(), yaw, air, clearness, light)


def compose(stream, strength: float) -> Layout:
    """A scene at a position in the curriculum; below 1 there are fewer things and less clutter on the same street.

    Args:
        stream: gives the random stream of a name; each part of the scene has its own, so that none shifts another.
        strength: 0..1.
    """
    rng = stream("view")
    view, film = draw_view(rng), colors.film(rng)
    rng = stream("street")
    street, green = streets.plan_street(rng), colors.draw(rng, "vegetation")
    items = [streets.sky(rng, view), *streets.ground(rng, view, street), *streets.shadows(rng, view)]
    items += backdrop.skyline(stream("skyline"), view, street, green)
    items += backdrop.backdrop(stream("backdrop"), view, street, green)
    places = things.Places(view, street)
    items += _clutter(stream("clutter"), view, street, places, green)
    rng = stream("things")
    count = things.draw_count(rng)
    found = things.candidates(rng, view, street, places, count)
    items += found
    rng = stream("crowd")
    since = rng.random() / _CROWDS
    if since < 1:
        items += [replace(item, since=since) for item in things.crowd(rng, view, street, places, len(found) + 1)]
    items += _void(stream("void"))
    items.sort(key=lambda item: -item.depth)
    return Layout(_settle(items, count, strength), film)


def _clutter(rng, view: View, street: streets.Street, places: things.Places, green) -> list[Item]:
    """Posts, trees and bushes beside the road, some of them only there from some strength on."""
    beside = {"road": 0.02, "sidewalk": 1.0, "terrain": 1.0}
    items: list[Item] = []
    posts, trees = int(rng.integers(1, 9)), int(rng.integers(7)) if rng.random() < 0.6 else 0
    sizes = [0.045 + 0.25 * u**1.5 for u in rng.random(posts + trees)]
    kinds = [things.Kind(0, 1.0, 0.3, 0.4, beside)] * (posts + trees)
    for i, place in enumerate(places.find(rng, kinds, sizes)):
        since = (rng.random() - 0.3) / 0.7
        if place is None:
            continue
        if i < posts:
            made = post(rng, view, *place)
        else:
            draw = plants.tree if rng.random() < 0.65 else plants.bush
            made = [Item(streets.CLASS["vegetation"], view.depth(*place), draw(rng, view, *place, green))]
        items += [replace(item, since=since) for item in made]
    return items


def _void(rng: np.random.Generator) -> list[Item]:
    """What belongs to no class: the own car's bonnet, a border left by rectification."""
    items: list[Item] = []
    if rng.random() < 0.2:
        tone = tuple(int(c) for c in colors.draw(rng, "paint"))
        bonnet = blob(rng, 0.8 + 0.4 * rng.random(), 1.06, 0.8 + 0.4 * rng.random(), 0.1 + 0.1 * rng.random(), 0.0, 40)
        shine = bonnet * (0.9, 1.0) + (0.1, 0.035)
        gloss = tuple(int(c) for c in colors.contrast(tone, 0.15))
        items.append(Item(-1, -1.0, [Fill([bonnet], tone, True), Fill([shine], gloss)]))
    if rng.random() < 0.12:
        wide = 0.01 + 0.015 * rng.random()
        rows, columns = [box(-1, -1, 3, wide), box(-1, 1 - wide, 3, 2)], [box(-1, 0, wide, 1), box(2 - wide, 0, 3, 1)]
        items.append(Item(-1, -2.0, [Fill(bars, (0, 0, 0), True) for bars in (rows, columns)]))
    return items


def _settle(items: list[Item], count: int, strength: float) -> tuple[Item, ...]:
    """Leaves out things that are hidden or too small, and those beyond the ``count``; then numbers the rest anew.

    Leaving something out only uncovers the rest, so one look is enough; it is at the scene in full strength, so that
    what is there at a lower one is always a part of that.
    """
    surface = Surface(*_JUDGED_AT, labels_only=True)
    whole: Counter[int] = Counter()
    for item in items:
        if item.depth < _ON_STREET:
            surface.paint(item)
            if item.thing:
                whole[item.thing] += cv2.countNonZero(cv2.compare(surface.labels, label_of(item), cv2.CMP_EQ))
    visible = cv2.calcHist([surface.labels], [0], None, [256], [0, 256]).ravel().tolist()
    numbered = {item.thing: item for item in items if item.thing}
    smallest = _SMALLEST * surface.labels.size
    lost = set()
    for number, item in numbered.items():
        seen = visible[label_of(item)]
        # The parts of a crowd cover each other: only its size counts.
        if seen < smallest or (not item.crowd and seen < _HIDDEN * whole[number]):
            lost.add(number)
    broken = {numbered[number].pair for number in lost} - {0}
    kept = [n for n in sorted(numbered) if n not in lost and numbered[n].pair not in broken]
    single = [n for n in kept if not numbered[n].crowd]
    count = round(min(count, len(single)) * (0.1 + 0.9 * strength))
    if len(single) > count:
        last = numbered[single[count - 1]].pair if count else 0
        split = last and numbered[single[count]].pair == last
        single = single[: count - 1 if split else count]
    kept = single + [n for n in kept if numbered[n].crowd and numbered[n].since <= strength]
    renumbered = {old: new for new, old in enumerate(kept, start=1)}
    settled = [item for item in items if (item.thing in renumbered if item.thing else item.since <= strength)]
    for item in settled:
        item.thing = renumbered.get(item.thing, 0)
    return tuple(settled)
