"""What training settings are chosen by: sizes of images and things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from panoptic.complexity import things_of
from panoptic.data.sample import Source


@dataclass(frozen=True)
class DataStatistics:
    """What the recipe goes by, of the training split.

    Attributes:
        images: Number of images.
        sizes: Height and width of the images, of those where they are known.
        thing_sides: Square root of the area of each thing, in pixels.
    """

    images: int
    sizes: Sequence[tuple[int, int]]
    thing_sides: np.ndarray = field(default_factory=lambda: np.zeros(0))


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
    return DataStatistics(len(source), sizes, np.concatenate(sides))
