"""Pictures of the page, from results: segments by filter and strength, differences, maps of fusion weights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from panoptic.inference.export.agreement import agreement
from panoptic.results import Result
from panoptic.visualization.overlay import LEVEL_COLORS
from panoptic.visualization.painting import color_table, paint

LONGEST = 1600
"""Number of pixels of the longer side of a picture; larger images are shown smaller."""

MARK = np.array([255, 0, 220], dtype=np.uint8)
"""Color of pixels that differ, which no label space in use has."""

STRIPE = 3
"""Width of the diagonal stripes of marked pixels, and of what is seen between them."""


@dataclass(frozen=True)
class Filter:
    """Which segments are shown.

    Attributes:
        categories: Names of the categories that are; ``None`` shows all.
        lowest: Lowest score that is.
    """

    categories: Collection[str] | None = None
    lowest: float = 0.0

    def apply(self, result: Result) -> Result:
        """Return a result without the segments that are not shown, whose pixels become void."""
        kept = [
            segment
            for segment in result.segments
            if segment.score >= self.lowest and (self.categories is None or segment.category in self.categories)
        ]
        table = np.zeros(_rows(result) + 1, dtype=np.int32)
        for segment in kept:
            table[segment.id] = segment.id
        return replace(result, ids=table[result.ids], segments=tuple(kept))


def fitting(result: Result, longest: int = LONGEST) -> Result:
    """Return a result whose map and image are no larger than a picture; its segments stay as they are.

    Args:
        result: Result with its image.
        longest: Number of pixels of the longer side.
    """
    if max(result.size) <= longest:
        return result
    size = fitting_size(result.size, longest)
    assert result.image is not None  # a prediction has it
    image = np.asarray(Image.fromarray(result.image).resize(size[::-1], Image.Resampling.BOX))
    return replace(result, ids=nearest(result.ids, size), image=image)


def fitting_size(size: tuple[int, int], longest: int = LONGEST) -> tuple[int, int]:
    """Return the height and width of a picture of an image.

    Args:
        size: Height and width of the image.
        longest: Number of pixels of the longer side.
    """
    factor = min(1.0, longest / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map by taking the value nearest to the center of each pixel.

    Args:
        values: Map ``[H W]``.
        size: Height and width of the result.
    """
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(size, values.shape, strict=True))
    return values[rows[:, None], columns]


def picture(
    result: Result,
    strength: float,
    shown: Filter = Filter(),
    mark: np.ndarray | None = None,
) -> np.ndarray:
    """Draw the segments that are shown on the image, each in its color whatever else is shown, uint8 ``[H W 3]``.

    Args:
        result: Result with its image.
        strength: Weight of the colors in 0..1; 0 draws contours only.
        shown: Which segments are shown.
        mark: Pixels to be marked, bool ``[H W]``; they are striped.
    """
    assert result.image is not None  # a prediction has it
    classes = np.full(_rows(result), -1)
    for segment in result.segments:
        classes[segment.id - 1] = segment.class_index
    drawn = paint(result.image, shown.apply(result).ids, color_table(classes, result.labels), strength)
    if mark is None:
        return drawn
    diagonal = np.add.outer(np.arange(mark.shape[0]), np.arange(mark.shape[1]))
    striped = mark & (diagonal % (2 * STRIPE) < STRIPE)
    return np.where(striped[..., None], MARK, drawn)


@dataclass(frozen=True, eq=False)
class Difference:
    """Pixels in which two results for an image differ.

    Attributes:
        classes: Where the class differs, or one alone is void, bool ``[H W]``.
        instances: Where the class is the same and the instance is not, bool ``[H W]``.
    """

    classes: np.ndarray
    instances: np.ndarray

    @property
    def either(self) -> np.ndarray:
        """Where class or instance differ, bool ``[H W]``."""
        return self.classes | self.instances


def difference(one: Result, other: Result) -> Difference:
    """Compare two results for one image; their label spaces are the same.

    Two segments are the same instance if they are of one class and each is the one that covers most of the other.
    """
    classes = one.semantic() != other.semantic()
    same = agreement(one.ids, _classes(one), other.ids, _classes(other))
    return Difference(classes, ~same & ~classes)


def alpha_maps(alpha: np.ndarray, size: tuple[int, int]) -> list[np.ndarray]:
    """Draw local fusion weights, a picture a level, from black for 0 to the color of the level for 1.

    Args:
        alpha: Fusion weights, fine to coarse ``[L h w]``.
        size: Height and width of a picture.

    Returns:
        RGB pictures, uint8 ``[H W 3]`` each.
    """
    pictures = []
    for level, weights in enumerate(alpha):
        resized = Image.fromarray(weights.astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR)
        colored = np.asarray(resized)[..., None] * LEVEL_COLORS[level % len(LEVEL_COLORS)]
        pictures.append(colored.round().clip(0, 255).astype(np.uint8))
    return pictures


def _rows(result: Result) -> int:
    return max((segment.id for segment in result.segments), default=0)


def _classes(result: Result) -> np.ndarray:
    """Return the class of each id from 1, -1 for ids without a segment."""
    classes = np.full(max(_rows(result), int(result.ids.max(initial=0))), -1)
    for segment in result.segments:
        classes[segment.id - 1] = segment.class_index
    return classes
