"""Vegetation of synthetic scenes: trees, hedges and bushes of mottled leaves with ragged edges."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from panoptic.scenes import colors
from panoptic.scenes.marks import Fill, Mark, Textured, bar, blob
from panoptic.scenes.view import View

TALLEST = 11.0
"""Height of the tallest tree, in meters."""


def leaves(
    rng: np.random.Generator, view: View, polygon: Float[np.ndarray, "K 2"], color: colors.Rgb, depth: float
) -> Textured:
    """Fill a polygon with leaves of a color."""
    dark, bright = colors.mix(color, (0, 0, 0), 0.6), colors.mix(color, (255, 255, 230), 0.3)
    tones = [view.tint(c, depth) for c in (dark, color, bright)]
    palette = colors.palette((20, tones[0]), (140, tones[1]), (240, tones[2]))
    period = min(max(0.4 * view.scale(depth), 0.012), 0.028)
    return Textured(polygon, "leaf", period, palette, (float(rng.random()), float(rng.random())))


def tree(rng: np.random.Generator, view: View, x: float, z: float, color: colors.Rgb) -> list[Mark]:
    """Draw a tree at a ground position: round, tall or a fir."""
    depth = view.depth(x, z)
    scale, foot = view.scale(depth), view.foot(depth)
    center = 1 + view.locate(x, z)[0] * scale
    height, trunk = 4 + 7 * rng.random(), 1.2 + 1.8 * rng.random()
    color = colors.vary(rng, color, 25)
    top, width = foot - height * scale, (0.22 + 0.22 * rng.random()) * height * scale
    bark = view.tint(colors.mix((70, 55, 45), (130, 125, 115), rng.random()), depth)
    stem = (0.15 + 0.2 * rng.random()) * scale
    marks: list[Mark] = [
        Fill([bar((center, foot), (center, foot - 0.5 * height * scale), stem, stem * 0.7)], bark, True)
    ]
    low = foot - trunk * scale
    if rng.random() < 0.2:
        return [*marks, leaves(rng, view, _fir(rng, center, top, low, width * 0.8), color, depth)]
    middle, half = (top + low) / 2, (low - top) / 2
    marks.append(leaves(rng, view, blob(rng, center, middle, width, half, 0.3, 44), color, depth))
    for _ in range(2 if width > 0.07 else 0):  # smaller clumps in front, each of its own tone
        dx, dy = (rng.random() - 0.5) * 1.3 * width, (rng.random() - 0.5) * 1.1 * half
        clump = blob(rng, center + dx, middle + dy, 0.5 * width, 0.45 * half, 0.35, 28)
        marks.append(leaves(rng, view, clump, colors.vary(rng, color, 35), depth))
    return marks


def _fir(rng: np.random.Generator, x: float, top: float, low: float, width: float) -> Float[np.ndarray, "17 2"]:
    tiers = 4
    left, right = [], []
    for i in range(1, tiers + 1):
        y = top + (low - top) * i / tiers
        reach = width * i / tiers * (0.9 + 0.2 * rng.random())
        left += [(x - reach, y), (x - 0.55 * reach, y - 0.02 * (low - top))]
        right += [(x + reach, y), (x + 0.55 * reach, y - 0.02 * (low - top))]
    return np.array([(x, top), *right, *left[::-1]])


def hedge(
    rng: np.random.Generator,
    view: View,
    start: tuple[float, float],
    end: tuple[float, float],
    height: float,
    color: colors.Rgb,
) -> list[Mark]:
    """Draw a hedge or a dense row of trees between two ground positions, with a wavy top."""
    count = 24
    s = np.linspace(0, 1, count)
    x, z = start[0] + s * (end[0] - start[0]), start[1] + s * (end[1] - start[1])
    points = view.camera(np.stack([x, np.zeros(count), z], axis=-1))
    ahead = points[:, 2] > 0.8
    if ahead.sum() < 2:
        return []
    bottom = view.flatten(points[ahead])
    top = points[ahead].copy()
    top[:, 1] = height * (0.8 + 0.4 * rng.random(len(top)))
    outline = np.concatenate([view.flatten(top), bottom[::-1]])
    return [leaves(rng, view, outline, colors.vary(rng, color, 25), float(np.median(points[ahead][:, 2])))]


def bush(rng: np.random.Generator, view: View, x: float, z: float, color: colors.Rgb) -> list[Mark]:
    """Draw a bush at a ground position."""
    depth = view.depth(x, z)
    scale, foot = view.scale(depth), view.foot(depth)
    center = 1 + view.locate(x, z)[0] * scale
    size = (0.5 + 0.8 * rng.random()) * scale
    shape = blob(rng, center, foot - 0.8 * size, size * (0.8 + 0.6 * rng.random()), size, 0.3, 20)
    return [leaves(rng, view, shape, colors.vary(rng, color, 30), depth)]


def skyline(
    rng: np.random.Generator, view: View, depth: float, color: colors.Rgb, low: float, high: float
) -> list[Mark]:
    """Draw distant woods along the horizon, from ``low`` to ``high`` on the x axis of the canvas."""
    count = 30
    x, foot = np.linspace(low, high, count), view.foot(depth)
    waves = np.convolve(rng.random(count + 2), (0.25, 0.5, 0.25), mode="valid") + 0.4 * rng.random(count)
    top = foot - (3 + 9 * rng.random()) * waves * view.scale(depth)
    outline = np.concatenate([np.stack([x, top], axis=-1), ((high, foot), (low, foot))])
    return [leaves(rng, view, outline, color, depth)]
