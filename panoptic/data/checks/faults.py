"""Faults of data sets, and the interface of the examiners that find them.

A reader raises an error at the first fault; an examiner collects all of them.
"""

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
"""Kinds of faults and their meanings."""


@dataclass(frozen=True)
class Fault:
    """One fault of a data set.

    Attributes:
        kind: Key of :data:`KINDS`.
        file: File with the fault.
        what: Description of the fault.
    """

    kind: str
    file: str
    what: str

    def __post_init__(self) -> None:
        for part in ("file", "what"):  # file names may contain surrogates, which UTF-8 cannot encode
            text = str(getattr(self, part)).encode("utf-8", "backslashreplace").decode()
            object.__setattr__(self, part, text)

    @classmethod
    def of(cls, kind: str, file: str | Path, error: InputError) -> Fault:
        """Create a fault from the error of a reader, without the file name that its message starts with.

        Args:
            kind: Key of :data:`KINDS`.
            file: File with the fault.
            error: Error of the reader.
        """
        return cls(kind, str(file), str(error).removeprefix(f"{file}: "))


@dataclass
class Examined:
    """One image with its ground truth and faults.

    Attributes:
        file: File of the image.
        faults: Faults of the image and its ground truth.
        image: Image in 0..255; ``None`` if it cannot be read.
        segments: Ground truth; ``None`` if it cannot be read or is withheld.
        remarks: Keys of :data:`panoptic.data.bands.REMARKS`.
    """

    file: Path
    faults: list[Fault] = field(default_factory=list)
    image: UInt8[np.ndarray, "H W bands"] | None = None
    segments: Segments | None = None
    remarks: list[str] = field(default_factory=list)

    def add(self, kind: str, file: str | Path, what: str) -> None:
        """Add a fault.

        Args:
            kind: Key of :data:`KINDS`.
            file: File with the fault.
            what: Description of the fault.
        """
        self.faults.append(Fault(kind, str(file), what))


class SourceExaminer:
    """Examiner of a source that cannot have faults; its images only contribute to the statistics.

    Args:
        source: Source to read.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.labels = source.labels
        self.faults: list[Fault] = []
        self.notes: list[str] = []

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.source)

    def examine(self, index: int) -> Examined:
        """Read an image and its ground truth."""
        sample = self.source.read(index)
        return Examined(Path(sample.name), [], sample.image, sample.segments)


@runtime_checkable
class Examiner(Protocol):
    """One split of a data set, examined image by image.

    Attributes:
        labels: Label space.
        faults: Faults known before any image is read.
        notes: Remarks that are not faults.
    """

    labels: LabelSpace
    faults: list[Fault]
    notes: list[str]

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def examine(self, index: int) -> Examined:
        """Read an image and its ground truth as far as possible, and collect their faults."""
        ...
