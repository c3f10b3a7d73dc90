"""The COCO panoptic format, read (Kirillov et al. 2019, https://cocodataset.org/#format-data).

A JSON file lists ``images``, ``annotations`` and ``categories``; beside it, a folder of its name holds a PNG for each
annotation, in which a pixel's segment id is ``R + 256 G + 65536 B`` and 0 is void.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32, Int64, UInt32

from panoptic.data.coco.json import (
    ImageList,
    SegmentTable,
    demand_folder,
    find_image_dir,
    find_json,
    labels_of_any_split,
    load,
    read_labels,
    some,
)
from panoptic.data.images import find_images, output_names, read_image, read_words
from panoptic.data.sample import Origin, Sample
from panoptic.errors import InputError
from panoptic.segments import Segments


class CocoPanopticSource:
    """One split of a data set in COCO panoptic format.

    Below ``root``, the JSON file of a split is ``annotations/panoptic_<split>2017.json`` as COCO has it, or without
    the year, or directly in the root, or ``<split>/panoptic.json``, or ``panoptic.json`` for all splits where none has
    its own. The PNG folder is the JSON file's path without suffix. The images are in a folder named like the split
    (``val2017`` for ``panoptic_val2017.json``), there or in ``images``, or in ``images`` itself. Each can be given
    instead; relative paths count from the root where there is one.

    The truth of ``test`` may be withheld: segments are ``None`` if its JSON file lists images but no annotations, or
    if there are images but no JSON file; the label space then is that of ``val`` or ``train``.

    Only the JSON file is read at construction. A crowd of a stuff category reads as plain stuff.

    Args:
        split: ``train``, ``val`` or ``test``, or whatever the files call it.
        root: the folder of the data set.
        image_dir: the folder that the images' file names count from. May be left out, with the root, where only
            :meth:`read_segments` is called.
        panoptic_dir: the folder that the annotations' file names count from.
        panoptic_json: the JSON file.

    Raises:
        InputError: if a file or folder is missing, or the JSON file is invalid or contradicts itself.
    """

    def __init__(
        self,
        split: str,
        *,
        root: str | os.PathLike | None = None,
        image_dir: str | os.PathLike | None = None,
        panoptic_dir: str | os.PathLike | None = None,
        panoptic_json: str | os.PathLike | None = None,
    ):
        base = Path(root).expanduser() if root is not None else Path()
        self.panoptic_json = find_json(split, root, panoptic_json)
        self.image_dir = find_image_dir(split, root, image_dir, self.panoptic_json)
        self._table = None
        if self.panoptic_json is None:
            self.labels = labels_of_any_split(base)
            found = find_images(self.image_dir)
            self.images = ImageList(output_names(found), [p.name for p in found], [(None, None)] * len(found))
        else:
            content = load(self.panoptic_json)
            self.labels = read_labels(content, self.panoptic_json)
            self.images = ImageList.parse(content, self.panoptic_json)
            if split != "test" or content.get("annotations"):
                self._table = SegmentTable.parse(content, self.panoptic_json, self.labels, self.images.ids)
                self.panoptic_dir = self.panoptic_json.with_suffix("")
                if panoptic_dir is not None:
                    self.panoptic_dir = base / Path(panoptic_dir).expanduser()
                demand_folder(self.panoptic_dir, f"with the PNG files of {self.panoptic_json}")
        self._names = output_names(self.images.file_names)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images.ids)

    @property
    def image_ids(self) -> list[int | str]:
        """The ids in the JSON file."""
        return self.images.ids

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """The image at ``index``; ``strength`` is of no effect.

        Raises:
            InputError: if a file cannot be read, its size is not the one expected, or PNG and JSON contradict.
        """
        if self.image_dir is None:
            raise InputError(f"{self.panoptic_json}: expected image_dir to say where its images are, got none")
        path = self.image_dir / self.images.file_names[index]
        image = read_image(path)
        self._check_size(path, image.shape[:2], index)
        segments = self.read_segments(index)
        size = image.shape[:2] if segments is None else tuple(segments.size)
        if size != image.shape[:2]:
            raise InputError(
                f"{self.png(index)}: expected the height and width of {path}, {image.shape[:2]}, got {size}"
            )
        return Sample(image, segments, self._names[index])

    def read_segments(self, index: int) -> Segments | None:
        """The segments of the image at ``index`` alone, in the order of the JSON file.

        Raises:
            InputError: if the PNG cannot be read, its size is not the one expected, or PNG and JSON contradict.
        """
        if self._table is None:
            return None
        path = self.png(index)
        ids, classes, crowd, scores = self._table.rows(index)
        rows = read_ids(path, ids, self.panoptic_json)
        self._check_size(path, rows.shape, index)
        return Segments(
            torch.from_numpy(rows),
            torch.from_numpy(classes),
            torch.from_numpy(crowd),
            torch.from_numpy(scores) if len(scores) and not np.isnan(scores).any() else None,
        )

    def origin(self, index: int) -> Origin:
        """What a sample is made of."""
        name = self._names[index]
        image = [] if self.image_dir is None else [self.image_dir / self.images.file_names[index]]
        if self._table is None:
            return Origin(name, image)
        table = b"".join(column.tobytes() for column in self._table.rows(index))
        return Origin(name, [*image, self.png(index)], table + repr(self.images.sizes[index]).encode())

    def png(self, index: int) -> Path:
        """The file with the segments of the image at ``index``; only where the truth is not withheld."""
        return self.panoptic_dir / self._table.file_names[index]

    def _check_size(self, path: Path, size: tuple[int, ...], index: int) -> None:
        expected = self.images.sizes[index]
        if any(e not in (None, s) for e, s in zip(expected, size, strict=True)):
            raise InputError(f"{path}: expected height and width {expected} as {self.panoptic_json} says, got {size}")


def read_ids(png: Path, table: Int64[np.ndarray, " N"], panoptic_json: Path) -> Int32[np.ndarray, "H W"]:
    """The rows of a table that the pixels of a PNG belong to, counted from 1; 0 is void.

    Args:
        png: the file.
        table: the number of each segment in it. Pixels of 0 are void unless it has a 0.
        panoptic_json: the file that the table is from, for errors.

    Raises:
        InputError: if the PNG cannot be read, or it has a number that the table lacks or the reverse.
    """
    rows, strange, absent = match_ids(read_words(png), table)
    if strange:
        raise InputError(f"{png}: expected the segment ids that {panoptic_json} lists, got others: {some(strange)}")
    if absent:
        raise InputError(f"{png}: expected each segment that {panoptic_json} lists, got no pixel of {some(absent)}")
    return rows


def match_ids(
    words: UInt32[np.ndarray, "H W"], table: Int64[np.ndarray, " N"]
) -> tuple[Int32[np.ndarray, "H W"], list[int], list[int]]:
    """The rows of a table that the pixels of a decoded PNG belong to, and in what the two disagree.

    Args:
        words: of the pixels; see :func:`panoptic.data.images.read_words`.
        table: the number of each segment in them. Pixels of 0 are void unless it has a 0.

    Returns:
        Rows, counted from 1, 0 for void and for numbers that the table lacks; those numbers; and the numbers of the
        table that no pixel has.
    """
    flat = words.ravel()
    # Neighbors mostly belong together, so that runs are few where pixels are many.
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    numbers = flat[starts] & np.uint32(0xFFFFFF)
    order = np.argsort(table)
    known, rows = table[order], order + 1
    if 0 not in table:
        known, rows = np.append(0, known), np.append(0, rows)
    place = np.searchsorted(known, numbers)
    place[place == len(known)] = 0
    found = known[place] == numbers
    there = np.bincount(place[found], minlength=len(known)) > 0
    lengths = np.diff(starts, append=len(flat))
    return (
        np.repeat(np.where(found, rows[place], 0).astype(np.int32), lengths).reshape(words.shape),
        np.unique(numbers[~found]).tolist(),
        known[~there & (rows > 0)].tolist(),
    )
