"""Writing of a listing as a data set in COCO panoptic format."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from panoptic.data.coco.json import some
from panoptic.data.coco.writer import CocoPanopticWriter
from panoptic.data.convert.records import Listing, Record, Truth, divide
from panoptic.data.images import output_names, read_image
from panoptic.data.sample import SPLITS
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.processes import in_processes

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


def in_splits(records: Sequence[Record], shares: Sequence[float] | None, seed: int) -> dict[str, list[Record]]:
    """Return the records of each split: those the data set has, or drawn ones.

    Args:
        records: Records of a data set.
        shares: Shares of drawn splits; ``None`` for the default. If given, splits are also drawn where there is one
            only, or where some images have none.
        seed: Seed of drawn splits.

    Raises:
        InputError: If the shares are of no use, records share a name, or some have no split.
    """
    twice = [name for name, count in Counter((r.split, r.name) for r in records).items() if count > 1]
    if twice:
        raise InputError(f"input: expected each image once, got {twice[0][1]!r} twice")
    own = {record.split for record in records}
    if None in own and len(own) > 1 and shares is None:
        without = [record.name for record in records if record.split is None]
        raise InputError(
            f"input: expected a split of each image or of none, got none for {some(without)}; "
            "split=[0.8,0.2] draws all anew"
        )
    if None in own or (shares is not None and len(own) == 1):
        split_of = divide([record.name for record in records], shares or DEFAULT_SHARES, seed)
        records = [replace(record, split=split_of[record.name]) for record in records]
    splits = {split: [record for record in records if record.split == split] for split in SPLITS}
    return {split: found for split, found in splits.items() if found}


DEFAULT_SHARES = (0.8, 0.2)
"""Shares of train and val where a data set has no splits."""


@dataclass(frozen=True)
class _Task:
    """What a process needs to write the images of a split."""

    records: list[Record]
    names: list[str]
    folder: Path
    writer: CocoPanopticWriter
    background: int | None
    crowd: bool


def write(
    folder: Path,
    listing: Listing,
    splits: dict[str, list[Record]],
    labels: LabelSpace,
    background: str | None,
    workers: int | None,
    progress: Progress,
    crowd: bool = True,
) -> Counter[str]:
    """Write the splits of a data set, and return what was counted.

    Args:
        folder: Output folder.
        listing: Data set.
        splits: Records of each split.
        labels: Label space to write, with the classes of the listing and, perhaps, the background after them.
        background: Name of the category of unlabeled pixels; ``None`` leaves them void.
        workers: Number of processes; see :func:`panoptic.utils.processes.in_processes`.
        progress: Wrapper of an iterable that displays progress.
        crowd: Whether crowds stay so; otherwise each is a single object.

    Returns:
        Numbers by key of :data:`panoptic.data.convert.records.COUNTS`.

    Raises:
        InputError: If a record cannot be read, or a split has no image with a label.
    """
    counts: Counter[str] = Counter()
    for split, records in splits.items():
        images = folder / split
        images.mkdir(parents=True)
        names = output_names([record.image for record in records])
        with CocoPanopticWriter(folder, labels, name=f"panoptic_{split}") as writer:
            class_of_rest = None if background is None else labels.names.index(background)
            task = _Task(records, names, images, writer, class_of_rest, crowd)
            written = 0
            with closing(in_processes(_write, task, len(records), workers)) as results:
                for record, name, (entry, counted) in zip(
                    records, names, progress(results, f"converting {split}, images", len(records)), strict=True
                ):
                    counts += counted
                    if entry is not None:
                        written += 1
                        writer.note(name, entry, file_name=_file_name(record, name))
        if not written:
            raise InputError(f"input: expected objects in the images of split {split!r}, got none in any")
    return counts


def _file_name(record: Record, name: str) -> str:
    return name + record.image.suffix


def _write(task: _Task, index: int) -> tuple[dict[str, Any] | None, Counter[str]]:
    """Write one image and its segments; nothing where nothing is labeled."""
    record, name = task.records[index], task.names[index]
    truth = record.load(read_image(record.image).shape[:2])
    if not task.crowd:
        truth = replace(truth, crowd=[False] * len(truth.crowd))
    segments = to_segments(truth, task.writer.labels, task.background)
    if not segments.ids.any():
        return None, truth.counts + Counter(unlabeled=1)
    place(record.image, task.folder / _file_name(record, name))
    return task.writer.write_png(name, segments), truth.counts


def to_segments(truth: Truth, labels: LabelSpace, background: int | None) -> Segments:
    """Return the segments of a truth: one for each thing, and one for each class of stuff.

    Args:
        truth: Truth of an image.
        labels: Label space of its classes.
        background: Class of unlabeled pixels; ``None`` leaves them void.
    """
    classes, crowd = list(truth.classes), list(truth.crowd)
    row = np.arange(len(classes) + 1, dtype=np.int32)
    if background is not None:
        classes.append(background)
        crowd.append(False)
        row[0] = len(classes)
        row = np.append(row, row[0])
    first: dict[int, int] = {}
    for i, c in enumerate(classes):
        if not labels.is_thing[c]:
            crowd[i] = False
            row[row == i + 1] = first.setdefault(c, i + 1)
    ids = row.astype(np.int32)[truth.ids]
    return Segments(
        torch.from_numpy(ids), torch.tensor(classes, dtype=torch.int64), torch.tensor(crowd, dtype=torch.bool)
    ).compact()


def place(source: Path, target: Path) -> None:
    """Make a file appear in another place: as a hard link where possible, else as a copy."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another file system, or one without links
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise InputError(f"{target}: expected to copy {source} to it, got: {error.strerror}") from error
