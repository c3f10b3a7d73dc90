"""What a data set gives: one image with its segments, read by its index."""

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
"""Of every data set."""


@dataclass(frozen=True)
class Sample:
    """One image of a data set.

    Attributes:
        image: plain RGB in 0..255.
        segments: its truth, of the same height and width; ``None`` where the data set withholds it.
        name: unique within its split, without folder or suffix where that is enough; output files are named after it.
    """

    image: UInt8[np.ndarray, "H W 3"]
    segments: Segments | None
    name: str


class Origin(NamedTuple):
    """What a sample is made of.

    Attributes:
        name: of the sample.
        files: the image, and its truth where that is not withheld.
        table: what a JSON file says of it.
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
        """The ids of the images in COCO panoptic format, the data set's own where it has that format."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """The image at ``index``: the same at every call with the same arguments.

        ``strength`` in 0..1 is the position in the curriculum: sources that can make easier images do so below 1.
        """
        ...
