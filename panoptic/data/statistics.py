"""What training settings are chosen by, sizes of images and things, and what to know before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from panoptic.complexity import things_of
from panoptic.data.sample import Source
from panoptic.errors import InputError


@dataclass(frozen=True)
class DataStatistics:
    """What the recipe goes by, of the training split.

    Attributes:
        images: Number of images.
        sizes: Height and width of the images, of those where they are known.
        thing_sides: Square root of the area of each thing, in pixels.
        most_things: Largest number of things in an image, of the images that were read.
        used_ranges: Share of the range of their numbers that images use, of some of them, ``None`` for numbers without
            a range; see :meth:`panoptic.data.bands.Reading.used_range`.
        categories: Number of categories of the data set; 0 if unknown.
    """

    images: int
    sizes: Sequence[tuple[int, int]]
    thing_sides: np.ndarray = field(default_factory=lambda: np.zeros(0))
    most_things: int = 0
    used_ranges: Sequence[float | None] = ()
    categories: int = 0


def statistics_of(source: Source, samples: int = 8) -> DataStatistics:
    """Return the statistics of a split from a few of its samples.

    Args:
        source: Training split.
        samples: Number of samples to read.
    """
    sizes, sides = [], [np.zeros(0)]
    for index in np.linspace(0, len(source) - 1, min(len(source), samples)).astype(int):
        sample = source.read(int(index))
        sizes.append((int(sample.image.shape[0]), int(sample.image.shape[1])))
        if sample.segments is not None:
            areas = sample.segments.areas()
            sides.append(areas[things_of(sample.segments, source.labels.is_thing, areas)].numpy() ** 0.5)
    most, categories = max(map(len, sides)), source.labels.num_classes
    return DataStatistics(len(source), sizes, np.concatenate(sides), most, categories=categories)


def only_category(source: Source, samples: int = 8) -> str | None:
    """Return the name of the only category in some samples of a split that have void as well, or ``None``.

    Args:
        source: Split.
        samples: Maximum number of samples to read, up to the first of two categories.
    """
    found: set[int] = set()
    has_void = False
    for index in np.linspace(0, len(source) - 1, min(len(source), samples)).astype(int):
        try:
            segments = source.read(int(index)).segments
        except InputError:  # left to training, which may pass over it
            continue
        if segments is None:
            continue
        found |= set(segments.classes.tolist())
        has_void = has_void or bool((segments.ids == 0).any())
        if len(found) > 1:
            return None
    return source.labels.names[found.pop()] if found and has_void else None


def only_category_note(name: str) -> str:
    """Return what a network learns from images in which all that is not void is of one category."""
    return (
        f"{name} is the only category, and the rest is void, of which nothing is learned: a network trained on it "
        f"takes every pixel for {name}; give the background a category of stuff"
    )
