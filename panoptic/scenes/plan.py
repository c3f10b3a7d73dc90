"""Plan of a synthetic scene: its camera, and how many things of what size stand before it.

The versions of the scene generator differ in their plans. All else, from the street to the painting of every thing, is
shared by them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from panoptic.scenes import colors
from panoptic.scenes.view import View

Stream = Callable[[str], np.random.Generator]
"""Function that returns the random stream of a name."""

PACKED = 140
"""From this number of things on, they fit only at about the smallest size."""

MANY = 50
"""From this number of things on, they fit only if they are small and far."""

_SMALLEST, _LARGEST = 0.03, 0.95  # apparent sizes of version 2, in image heights
_ROOM = 1.1  # most area of all things of version 2, in squared image heights, of 2 of the canvas
_TYPICAL = 1.3  # size of a typical thing, in meters
_FARTHEST = 95.0  # depth of the smallest typical thing, in meters: not beyond a short street


class Plan(ABC):
    """Camera, number and sizes of the things of one scene, as a version of the generator draws them.

    Attributes:
        view: Camera.
        film: Response of the camera.
        nearness: Factor on the apparent sizes of clutter and crowds.
        exact: Whether apparent sizes hold for every thing: a size is given to a kind that can have it before this
            camera, and one that finds no room is tried again.
    """

    view: View
    film: colors.Film
    nearness = 1.0
    exact = False

    @abstractmethod
    def count(self, rng: np.random.Generator) -> int:
        """Return the number of things, drawn from the stream of the things unless it was drawn with the camera."""

    @abstractmethod
    def sizes(self, rng: np.random.Generator, count: int) -> Sizes:
        """Return the distribution of the apparent sizes of this number of things."""


class Sizes(ABC):
    """Distribution of apparent sizes in one scene."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, position: int) -> float:
        """Draw the apparent size of a thing: the square root of its area, in image heights.

        Args:
            rng: Random stream.
            position: Position of the thing in the order of draws.

        Returns:
            The size.
        """


class Plan1(Plan):
    """Version 1: a camera at eye level with a moderate focal length.

    The number of things is mostly log-uniform, and sizes are all far, all near, all similar, or mixed.
    """

    def __init__(self, stream: Stream) -> None:
        rng = stream("view")
        self.view, self.film = draw_view(rng), colors.film(rng)

    def count(self, rng: np.random.Generator) -> int:
        """Draw the number of things: mostly log-uniform, sometimes 0 or 1, sometimes more than a street can hold."""
        u, few = rng.random(2).tolist()
        if few < 0.05:
            return int(u * 2)
        if few > 0.9:
            return PACKED + int(u * 60)
        return round(2 * 55.0**u)

    def sizes(self, rng: np.random.Generator, count: int) -> Sizes:
        """Draw the bounds of the sizes. Many things fit only if they are far.

        Up to moderate counts the bounds do not depend on the number of things, so that scale variance does not follow
        density.
        """
        if count >= PACKED:
            return Bounds(math.log(0.046), math.log(0.085))
        least, most = math.log(0.05), math.log(0.8)
        half = 0.5 * (most - least) * rng.random() ** 0.5 * (1.0 if count < MANY else 0.35)
        center = least + half + (most - least - 2 * half) * rng.random() ** (1.3 if count < MANY else 8.0)
        return Bounds(center - half, center + half)


def draw_view(rng: np.random.Generator) -> View:
    """Draw a camera, looking mostly along the street, else at an angle or across it."""
    u = rng.random(10).tolist()
    yaw = 0.5 * (u[1] - 0.5) if u[0] < 0.5 else 0.25 + 0.75 * u[1] if u[0] < 0.78 else 1.0 + 0.7 * u[1]
    if u[2] < 0.5:
        yaw = -yaw
    haze = 120 + 110 * u[3]
    air = colors.mix((haze, haze, haze), colors.from_range(rng, (0.0, 1.0, 0.1, 0.3, 0.5, 0.9)), 0.4)
    clearness = 40 + 60 * u[4] if u[5] < 0.2 else 150 + 600 * u[4]
    light = (1.05, 0.68 + 0.3 * u[8]) if u[9] < 0.5 else (0.68 + 0.3 * u[8], 1.05)
    return View(1.2 + 1.8 * u[6], 0.8 + 1.1 * u[7] ** 1.5, 0.22 + 0.36 * rng.random(), yaw, air, clearness, light)


@dataclass(frozen=True)
class Bounds(Sizes):
    """Sizes whose logarithms are uniform between bounds.

    Attributes:
        low: Lower bound of the log size.
        high: Upper bound of the log size.
    """

    low: float
    high: float

    def draw(self, rng: np.random.Generator, position: int) -> float:
        """Draw the apparent size of a thing.

        The first things are drawn near the bounds, to compensate for the smaller variance of a few draws.
        """
        share = rng.random()
        if position < 4:
            share = 0.5 + (0.36 if position % 2 else -0.36) + 0.1 * (share - 0.5)
        return math.exp(self.low + (self.high - self.low) * share)


class Plan2(Plan):
    """Version 2: cameras as in a collection of photos, in any weather.

    The number of things and the variance of their log areas are drawn independently of each other. Then the scale of
    the picture is drawn, between things that are barely visible and things that fill the picture, and last a camera
    that can see such things: focal length, height above the ground, and horizon, which stands for the pitch.
    """

    exact = True

    def __init__(self, stream: Stream) -> None:
        rng = stream("plan")
        empty, number, variance, scale = rng.random(4).tolist()
        self._count = 0 if empty < 0.007 else round(1.45 * 40.0**number)
        scale = 0.5 - 0.5 * math.cos(math.pi * scale**0.7)  # often near one end
        count = max(self._count, 1)
        # Of few things, one that is hidden or cut costs most of the variance.
        self._sizes = rng.permutation(_sizes(count, 1.3 * (1 + 3.5 / count) * variance, scale))
        view, self.film = draw_camera(stream("view"), self._sizes), colors.film(stream("film"))
        self.view, self.film = weather(stream("weather"), view, self.film, _depth(view, self._sizes.min()))
        self.nearness = min(2.0 / view.height, 1.0)

    def count(self, rng: np.random.Generator) -> int:
        """Return the number of things."""
        return self._count

    def sizes(self, rng: np.random.Generator, count: int) -> Sizes:
        """Return the sizes of the things."""
        return Listed(self._sizes)


@dataclass(frozen=True)
class Listed(Sizes):
    """Sizes from a list, one for each thing wanted, and any of them for the reserve.

    Attributes:
        values: Sizes.
    """

    values: Float[np.ndarray, " N"]

    def draw(self, rng: np.random.Generator, position: int) -> float:
        """Return the size of a thing."""
        return float(self.values[position if position < len(self.values) else int(rng.integers(len(self.values)))])


def _sizes(count: int, variance: float, scale: float) -> list[float]:
    """Return apparent sizes, in ascending order.

    Args:
        count: Number of things.
        variance: Variance of their log areas, reached exactly by two things and more.
        scale: Place of the sizes between the smallest and the largest ones there is room for, in 0..1.

    Returns:
        The sizes.
    """
    # Numbers one by one: exponentials of arrays are not the same bits on every machine.
    # Of many things more are small than large, or a large variance would need more room than there is.
    shape = [((i + 0.5) / count) ** (1 + 2 * min(count / 40, 1.0)) for i in range(count)]
    mean = sum(shape) / count
    deviation = math.sqrt(sum((x - mean) ** 2 for x in shape) / count)
    stretch = 0.5 * math.sqrt(variance) / max(deviation, 1e-9)
    logs = [stretch * (x - mean) for x in shape]
    low = math.log(_SMALLEST) - logs[0]
    high = min(math.log(_LARGEST) - logs[-1], 0.5 * math.log(_ROOM / sum(math.exp(2 * x) for x in logs)))
    center = low + scale * max(high - low, 0.0)
    return [math.exp(center + x) for x in logs]


def _depth(view: View, size: float) -> float:
    """Return the depth in meters at which a typical thing has an apparent size."""
    return view.focal * _TYPICAL / size


def draw_camera(rng: np.random.Generator, sizes: Float[np.ndarray, " N"]) -> View:
    """Draw a camera that can see things of the given apparent sizes on the ground, before clear air."""
    u = rng.random(8).tolist()
    small, middle, large = float(sizes.min()), float(np.median(sizes)), float(sizes.max())
    focal = _between(max(0.7, 1.8 * large), max(min(3.2, _FARTHEST / _TYPICAL * small), 0.7), u[0])
    # The larger the things, the lower the camera, or their feet would be below the picture. Many things need a high
    # one, or they would hide each other.
    highest = min(max(0.65 * _TYPICAL / large, 0.6), 9.0)
    lowest = min(max(0.6, 0.05 * math.sqrt(len(sizes)) * _TYPICAL / middle), highest)
    height = _between(lowest, highest, u[1])
    look = min(max(0.5 + 0.25 * math.log(height / 2.0), 0.0), 1.0)  # from straight ahead to down
    horizon = (0.3 - 0.2 * look) + (0.3 - 0.15 * look) * u[2]
    yaw = 0.5 * (u[3] - 0.5) if u[4] < 0.5 else 0.25 + 0.75 * u[3] if u[4] < 0.78 else 1.0 + 0.7 * u[3]
    # Across the street, the view ends at the other side.
    yaw = min(yaw, math.asin(min(14.0 / (focal * _TYPICAL / middle), 1.0))) * (1 if u[5] < 0.5 else -1)
    haze = 120 + 110 * u[6]
    air = colors.mix((haze, haze, haze), colors.from_range(rng, (0.0, 1.0, 0.1, 0.3, 0.5, 0.9)), 0.4)
    side = 0.68 + 0.3 * rng.random()
    light = (1.05, side) if u[7] < 0.5 else (side, 1.05)
    return View(height, focal, horizon, yaw, air, 150 + 600 * rng.random(), light)


def _between(low: float, high: float, share: float) -> float:
    """Return the number at a share of the way from ``low`` to ``high`` on a logarithmic scale."""
    return low * (high / low) ** share if high > low else low


def weather(rng: np.random.Generator, view: View, film: colors.Film, far: float) -> tuple[View, colors.Film]:
    """Draw the weather: mostly clear, else fog, dusk or rain.

    Args:
        rng: Random stream.
        view: Camera before clear air.
        film: Response of the camera in plain daylight.
        far: Depth of the smallest things, in meters, which stay visible.

    Returns:
        The camera before the air of this weather, and the response to its light.
    """
    kind, strength, tone, dense = rng.random(4).tolist()
    gray = (255 * (0.6 + 0.3 * tone),) * 3
    if kind < 0.2:  # fog: everything fades, the sky too
        return replace(view, haze=gray, clearness=max(far * (0.5 + dense), 25.0), veil=0.6 + 0.4 * strength), film
    if kind < 0.35:  # dusk: dark, blue or reddish, grainy
        light = (0.42 + 0.33 * strength) * np.array((0.75 + 0.5 * tone, 0.95, 1.25 - 0.5 * tone))
        return view, replace(film, curve=_expose(film.curve * light), grain=3)
    if kind < 0.5:  # rain: gray air, little contrast
        view = replace(view, haze=gray, clearness=max(far * (1.0 + 2 * dense), 50.0), veil=0.3 + 0.5 * strength)
        return view, replace(film, curve=_expose((0.45 + 0.3 * strength) * film.curve + 20 + 60 * tone))
    return replace(view, clearness=max(view.clearness, 2 * far)), film


def _expose(curve: Float[np.ndarray, "256 3"]) -> np.ndarray:
    return np.clip(np.rint(curve), 0, 255).astype(np.uint8)


PLANS: dict[int, Callable[[Stream], Plan]] = {1: Plan1, 2: Plan2}
"""Plan of each version of the generator."""
