"""Noise tiles for synthetic scenes, generated once per process from a fixed seed.

All arithmetic is on integers, so that the tiles are identical on every machine. Every tile repeats seamlessly.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Int, UInt8

HEIGHT, WIDTH = 640, 1280
"""Size of a tile, in pixels."""

PERIODS = (2, 4, 8, 16, 32)
"""Grain sizes that tiles are available in, in pixels."""

GRAIN = (1, 2, 4, 6)
"""Standard deviations of the film grain."""

KINDS = ("leaf", "grass", "grain", "cloud", "plaster")
"""Names of the tiles."""


def value_noise(rng: np.random.Generator, py: int, px: int) -> Int[np.ndarray, "640 1280"]:
    """Draw random values in 0..255 on a grid of ``py`` x ``px`` pixels, and interpolate them linearly."""
    grid = rng.integers(0, 256, (HEIGHT // py, WIDTH // px), dtype=np.int32)
    for axis, period in ((0, py), (1, px)):
        weight = np.tile(np.arange(period, dtype=np.int32), grid.shape[axis])
        weight = weight[:, None] if axis == 0 else weight[None, :]
        left, right = (np.repeat(g, period, axis=axis) for g in (grid, np.roll(grid, -1, axis=axis)))
        grid = (left * (period - weight) + right * weight) // period
    return grid


def flatten(values: Int[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Equalize the histogram of a map, to values in 0..255."""
    values = values - values.min()
    cumulative = np.cumsum(np.bincount(values.ravel()))
    return ((cumulative * 255) // cumulative[-1]).astype(np.uint8)[values]


@cache
def tile(kind: str, period: int) -> UInt8[np.ndarray, "640 1280"]:
    """Return a tile of one of :data:`KINDS`, with a grain of about ``period`` pixels, one of :data:`PERIODS`."""
    rng = np.random.Generator(np.random.Philox(KINDS.index(kind) * 100 + period))
    fine = max(period // 2, 1)
    if kind == "leaf":  # clumps of leaves with dark gaps
        return flatten(
            3 * value_noise(rng, period, period)
            + 2 * value_noise(rng, fine, fine)
            + value_noise(rng, period * 4, period * 4)
        )
    if kind == "grass":  # upright strokes
        strokes = 4 * value_noise(rng, period * 2, fine) + value_noise(rng, period * 4, period * 4)
        return flatten(strokes)
    if kind == "grain":  # specks and faint stains
        return flatten(value_noise(rng, 1, 1) + value_noise(rng, 2, 2) + 2 * value_noise(rng, period * 4, period * 4))
    if kind == "plaster":  # stains only
        return flatten(2 * value_noise(rng, period * 4, period * 4) + value_noise(rng, period, period))
    octaves = (
        8 * value_noise(rng, 64, 128)
        + 4 * value_noise(rng, 32, 64)
        + 2 * value_noise(rng, 16, 32)
        + value_noise(rng, 8, 16)
    )
    return np.maximum(flatten(octaves).astype(np.int32) * 2 - 255, 0).astype(np.uint8)


@cache
def film_grain(strength: int) -> tuple[UInt8[np.ndarray, "H W 3"], UInt8[np.ndarray, "H W 3"]]:
    """Return the positive and the negative part of bell-shaped noise, with a standard deviation from :data:`GRAIN`."""
    rng = np.random.Generator(np.random.Philox(1000 + strength))
    bell = rng.integers(-128, 128, (4, HEIGHT, WIDTH, 3), dtype=np.int16).sum(axis=0, dtype=np.int32)
    noise = bell * GRAIN[strength] // 148  # the sum of four uniform draws of +-128 has a standard deviation of 148
    return np.maximum(noise, 0).astype(np.uint8), np.maximum(-noise, 0).astype(np.uint8)


def crop(source: np.ndarray, height: int, width: int, offset: tuple[float, float]) -> np.ndarray:
    """Crop a window of the given size from a tile, repeating the tile if it is too small."""
    top, left = int(offset[0] * (HEIGHT - 1)), int(offset[1] * (WIDTH - 1))
    if height > HEIGHT or width > WIDTH:
        repeats = (-(-height // HEIGHT), -(-width // WIDTH)) + (1,) * (source.ndim - 2)
        source = np.tile(source, repeats)
        top = left = 0
    top, left = min(top, source.shape[0] - height), min(left, source.shape[1] - width)
    return source[top : top + height, left : left + width]
