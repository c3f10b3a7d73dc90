"""Inspection of data sets: faults and statistics of all splits, and thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from panoptic.analysis.split_numbers import ImageNumbers, SplitNumbers, examine_split, take_pictures
from panoptic.codec import Codec
from panoptic.data.bands import REMARKS
from panoptic.data.checks.faults import Examiner, Fault
from panoptic.data.checks.near_duplicates import BITS, NEAR, NearDuplicates, find_near_duplicates
from panoptic.data.coco.json import some
from panoptic.data.datamodule import DataModule
from panoptic.data.statistics import only_category_note
from panoptic.errors import InputError

FAULTY_PICTURES = 6
"""Maximum number of pictures of images with a kind of fault."""


class SameContents:
    """Detector of image files with the same contents, within a split and across splits."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str]] = {}

    def fault(self, split: str, image: ImageNumbers) -> Fault | None:
        """Return a fault if an earlier image, in another file, has the same contents.

        Args:
            split: Split of the image.
            image: Results of the image.
        """
        if image.digest is None:
            return None
        first_split, first = self._first.setdefault(image.digest, (split, image.file))
        if first == image.file:
            return None
        return Fault("doubled", image.file, f"has the same contents as {first} of {first_split}")


@dataclass
class Inspection:
    """Results of an inspection.

    Attributes:
        faults: Faults, each with the split it is in.
        notes: Remarks that are not faults.
        numbers: Statistics of each split that can be read.
        thumbnails: Captions and pictures for the contact sheet.
        files: Image files of each split in ``numbers``, by index.
        near_duplicates: Images that look like others.
        faulty: Split and index of the image of each fault that has one.
        pictures: Small pictures of near-duplicates and of some faulty images, by split and index.
    """

    faults: list[tuple[str, Fault]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, SplitNumbers] = field(default_factory=dict)
    thumbnails: list[tuple[str, np.ndarray]] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)
    near_duplicates: NearDuplicates = field(default_factory=NearDuplicates)
    faulty: dict[Fault, tuple[str, int]] = field(default_factory=dict)
    pictures: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)


def inspect_data(
    data: DataModule,
    splits: Mapping[str, Sequence[str]],
    required: Sequence[str],
    sheet: int,
    workers: int | None = None,
    progress: Callable[[Iterable[ImageNumbers], str, int], Iterable[ImageNumbers]] = lambda items, *_: items,
) -> Inspection:
    """Examine every image of the splits of a data set.

    Args:
        data: Data module of the data set.
        splits: Splits to read, each with all splits that share its files, itself included.
        required: Splits that must exist.
        sheet: Approximate number of thumbnails.
        workers: Number of processes; by default one per processor.
        progress: Wrapper of an iterable that displays progress, called with the iterable, a description and the number
            of images.
    """
    inspection = Inspection()
    inspection.notes += [f"the same files serve {', '.join(served)}" for served in splits.values() if len(served) > 1]
    served = {name for names in splits.values() for name in names}
    inspection.faults += [(split, _absent(data, split)) for split in required if split not in served]
    contents = SameContents()
    hashes: dict[str, dict[int, np.ndarray]] = {}
    examiners: dict[str, Examiner] = {}
    for split in splits:
        try:
            examiner = examiners[split] = data.examiner(split)
        except InputError as error:
            inspection.faults.append((split, _unreadable(error)))
            continue
        inspection.notes += examiner.notes
        inspection.faults += [(split, fault) for fault in examiner.faults]
        numbers = inspection.numbers[split] = SplitNumbers(examiner.labels)
        files = inspection.files[split] = []
        hashes[split] = {}
        remarked: dict[str, list[str]] = {}
        shown = evenly(len(examiner), -(-sheet // len(splits)))
        with closing(examine_split(examiner, shown, workers)) as examined:
            for index, image in enumerate(progress(examined, f"inspecting {split}, images", len(examiner))):
                numbers.add(image)
                files.append(image.file)
                if image.perceptual is not None:
                    hashes[split][index] = image.perceptual
                for remark in image.remarks:
                    remarked.setdefault(remark, []).append(image.file)
                duplicate = contents.fault(split, image)
                faults = [*image.faults, *([duplicate] if duplicate else [])]
                inspection.faults += [(split, fault) for fault in faults]
                inspection.faulty |= dict.fromkeys(faults, (split, index))
                if image.thumbnail is not None:
                    inspection.thumbnails.append((f"{split}: {Path(image.file).name}", image.thumbnail))
        inspection.notes += _notes(split, numbers, remarked)
    inspection.faults += _differing_categories(inspection.numbers, str(getattr(data, "root", None) or ""))
    inspection.near_duplicates = find_near_duplicates(hashes)
    inspection.notes += _near_duplicates_note(inspection.near_duplicates)
    for split, indices in _pictured(inspection).items():
        pictures = take_pictures(examiners[split], indices, workers)
        inspection.pictures |= {(split, index): picture for index, picture in pictures.items()}
    return inspection


def _notes(split: str, numbers: SplitNumbers, remarked: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what to know about a split, and the images with each remark, that is no fault."""
    notes = [
        f"{split}: {len(files)} images {REMARKS[remark]}: {some([Path(file).name for file in files])}"
        for remark, files in remarked.items()
    ]
    notes += _background_notes(split, numbers)
    split_stuff = [name for name, count in zip(numbers.labels.names, numbers.split_stuff, strict=True) if count]
    if split_stuff:
        notes.append(
            f"{split}: stuff with several segments in one image, which are one in a prediction: "
            f"{some(split_stuff)}; if they are things, their categories lack isthing=1, as some tools write them"
        )
    most = max(map(len, numbers.thing_areas), default=0)
    if most > Codec.max_things:
        notes.append(
            f"{split}: an image holds {most} things, more than the {Codec.max_things} that an image can have by "
            f"default; train with codec.max_things={2 * most}"
        )
    return notes


def _near_duplicates_note(found: NearDuplicates) -> list[str]:
    """Return a note about images that look alike, if there are any."""
    if not found.counts:
        return []
    parts = [
        f"{images} images of {split} look like others of it ({pairs} pairs)"
        if split == like
        else f"{images} images of {split} look like images of {like}, a leak: scores of {split} will be too high"
        for split, like, images, pairs in found.counts
    ]
    return [f"near-duplicates (hashes that differ in at most {NEAR} of {BITS} bits): {'; '.join(parts)}"]


def _pictured(inspection: Inspection) -> dict[str, list[int]]:
    """Return the indices of the images that get a picture, by split: near-duplicates, and some with each fault."""
    wanted = {(pair.split, pair.index) for pair in inspection.near_duplicates.closest}
    wanted |= {(pair.like, pair.other) for pair in inspection.near_duplicates.closest}
    of_kind: dict[str, set[tuple[str, int]]] = {}
    for fault, image in inspection.faulty.items():
        images = of_kind.setdefault(fault.kind, set())
        if len(images) < FAULTY_PICTURES:
            images.add(image)
    by_split: dict[str, list[int]] = {}
    for split, index in sorted(wanted.union(*of_kind.values())):
        by_split.setdefault(split, []).append(index)
    return by_split


def _background_notes(split: str, numbers: SplitNumbers) -> list[str]:
    """Return what to know about a split in which everything known is of one category."""
    occurring = [name for name, count in zip(numbers.labels.names, numbers.segments, strict=True) if count]
    if len(occurring) != 1 or not numbers.pixels[-1]:
        return []
    return [f"{split}: {only_category_note(occurring[0])}"]


def _absent(data: DataModule, split: str) -> Fault:
    """Return a split's absence as a fault that names the files looked for."""
    try:
        data.source(split)
    except InputError as error:
        return Fault("missing", *str(error).split(": ", 1))
    return Fault("missing", split, "the split cannot be found")


def _unreadable(error: InputError) -> Fault:
    """Return the error of a split that cannot be examined as a fault of its file."""
    file, what = str(error).split(": ", 1)
    kind = "malformed" if what.startswith("categories") else "unreadable" if Path(file).exists() else "missing"
    return Fault(kind, file, what)


def _differing_categories(splits: Mapping[str, SplitNumbers], root: str) -> list[tuple[str, Fault]]:
    """Compare the categories of all splits with those of the first."""
    faults = []
    for split, numbers in splits.items():
        first, expected = next((name, s.labels) for name, s in splits.items())
        if not numbers.labels.has_categories_of(expected):
            what = f"expected the categories of {first}, {expected.difference(numbers.labels)}"
            faults.append((split, Fault("category", root or split, what)))
    return faults


def evenly(count: int, most: int) -> list[int]:
    """Return evenly spaced indices.

    Args:
        count: Number of items to choose from.
        most: Maximum number of indices.

    Returns:
        Distinct indices in 0..``count - 1``, in ascending order.
    """
    return [*dict.fromkeys(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())] if count else []
