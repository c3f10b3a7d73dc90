"""Colors of synthetic scenes.

Each class has its usual colors, as on real streets, and the palettes overlap widely: a network has to learn from shape
and texture.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Int, UInt8

Rgb = tuple[float, float, float]
"""Red, green and blue in 0..255."""

Range = tuple[float, float, float, float, float, float]
"""Lower and upper bound of hue, then of saturation, then of value."""

_GRAY = (0.0, 1.0, 0.0, 0.1, 0.25, 0.75)
_ASPHALT = (0.5, 0.75, 0.0, 0.12, 0.28, 0.5)
_DARK = (0.0, 1.0, 0.0, 0.25, 0.1, 0.3)
_PALE = (0.0, 1.0, 0.0, 0.12, 0.75, 0.97)
_STONE = (0.06, 0.13, 0.08, 0.25, 0.6, 0.88)
_EARTH = (0.04, 0.12, 0.15, 0.5, 0.3, 0.75)
_BRICK = (0.98, 1.06, 0.3, 0.6, 0.35, 0.7)
_WOOD = (0.05, 0.11, 0.4, 0.7, 0.3, 0.65)
_BLUISH = (0.54, 0.66, 0.1, 0.45, 0.4, 0.9)
_LEAF = (0.22, 0.4, 0.3, 0.65, 0.22, 0.55)
_LAWN = (0.17, 0.3, 0.35, 0.65, 0.48, 0.78)
_STRAW = (0.1, 0.18, 0.2, 0.5, 0.45, 0.8)
_AUTUMN = (0.02, 0.12, 0.4, 0.8, 0.35, 0.75)
_ROSE = (0.93, 1.03, 0.1, 0.45, 0.4, 0.85)
_ANY = (0.0, 1.0, 0.05, 0.5, 0.25, 0.85)
_VIVID = (0.0, 1.0, 0.65, 0.95, 0.5, 0.95)

_TAXI = (0.09, 0.16, 0.65, 0.95, 0.7, 0.98)
_CARMINE = (0.94, 1.02, 0.6, 0.9, 0.45, 0.85)
_NAVY = (0.58, 0.7, 0.4, 0.85, 0.25, 0.6)
_SIGNAL = (0.13, 0.24, 0.7, 0.95, 0.75, 0.98)
_TEAL = (0.42, 0.52, 0.45, 0.85, 0.35, 0.7)

RANGES: dict[str, tuple[Range, ...]] = {
    "road": (*[_ASPHALT] * 10, _GRAY, _DARK, _EARTH),
    "sidewalk": (*[_STONE] * 10, _GRAY, _ROSE, _PALE),
    "building": (*[_EARTH] * 3, *[_ROSE] * 6, _GRAY, _ANY),
    "wall": (*[_BRICK] * 9, _GRAY, _ANY),
    "fence": (*[_WOOD] * 9, _PALE, _DARK),
    "vegetation": (*[_LEAF] * 11, _AUTUMN),
    "terrain": (*[_LAWN] * 10, _STRAW, _STRAW, _LEAF),
    "pole": (_GRAY, _GRAY, _DARK, _PALE, _ANY),
    "roof": (_AUTUMN, _BRICK, _GRAY, _DARK, _EARTH),
    "paint": (_BLUISH, _BLUISH, _GRAY, _PALE, _DARK, _ANY),
    "car": (_CARMINE, _NAVY, _PALE, _PALE, _DARK, _DARK, _GRAY, _VIVID),
    "bus": (*[_TAXI] * 8, _CARMINE, _PALE),
    "train": (*[_TEAL] * 8, _PALE, _VIVID),
    "load": (*[_BLUISH] * 8, _PALE, _EARTH),
    "frame": (_CARMINE, _CARMINE, _NAVY, _DARK, _VIVID),
    "trousers": (_DARK, _DARK, _BLUISH, _GRAY, _EARTH),
    "cloth": (_NAVY, _CARMINE, _CARMINE, _DARK, _DARK, _ANY),
    "jacket": (*[_SIGNAL] * 8, _VIVID, _DARK),  # of riders
    "sign": (_VIVID, _VIVID, _VIVID, _PALE),
    "glass": (_DARK, _DARK, _DARK, _BLUISH, _GRAY, _PALE),
}
"""Color ranges of each class or part, drawn with equal probability; repeated ones are drawn more often."""

_CLEAR, _CLOUDY = (0.55, 0.63, 0.3, 0.65, 0.6, 0.95), (0.5, 0.62, 0.0, 0.12, 0.6, 0.9)
SKIES: tuple[tuple[Range, Range], ...] = (
    (_CLEAR, (0.5, 0.62, 0.05, 0.3, 0.75, 1.0)),
    (_CLEAR, (0.5, 0.62, 0.05, 0.3, 0.75, 1.0)),
    (_CLEAR, (0.5, 0.62, 0.05, 0.3, 0.75, 1.0)),
    (_CLEAR, (0.08, 0.14, 0.05, 0.3, 0.8, 1.0)),
    (_CLEAR, (0.5, 0.62, 0.05, 0.3, 0.75, 1.0)),
    (_CLOUDY, (0.0, 1.0, 0.0, 0.06, 0.75, 0.97)),
    (_CLOUDY, (0.0, 1.0, 0.0, 0.06, 0.75, 0.97)),
    ((0.58, 0.75, 0.2, 0.5, 0.3, 0.6), (0.02, 0.1, 0.3, 0.65, 0.7, 1.0)),
    ((0.6, 0.72, 0.2, 0.5, 0.15, 0.35), (0.55, 0.95, 0.1, 0.35, 0.3, 0.6)),
)
"""Color ranges of the sky at the zenith and at the horizon, drawn with equal probability."""


def from_range(rng: np.random.Generator, bounds: Range) -> Rgb:
    """Draw a color from ranges of hue, saturation and value."""
    return _between(bounds, *rng.random(3).tolist())


def _between(bounds: Range, u: float, v: float, w: float) -> Rgb:
    hue, saturation, value = (
        bounds[0] + u * (bounds[1] - bounds[0]),
        bounds[2] + v * (bounds[3] - bounds[2]),
        bounds[4] + w * (bounds[5] - bounds[4]),
    )
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return red * 255, green * 255, blue * 255


def draw(rng: np.random.Generator, name: str) -> Rgb:
    """Draw a color for a class or part in :data:`RANGES`."""
    ranges = RANGES[name]
    choice, *u = rng.random(4).tolist()
    return _between(ranges[int(choice * len(ranges))], *u)


def vary(rng: np.random.Generator, color: Rgb, amount: float) -> Rgb:
    """Jitter the brightness by up to ``amount`` (of 255), and each channel by up to 0.4 of that."""
    red, green, blue, brightness = ((2 * u - 1) * amount for u in rng.random(4).tolist())
    return (
        _clip(color[0] + red * 0.4 + brightness),
        _clip(color[1] + green * 0.4 + brightness),
        _clip(color[2] + blue * 0.4 + brightness),
    )


def mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    """Blend ``a`` with a ``share`` in 0..1 of ``b``."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share


def contrast(color: Rgb, amount: float) -> Rgb:
    """Return a contrasting color: a bright color darkened, or a dark one brightened, by ``amount`` in 0..1."""
    target = 0.0 if sum(color) > 330 else 255.0
    return mix(color, (target, target, target), amount)


def palette(*anchors: tuple[int, Rgb]) -> UInt8[np.ndarray, "256 3"]:
    """Interpolate a color for each tile value linearly between anchors (value, color) in ascending order."""
    weights = _weights(tuple(position for position, _ in anchors))
    mixed = weights @ np.array([color for _, color in anchors], np.int32)
    mixed += 128
    mixed >>= 8
    return mixed.astype(np.uint8)


@cache
def _weights(positions: tuple[int, ...]) -> Int[np.ndarray, "256 K"]:
    """Return the weight of each anchor for each tile value, in 256ths that sum to 256."""
    shares = [np.interp(np.arange(256), positions, unit) for unit in np.eye(len(positions))]
    cumulative = np.rint(256 * np.cumsum([np.zeros(256), *shares], axis=0)).astype(np.int32)
    return np.ascontiguousarray(np.diff(cumulative, axis=0).T)


def _clip(value: float) -> float:
    return min(255.0, max(0.0, value))


@dataclass(frozen=True)
class Film:
    """Response of the camera: exposure and noise.

    Attributes:
        curve: Output value of each channel for each input value.
        grain: Noise strength, an index into :data:`panoptic.scenes.textures.GRAIN`.
        offset: Start (row, column) in the noise tile, in 0..1.
    """

    curve: UInt8[np.ndarray, "256 3"]
    grain: int
    offset: tuple[float, float]


def film(rng: np.random.Generator) -> Film:
    """Draw exposure, contrast, white balance and noise of one scene."""
    gain, gamma = 0.87 + 0.26 * rng.random(), 0.87 + 0.26 * rng.random()
    lift = 25 * rng.random()
    balance = 1 + 0.1 * (rng.random(3) - 0.5)
    values = (np.arange(256) / 255)[:, None] ** gamma * gain * balance
    curve = np.clip(np.rint(lift + values * (255 - lift)), 0, 255).astype(np.uint8)
    return Film(curve, int(rng.integers(4)), (float(rng.random()), float(rng.random())))
