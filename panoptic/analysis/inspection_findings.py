"""What the statistics of a data set say about training on it: lone categories, and things that a network cannot see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from panoptic.analysis.split_numbers import SplitNumbers
from panoptic.data.checks.near_duplicates import BITS, NEAR, NearDuplicates


@dataclass(frozen=True)
class Scale:
    """Sizes in pixels that things are compared with; strides are those of the networks in ``conf/model``.

    Attributes:
        crop: Height and width of training samples.
        heads: Pixels per cell of the heads' maps.
        finest: Pixels per cell of the finest level that the network computes.
        coarsest: Pixels per cell of the coarsest level.
    """

    crop: tuple[int, int]
    heads: int = 1
    finest: int = 4
    coarsest: int = 32

    @property
    def limits(self) -> tuple[int, int, int]:
        """Areas of 2x2 cells of the heads, of a cell of the finest level, and of one of the coarsest."""
        return 4 * self.heads**2, self.finest**2, self.coarsest**2


class ThingSizes(NamedTuple):
    """Numbers of things of a category, by size; the first three limits include each other.

    Attributes:
        name: Name of the category.
        things: Number of things, without crowds.
        below_heads: Number of those smaller than 2x2 cells of the heads: no network can outline them.
        below_finest: Number of those smaller than a cell of the finest level.
        below_coarsest: Number of those smaller than a cell of the coarsest level, which only finer levels tell apart.
        beyond_crop: Number of those higher or wider than a training sample, which training never shows whole.
    """

    name: str
    things: int
    below_heads: int
    below_finest: int
    below_coarsest: int
    beyond_crop: int


def thing_sizes(splits: Mapping[str, SplitNumbers], scale: Scale) -> list[ThingSizes]:
    """Count things of all splits by category and by size against the network, at the scale of the images.

    Args:
        splits: Statistics of each split.
        scale: Strides and crop.
    """
    counts: dict[str, np.ndarray] = {}
    for numbers in splits.values():
        if not numbers.thing_areas:
            continue
        areas, classes = np.concatenate(numbers.thing_areas), np.concatenate(numbers.thing_classes)
        extents = np.concatenate(numbers.thing_extents)
        conditions: list[np.ndarray] = [areas > 0, *(areas < limit for limit in scale.limits)]
        conditions.append(np.any(extents > np.array(scale.crop), axis=1))
        table = np.stack([np.bincount(classes[c], minlength=len(numbers.labels)) for c in conditions], axis=1)
        for name, row in zip(numbers.labels.names, table, strict=True):
            counts[name] = counts.get(name, 0) + row
    return [ThingSizes(name, *map(int, row)) for name, row in counts.items() if row[0]]


class LoneCategory(NamedTuple):
    """A category that some splits have and others lack.

    Attributes:
        name: Name of the category.
        segments: Number of its segments in each split.
        matters: Whether scores suffer: it is scored, and training has none of it.
    """

    name: str
    segments: dict[str, int]
    matters: bool

    @property
    def consequence(self) -> str:
        """What follows for training and scores."""
        lacking = " and ".join(split for split, count in self.segments.items() if not count)
        having = " and ".join(split for split, count in self.segments.items() if count)
        if self.matters:
            return f"scored in {having}, where its PQ is 0 for want of an example in train"
        if self.segments.get("train"):
            return f"learned, and not scored in {lacking}"
        return f"scored in {having} alone"


def lone_categories(splits: Mapping[str, SplitNumbers]) -> list[LoneCategory]:
    """Find the categories that occur in some of the splits with ground truth only, those that matter first.

    Args:
        splits: Statistics of each split.
    """
    known = {split: numbers for split, numbers in splits.items() if numbers.with_truth}
    names = dict.fromkeys(name for numbers in known.values() for name in numbers.labels.names)
    found = []
    for name in names:
        segments = {split: _segments(numbers, name) for split, numbers in known.items()}
        if any(segments.values()) and not all(segments.values()):
            found.append(LoneCategory(name, segments, segments.get("train") == 0))
    return sorted(found, key=lambda category: not category.matters)


def findings_json(
    splits: Mapping[str, SplitNumbers], scale: Scale, found: NearDuplicates, files: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return the findings as plain containers, for JSON.

    Args:
        splits: Statistics of each split.
        scale: Strides and crop.
        found: Near-duplicates.
        files: Image files of each split, by index.
    """
    return {
        "near_duplicates": {
            "bits": BITS,
            "most_bits_that_differ": NEAR,
            "counts": [alike._asdict() for alike in found.counts],
            "closest": [
                {
                    "split": pair.split,
                    "file": files[pair.split][pair.index],
                    "like": pair.like,
                    "other": files[pair.like][pair.other],
                    "bits_that_differ": pair.distance,
                }
                for pair in found.closest
            ],
        },
        "lone_categories": [category._asdict() for category in lone_categories(splits)],
        "thing_sizes": {
            "assumed": asdict(scale),
            "per_class": {sizes.name: sizes._asdict() for sizes in thing_sizes(splits, scale)},
        },
    }


def _segments(numbers: SplitNumbers, name: str) -> int:
    names: Sequence[str] = numbers.labels.names
    return int(numbers.segments[names.index(name)]) if name in names else 0
