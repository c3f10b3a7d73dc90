"""The interface of data sets: samples read by index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from panoptic.labels import LabelSpace
from panoptic.segments import Segments

SPLITS = ("train", "val", "test")
"""Names of the splits of a data set."""


class Unreadable(NamedTuple):
    """An image of a split that cannot be read, or whose ground truth cannot.

    Attributes:
        index: Index of the image.
        reason: Why, beginning with the file.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which is not needed
    reason: str


@dataclass(frozen=True)
class Sample:
    """One image of a data set with its ground truth.

    Attributes:
        image: Image in 0..255: red, green and blue, or as many bands as the data set has.
        segments: Ground truth of the same height and width; ``None`` where the data set withholds it.
        name: Name, unique within the split; without folder or suffix unless they are needed to tell images apart.
            Output files are named after it.
        replaces: Images that cannot be read, in whose place it is.
    """

    image: UInt8[np.ndarray, "H W bands"]
    segments: Segments | None
    name: str
    replaces: tuple[Unreadable, ...] = ()


class Origin(NamedTuple):
    """Everything that the content of a sample depends on.

    Attributes:
        name: Name of the sample.
        files: Image file, followed by the annotation file where the ground truth is not withheld.
        table: Serialized entries of a JSON file for this image; empty if there are none.
    """

    name: str
    files: list[Path]
    table: bytes = b""


@runtime_checkable
class Source(Protocol):
    """One split of a data set."""

    labels: LabelSpace

    @property
    def image_ids(self) -> Sequence[int | str]:
        """Image ids for COCO panoptic files; the data set's own ids where it has that format."""
        ...

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """Read one sample; equal arguments give equal samples.

        Args:
            index: Index of the image.
            strength: Position in the curriculum, in 0..1. Sources that can make easier images do so below 1.
        """
        ...
