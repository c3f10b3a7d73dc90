"""What every format is read as: a listing of records, one an image, each of which can load its truth."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from panoptic.data.coco.json import some
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace, default_color

COUNTS = {
    "clipped": "objects clipped at the edge of their image",
    "overlapped": "pixels that more than one object covered, given to the smaller",
    "hidden": "objects dropped, since others cover all of them",
    "tiny": "objects dropped, since they cover no pixel",
    "shapeless": "points and lines dropped, which have no inside",
    "unlabeled": "images dropped, since nothing in them is labeled",
}
"""What a conversion counts, and what it means."""


@dataclass
class Truth:
    """Segments of one image.

    Attributes:
        ids: Segment of each pixel: ``i`` is row ``i - 1`` of the table, 0 is unlabeled.
        classes: Class of each segment.
        crowd: Whether each segment is a crowd.
        counts: Numbers by key of :data:`COUNTS`.
    """

    ids: Int32[np.ndarray, "H W"]
    classes: list[int]
    crowd: list[bool]
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Record:
    """One image of a data set.

    Attributes:
        image: File of the image.
        name: Name in the data set, unique within it; splits are drawn by it.
        split: ``train``, ``val`` or ``test``; ``None`` if the data set has no splits.
        load: Function from the height and width of the upright image to its truth. It may run in another process.
    """

    image: Path
    name: str
    split: str | None
    load: Callable[[tuple[int, int]], Truth]


@dataclass(frozen=True)
class Listing:
    """Content of a data set.

    Attributes:
        records: Images.
        labels: Categories, whose order gives the classes of the truths.
        notes: Remarks for the user.
    """

    records: list[Record]
    labels: LabelSpace
    notes: tuple[str, ...] = ()


def label_space(names: Sequence[str], where: str, ids: Sequence[int] | None = None) -> LabelSpace:
    """Return a label space of things.

    Args:
        names: Names of the categories, in order.
        where: What the names come from, for the error message.
        ids: Ids of the categories; from 1 on by default.

    Raises:
        InputError: If there are none or too many, or a name is no text that can be printed or comes twice.
    """
    numbers = range(1, len(names) + 1) if ids is None else ids
    categories = [{"id": i, "name": name, "isthing": 1} for i, name in zip(numbers, names, strict=True)]
    try:
        return LabelSpace.from_dicts(categories)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def with_stuff(labels: LabelSpace, stuff: Sequence[str], background: str | None) -> LabelSpace:
    """Return the label space with some categories as stuff, and with a category for unlabeled pixels.

    Args:
        labels: Label space of a data set.
        stuff: Names of the categories that are stuff.
        background: Name of the category of unlabeled pixels. It is appended if there is none of this name.

    Raises:
        InputError: If a name of ``stuff`` is unknown, or there would be too many categories.
    """
    if background == "":
        raise InputError("background: expected the name of a category, got none")
    unknown = [name for name in stuff if name not in labels.names]
    if unknown:
        raise InputError(f"stuff: expected names of categories ({some(labels.names)}), got {unknown[0]!r}")
    amorphous = {*stuff, background}
    categories = [replace(c, isthing=c.isthing and c.name not in amorphous) for c in labels.categories]
    if background is not None and background not in labels.names:
        number = max(c.id for c in categories) + 1
        categories.append(Category(background, number, False, default_color(len(categories))))
    try:
        return LabelSpace(tuple(categories))
    except ValueError as error:
        raise InputError(f"background={background}: {error}") from error


SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Splits by the names that data sets give them."""


def split_in(name: Path) -> str | None:
    """Return the split that a relative path is in, if its first folder is named after one."""
    return SPLIT_NAMES.get(name.parts[0]) if len(name.parts) > 1 else None


def divide(names: Sequence[str], shares: Sequence[float], seed: int) -> dict[str, str]:
    """Assign names to ``train``, ``val`` and ``test``, independent of their order.

    Args:
        names: Distinct names.
        shares: Share of each split, two or three, that sum to 1.
        seed: Seed of the assignment.

    Raises:
        InputError: If the shares are of no use, or there are fewer names than splits.
    """
    splits = ("train", "val", "test")[: len(shares)]
    if not 2 <= len(shares) <= 3 or not min(shares) > 0 or not abs(sum(shares) - 1) <= 1e-6:
        raise InputError(f"split: expected two or three positive shares that sum to 1, got {list(shares)}")
    if len(names) < len(splits):
        raise InputError(f"split: expected at least {len(splits)} images for {', '.join(splits)}, got {len(names)}")
    ordered = sorted(
        names, key=lambda name: hashlib.blake2b(f"{seed}/{name}".encode("utf-8", "surrogatepass")).digest()
    )
    ends = np.round(np.cumsum(shares) * len(names)).astype(int)
    first, last = 1, len(names) - len(splits) + 1  # every split gets an image
    starts = [0, *(int(np.clip(end, first + i, last + i)) for i, end in enumerate(ends[:-1])), len(names)]
    return {name: split for i, split in enumerate(splits) for name in ordered[starts[i] : starts[i + 1]]}
