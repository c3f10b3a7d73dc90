"""Plan of a synthetic street, its ground and the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from panoptic.labels import CITYSCAPES
from panoptic.scenes import colors
from panoptic.scenes.marks import FINEST, Fill, Item, Mark, Shade, Sky, Textured
from panoptic.scenes.view import NEAR, View, thin

CLASS = {name: c for c, name in enumerate(CITYSCAPES.names)}
"""Class index of each name."""

_SKY, _GROUND, SKYLINE, BACKDROP, BARRIER = 1e9, 1e8, 1e7, 1e6, 1e5
"""Depths that keep the background behind everything that stands on the street."""

_BEHIND, _BEYOND, _WIDE = -60.0, 3000.0, 3000.0  # extent of the ground: rear, front and to each side, in meters

_Bound = float | np.ndarray

# Tile, grain size in meters, contrast.
_SOIL = {"road": ("grain", 0.1, 0.09), "sidewalk": ("plaster", 0.3, 0.05), "terrain": ("grass", 0.12, 0.4)}


@dataclass(frozen=True)
class Strip:
    """Strip of ground along the street.

    Attributes:
        kind: Class name: road, sidewalk or terrain.
        x0: Left edge, in meters.
        x1: Right edge, in meters.
    """

    kind: str
    x0: float
    x1: float


@dataclass(frozen=True)
class Street:
    """Plan of a street.

    Attributes:
        strips: Strips of ground, from left to right. The first and the last extend beyond the view.
        left: Left edge of the street, where the backdrop begins, in meters.
        right: Right edge of the street, where the backdrop begins, in meters.
        end: Length of the street, in meters.
    """

    strips: tuple[Strip, ...]
    left: float
    right: float
    end: float

    def kind(self, x: np.ndarray) -> np.ndarray:
        """Return the index of the strip at each position across the street."""
        return np.searchsorted([strip.x1 for strip in self.strips[:-1]], x)


def plan_street(rng: np.random.Generator) -> Street:
    """Draw widths and kinds of the strips. The camera, at 0, is on the road or beside it."""
    sides = [_plan_side(rng), _plan_side(rng)]
    road = 5 + 11 * rng.random() ** 1.5
    near = -road * (0.15 + 0.7 * rng.random())
    if rng.random() < 0.3:  # camera beside the road
        widths = sum(width for _, width in sides[0])
        near += -road - near + 0.7 * widths * rng.random()
        near = min(near, widths * 0.8)
        if near < 0:
            near = 0.5
    left: list[Strip] = []
    x = near
    for kind, width in sides[0]:
        left.insert(0, Strip(kind, x - width, x))
        x -= width
    right: list[Strip] = []
    y = near + road
    for kind, width in sides[1]:
        right.append(Strip(kind, y, y + width))
        y += width
    outer = ["terrain" if rng.random() < 0.7 else "sidewalk" for _ in range(2)]
    middle = (*left, Strip("road", near, near + road), *right)
    strips = (Strip(outer[0], -_WIDE, x), *middle, Strip(outer[1], y, _WIDE))
    return Street(strips, min(x, -1.5), max(y, 1.5), 60 + 70 * rng.random())


def _plan_side(rng: np.random.Generator) -> list[tuple[str, float]]:
    """Draw the strips of one side, from the road outwards."""
    u = rng.random(5).tolist()
    walk, verge = ("sidewalk", 1.5 + 4 * u[1]), ("terrain", 1.2 + 5 * u[2])
    side = [[walk], [verge, walk], [walk, verge], [verge]][(u[0] > 0.4) + (u[0] > 0.6) + (u[0] > 0.8)]
    if u[3] < 0.35:  # a wide open side: a square or a field
        side.append(("terrain" if u[4] < 0.55 else "sidewalk" if u[4] < 0.8 else "road", 6 + 25 * rng.random() ** 2))
    return side


def sky(rng: np.random.Generator, view: View) -> Item:
    """Draw the sky: a smooth gradient, with or without clouds."""
    zenith, horizon = colors.SKIES[int(rng.random() * len(colors.SKIES))]
    high, low = colors.from_range(rng, zenith), colors.from_range(rng, horizon)
    cloud = colors.mix(low, (255, 255, 255) if rng.random() < 0.7 else (90, 90, 100), 0.6)
    high, low, cloud = (colors.mix(color, view.haze, view.veil) for color in (high, low, cloud))
    ramp = colors.palette((0, high), (120, low), (255, cloud))
    strength = 0.0 if rng.random() < 0.3 else float(0.3 + 0.7 * rng.random())
    mark = Sky(ramp, view.horizon, strength, (float(rng.random()), float(rng.random())))
    return Item(CLASS["sky"], _SKY, [mark])


def ground(rng: np.random.Generator, view: View, street: Street) -> list[Item]:
    """Draw all strips, with the marks that distinguish them: lanes, tiles, grass."""
    base_colors = {kind: colors.draw(rng, kind) for kind in ("road", "sidewalk", "terrain")}
    items = []
    for i, strip in enumerate(street.strips):
        corners = [(strip.x0, _BEHIND), (strip.x1, _BEHIND), (strip.x1, _BEYOND), (strip.x0, _BEYOND)]
        outline = view.polygon(np.array([(x, 0.0, z) for x, z in corners]))
        if outline is None:
            continue
        color = colors.vary(rng, base_colors[strip.kind], 12)
        marks: list[Mark] = [_soil(rng, view, strip.kind, color, outline)]
        if strip.kind == "road":
            marks += _lanes(rng, view, strip, color)
        elif strip.kind == "sidewalk":
            marks += _tiles(rng, view, strip, color)
        items.append(Item(CLASS[strip.kind], _GROUND - i, marks))
    return items


def _soil(rng: np.random.Generator, view: View, kind: str, color: colors.Rgb, outline: np.ndarray) -> Textured:
    tile, grain, spread = _SOIL[kind]
    dark, bright = colors.mix(color, (0, 0, 0), spread), colors.mix(color, (255, 255, 235), spread * 0.8)
    palette = colors.palette((0, view.tint(dark, 8.0)), (255, view.tint(bright, 8.0)))
    offset = (float(rng.random()), float(rng.random()))
    return Textured(outline, tile, grain / view.height, palette, offset, view.horizon)


def _flat(x0: _Bound, x1: _Bound, z0: _Bound, z1: _Bound) -> Float[np.ndarray, "N 4 3"]:
    """Return rectangles on the ground in world coordinates, from broadcastable bounds."""
    (count,) = np.broadcast_shapes(*map(np.shape, (x0, x1, z0, z1))) or (1,)
    world = np.zeros((count, 4, 3))
    for corner, (x, z) in enumerate(((x0, z0), (x1, z0), (x1, z1), (x0, z1))):
        world[:, corner, 0], world[:, corner, 2] = x, z
    return world


def _lanes(rng: np.random.Generator, view: View, strip: Strip, color: colors.Rgb) -> list[Mark]:
    """Draw edge lines, dashed lane lines and sometimes a zebra crossing."""
    paint = view.tint(colors.mix((235, 235, 230), (240, 200, 60), float(rng.random() < 0.2)), 8.0)
    width = strip.x1 - strip.x0
    lanes = max(int(width / (2.8 + rng.random())), 1)
    marks: list[Mark] = []
    period, dash, phase = 4 + 5 * rng.random(), 0.3 + 0.3 * rng.random(), rng.random()
    z = (np.arange(-8, 20) + phase) * period
    for lane in range(1, lanes):
        x = strip.x0 + width * lane / lanes
        marks.append(Fill(view.quads(_flat(x - 0.09, x + 0.09, z, z + dash * period)), paint))
    if rng.random() < 0.5:
        for x in (strip.x0 + 0.25, strip.x1 - 0.25):
            line = view.polygon(_flat(x - 0.08, x + 0.08, _BEHIND, 150.0)[0])
            if line is not None:
                marks.append(Fill([line], paint))
    if rng.random() < 0.3:
        near = 4 + 16 * rng.random()
        bars = np.arange(strip.x0 + 0.4, strip.x1 - 0.5, 1.0)
        marks.append(Fill(view.quads(_flat(bars, bars + 0.5, near, near + 3.0)), paint))
    return marks


def _tiles(rng: np.random.Generator, view: View, strip: Strip, color: colors.Rgb) -> list[Mark]:
    """Draw joints between paving stones, and curbs."""
    size = 0.7 + 0.9 * rng.random()
    tint = view.tint(colors.contrast(color, 0.3 + 0.25 * rng.random()), 8.0)
    x0, x1 = max(strip.x0, -60.0), min(strip.x1, 60.0)
    middle = min(max((x0 + x1) / 2, -20.0), 20.0)
    across, along = np.arange(x0, x1, size), np.arange(-30.0, 90.0, size)
    along = along[_visible(view, np.full_like(along, middle), along)]
    across = across[_visible(view, across, np.full_like(across, view.world(0.0, 9.0)[1]))]
    crossing = _flat(x0, x1, along, along + 0.1 * size)
    # `View.stripes` expects the long sides first.
    running = _flat(across, across + 0.1 * size, -30.0, 90.0)[:, [0, 3, 2, 1]]
    marks: list[Mark] = [Fill(view.stripes(lines), tint) for lines in (crossing, running)]
    curb = view.tint(colors.mix(color, (255, 255, 255), 0.35), 8.0)
    for x in (strip.x0, strip.x1):
        edge = view.polygon(_flat(x - 0.1, x + 0.1, _BEHIND, 150.0)[0])
        if edge is not None and abs(x) < 100:
            marks.append(Fill([edge], curb))
    return marks


def _visible(view: View, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return indices of the positions in front of the camera, skipping some where they are too dense to resolve."""
    points = view.camera(np.stack([x, np.zeros(len(x)), z], axis=-1))
    ahead = np.flatnonzero(points[:, 2] > 2 * NEAR)
    return ahead[thin(view.flatten(points[ahead]), FINEST)] if len(ahead) else ahead


def shadows(rng: np.random.Generator, view: View) -> list[Item]:
    """Draw shadows that fall across the street from objects out of view."""
    items = []
    for _ in range(int(rng.integers(3))):
        z, x, lean = 3 + 25 * rng.random(), -15 + 30 * rng.random(), 8 * (rng.random() - 0.5)
        length, width = 4 + 14 * rng.random(), 1.5 + 6 * rng.random()
        corners = ((x, z), (x + length, z + lean), (x + length, z + lean + width), (x, z + width))
        shape = view.polygon(np.array([(a, 0.0, b) for a, b in corners]))
        if shape is not None:
            items.append(Item(-1, _GROUND / 2, [Shade([shape], 0.5 + 0.3 * float(rng.random()))]))
    return items
