"""Colors of synthetic scenes.

The palettes of the classes overlap on purpose: a network that trains here has to look at shape and texture.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

Rgb = tuple[float, float, float]
# Ranges of hue, saturation and value, each drawn equally often unless repeated.
Range = tuple[float, float, float, float, float, float]

_GRAY = (0.0, 1.0, 0.0, 0.1, 0.25, 0.75)
_DARK = (0.0, 1.0, 0.0, 0.25, 0.12, 0.35)
_PALE = (0.0, 1.0, 0.0, 0.15, 0.7, 0.95)
_EARTH = (0.04, 0.12, 0.15, 0.5, 0.3, 0.75)
_BLUISH = (0.54, 0.66, 0.1, 0.45, 0.4, 0.9)
_GREEN = (0.2, 0.4, 0.25, 0.6, 0.25, 0.65)
_STRAW = (0.1, 0.18, 0.2, 0.5, 0.45, 0.8)
_AUTUMN = (0.02, 0.12, 0.4, 0.8, 0.35, 0.75)
_ROSE = (0.93, 1.03, 0.1, 0.45, 0.4, 0.85)
_ANY = (0.0, 1.0, 0.05, 0.5, 0.25, 0.85)
_VIVID = (0.0, 1.0, 0.55, 0.9, 0.45, 0.9)

RANGES: dict[str, tuple[Range, ...]] = {
    "road": (_GRAY, _GRAY, _GRAY, _DARK, _DARK, _EARTH, _BLUISH),
    "sidewalk": (_GRAY, _GRAY, _DARK, _EARTH, _PALE, _ROSE, _BLUISH),
    "building": (_ANY, _ANY, _GRAY, _PALE, _EARTH, _BLUISH, _ROSE, _STRAW, _DARK, _GREEN),
    "wall": (_ANY, _GRAY, _PALE, _EARTH, _BLUISH, _ROSE, _DARK, _GREEN),
    "fence": (_ANY, _GRAY, _PALE, _EARTH, _DARK, _GREEN),
    "vegetation": (_GREEN, _GREEN, _GREEN, _GREEN, _GREEN, _STRAW, _AUTUMN, _DARK, _GRAY),
    "terrain": (_GREEN, _GREEN, _GREEN, _STRAW, _STRAW, _EARTH, _EARTH, _GRAY),
    "pole": (_GRAY, _GRAY, _DARK, _PALE, _ANY),
    "roof": (_AUTUMN, _GRAY, _DARK, _EARTH),
    "paint": (_VIVID, _GRAY, _PALE, _PALE, _DARK, _BLUISH, _ANY),
    "cloth": (_ANY, _VIVID, _DARK, _DARK, _GRAY, _PALE, _BLUISH),
    "sign": (_VIVID, _VIVID, _PALE),
    "glass": (_DARK, _DARK, _BLUISH, _GRAY, _PALE),
}
SKIES: tuple[tuple[Range, Range], ...] = (  # zenith, horizon
    ((0.55, 0.63, 0.3, 0.7, 0.5, 0.95), (0.5, 0.62, 0.05, 0.3, 0.75, 1.0)),
    ((0.55, 0.63, 0.3, 0.7, 0.5, 0.95), (0.08, 0.14, 0.05, 0.3, 0.8, 1.0)),
    ((0.0, 1.0, 0.0, 0.08, 0.45, 0.85), (0.0, 1.0, 0.0, 0.08, 0.6, 0.95)),
    ((0.58, 0.75, 0.2, 0.5, 0.3, 0.6), (0.02, 0.1, 0.3, 0.65, 0.7, 1.0)),
    ((0.6, 0.72, 0.2, 0.5, 0.15, 0.35), (0.55, 0.95, 0.1, 0.35, 0.3, 0.6)),
)


def from_range(rng: np.random.Generator, bounds: Range) -> Rgb:
    """A color from ranges of hue, saturation and value."""
    u = rng.random(3)
    hue, saturation, value = (bounds[2 * i] + u[i] * (bounds[2 * i + 1] - bounds[2 * i]) for i in range(3))
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return red * 255, green * 255, blue * 255


def draw(rng: np.random.Generator, name: str) -> Rgb:
    """A color for a class or part named in :data:`RANGES`."""
    ranges = RANGES[name]
    return from_range(rng, ranges[int(rng.integers(len(ranges)))])


def vary(rng: np.random.Generator, color: Rgb, amount: float) -> Rgb:
    """A color like this one: each channel and the brightness up to ``amount`` (of 255) away."""
    red, green, blue, all_ = (rng.random(4) * 2 - 1) * amount
    return _clip(color[0] + red * 0.4 + all_), _clip(color[1] + green * 0.4 + all_), _clip(color[2] + blue * 0.4 + all_)


def mix(a: Rgb, b: Rgb, share: float) -> Rgb:
    """``a`` with a ``share`` of ``b``."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share


def contrast(color: Rgb, amount: float) -> Rgb:
    """A color that stands off from this one: darker than a bright one, brighter than a dark one."""
    target = 0.0 if sum(color) > 330 else 255.0
    return mix(color, (target, target, target), amount)


def palette(*anchors: tuple[int, Rgb]) -> UInt8[np.ndarray, "256 3"]:
    """A color per tile value, straight between anchors (value, color) in ascending order."""
    positions = [position for position, _ in anchors]
    channels = [np.interp(np.arange(256), positions, [color[i] for _, color in anchors]) for i in range(3)]
    return np.clip(np.rint(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)


def _clip(value: float) -> float:
    return min(255.0, max(0.0, value))


@dataclass(frozen=True)
class Film:
    """What the camera makes of the light.

    Attributes:
        curve: brightness of each channel by its value.
        grain: strength of the noise, an index into the noise tiles.
        offset: where in the noise tile to start, in 0..1.
    """

    curve: UInt8[np.ndarray, "256 3"]
    grain: int
    offset: tuple[float, float]


def film(rng: np.random.Generator) -> Film:
    """Exposure, contrast, white balance and noise of one scene."""
    gain, gamma = 0.75 + 0.45 * rng.random(), 0.8 + 0.45 * rng.random()
    lift = 25 * rng.random()
    balance = 1 + 0.14 * (rng.random(3) - 0.5)
    values = (np.arange(256) / 255)[:, None] ** gamma * gain * balance
    curve = np.clip(np.rint(lift + values * (255 - lift)), 0, 255).astype(np.uint8)
    return Film(curve, int(rng.integers(4)), (float(rng.random()), float(rng.random())))
