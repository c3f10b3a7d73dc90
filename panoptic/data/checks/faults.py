"""What can be wrong with a data set: faults with the names of their files, found without stopping at the first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from panoptic.data.sample import Source
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments

KINDS = {
    "missing": "a file, or the entry of a file, that another one speaks of is not there",
    "doubled": "two entries, or two files, for one thing",
    "unreadable": "a file cannot be read as what it should be",
    "malformed": "a JSON file, or an entry of it, is not of its format",
    "size": "height and width differ between an image, its truth, and what a JSON file says of them",
    "ids": "a PNG file has segment ids that its JSON file lacks, or the reverse; or numbers without a meaning",
    "category": "a segment is of a category that is not listed",
    "empty": "an image has no segment at all",
}
"""Every kind of fault, and what it means."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: a key of :data:`KINDS`.
        file: that is at fault.
        what: is wrong with it.
    """

    kind: str
    file: str
    what: str

    def __post_init__(self) -> None:
        for part in ("file", "what"):  # names of files may hold what no text file can
            text = str(getattr(self, part)).encode("utf-8", "backslashreplace").decode()
            object.__setattr__(self, part, text)

    @classmethod
    def of(cls, kind: str, file: str | Path, error: InputError) -> Fault:
        """A fault that a reader told, without the file's name, which its sentence begins with."""
        return cls(kind, str(file), str(error).removeprefix(f"{file}: "))


@dataclass
class Examined:
    """One image with what is wrong with it.

    Attributes:
        file: of the image.
        faults: of the image and its truth.
        image: ``None`` if it cannot be read.
        segments: ``None`` if they cannot be read, or are withheld.
    """

    file: Path
    faults: list[Fault] = field(default_factory=list)
    image: UInt8[np.ndarray, "H W 3"] | None = None
    segments: Segments | None = None

    def add(self, kind: str, file: str | Path, what: str) -> None:
        """Notes a fault."""
        self.faults.append(Fault(kind, str(file), what))


class SourceExaminer:
    """A split whose source can have no faults, for its numbers.

    Args:
        source: to read.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.labels = source.labels
        self.faults: list[Fault] = []
        self.notes: list[str] = []

    def __len__(self) -> int:
        return len(self.source)

    def examine(self, index: int) -> Examined:
        """Reads an image."""
        sample = self.source.read(index)
        return Examined(Path(sample.name), [], sample.image, sample.segments)


@runtime_checkable
class Examiner(Protocol):
    """One split of a data set, to be looked at image by image.

    Attributes:
        labels: its label space.
        faults: what is known to be wrong before any image is opened.
        notes: what is worth knowing, and no fault.
    """

    labels: LabelSpace
    faults: list[Fault]
    notes: list[str]

    def __len__(self) -> int:
        """Number of images."""
        ...

    def examine(self, index: int) -> Examined:
        """Reads an image and its truth as far as that can be done."""
        ...
