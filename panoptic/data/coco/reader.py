"""Reader for the COCO panoptic format (Kirillov et al. 2019, https://cocodataset.org/#format-data).

A JSON file lists ``images``, ``annotations`` and ``categories``. A folder of the same name next to it contains a PNG
for each annotation; the segment id of a pixel is ``R + 256 G + 65536 B``, and 0 is void.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int32, Int64, UInt32

from panoptic.data.bands import Reading, turn_note
from panoptic.data.coco.json import ImageList, SegmentTable, load, read_labels, some, without_unannotated
from panoptic.data.coco.layout import find_image_dir, find_json, find_panoptic_dir, labels_of_any_split
from panoptic.data.images import find_images, output_names, read_words
from panoptic.data.sample import Origin, Sample
from panoptic.errors import InputError
from panoptic.segments import Segments


class CocoPanopticSource:
    """One split of a data set in COCO panoptic format.

    The JSON file of a split is searched below ``root`` as ``annotations/panoptic_<split>2017.json`` (the layout of
    COCO), without the year, directly in the root, as ``<split>/panoptic.json``, and as ``panoptic.json`` for all
    splits if no split has its own file. The folder of PNG files is the path of the JSON file without its suffix, or
    stands beside ``annotations`` (the layout of detectron2). The images are in a folder named after the split
    (``val2017`` for ``panoptic_val2017.json``), in the root or in ``images``, or in ``images`` itself. Each path
    can be given instead; relative paths are relative to the root if there is one.

    The ground truth of ``test`` may be withheld: segments are ``None`` if the JSON file lists images but no
    annotations, or if there are images but no JSON file. Without a JSON file, the label space is that of ``val`` or
    ``train``.

    Only the JSON file is read on construction. A crowd of a stuff category is read as ordinary stuff.

    Args:
        split: ``train``, ``val``, ``test``, or any other name used by the files.
        root: Folder of the data set.
        image_dir: Folder that the file names of images are relative to. It and the root may be omitted if only
            :meth:`read_segments` is called.
        panoptic_dir: Folder that the file names of annotations are relative to.
        panoptic_json: Path of the JSON file.
        reading: How image files are read.
        skip_unannotated: Whether to leave out images without an annotation, rather than to raise.

    Raises:
        InputError: If a file or folder is missing, or the JSON file is invalid or inconsistent.
    """

    def __init__(
        self,
        split: str,
        *,
        root: str | os.PathLike | None = None,
        image_dir: str | os.PathLike | None = None,
        panoptic_dir: str | os.PathLike | None = None,
        panoptic_json: str | os.PathLike | None = None,
        reading: Reading = Reading(),  # noqa: B008  # frozen
        skip_unannotated: bool = False,
    ) -> None:
        self.reading = reading
        base = Path(root).expanduser() if root is not None else Path()
        self.panoptic_json = find_json(split, root, panoptic_json)
        self.image_dir = find_image_dir(split, root, image_dir, self.panoptic_json)
        self._table: SegmentTable | None = None
        if self.panoptic_json is None:
            self.labels = labels_of_any_split(base)
            assert self.image_dir is not None  # find_json raises if neither a JSON file nor a root is given
            files = find_images(self.image_dir)
            ids: list[int | str] = [*output_names(files)]
            self.images = ImageList(ids, [file.name for file in files], [(None, None)] * len(files))
        else:
            content = load(self.panoptic_json)
            if skip_unannotated and content.get("annotations"):  # else the ground truth is withheld
                content, _ = without_unannotated(content)
            self.labels = read_labels(content, self.panoptic_json)
            self.images = ImageList.parse(content, self.panoptic_json)
            if split != "test" or content.get("annotations"):
                self._table = SegmentTable.parse(content, self.panoptic_json, self.labels, self.images.ids)
                given = None if panoptic_dir is None else base / Path(panoptic_dir).expanduser()
                self.panoptic_dir = find_panoptic_dir(self.panoptic_json, given)
        self._names = output_names(self.images.file_names)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images.ids)

    @property
    def image_ids(self) -> list[int | str]:
        """Image ids of the JSON file; names of the images if there is none."""
        return self.images.ids

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """Read an image and its segments.

        Args:
            index: Index of the image.
            strength: Ignored.

        Raises:
            InputError: If a file cannot be read or has an unexpected size, or PNG and JSON file are inconsistent.
        """
        if self.image_dir is None:
            raise InputError(f"{self.panoptic_json}: expected image_dir to say where its images are, got none")
        path = self.image_dir / self.images.file_names[index]
        image = self.reading.read(path)
        self._check_size(path, image.shape[:2], index)
        segments = self.read_segments(index)
        size = image.shape[:2] if segments is None else tuple(segments.size)
        if size != image.shape[:2]:
            raise InputError(
                f"{self.png(index)}: expected the height and width of {path}, {image.shape[:2]}, got {size}"
                f"{turn_note(path, image.shape[:2], size)}"
            )
        return Sample(image, segments, self._names[index])

    def read_segments(self, index: int) -> Segments | None:
        """Read the segments of an image without the image itself.

        Args:
            index: Index of the image.

        Returns:
            Segments in the order of the JSON file, or ``None`` if they are withheld.

        Raises:
            InputError: If the PNG cannot be read or has an unexpected size, or PNG and JSON file are inconsistent.
        """
        if self._table is None:
            return None
        assert self.panoptic_json is not None  # the table was read from it
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
        """Return everything that the content of a sample depends on."""
        name = self._names[index]
        image = [] if self.image_dir is None else [self.image_dir / self.images.file_names[index]]
        read_otherwise = b"" if self.reading.is_ordinary else repr(self.reading).encode()
        if self._table is None:
            return Origin(name, image, read_otherwise)
        table = b"".join(column.tobytes() for column in self._table.rows(index))
        return Origin(name, [*image, self.png(index)], table + repr(self.images.sizes[index]).encode() + read_otherwise)

    def png(self, index: int) -> Path:
        """Return the path of the PNG of an image, whose ground truth must not be withheld."""
        assert self._table is not None
        return self.panoptic_dir / self._table.file_names[index]

    def _check_size(self, path: Path, size: tuple[int, ...], index: int) -> None:
        expected = self.images.sizes[index]
        if any(e not in (None, s) for e, s in zip(expected, size, strict=True)):
            note = turn_note(path, size, expected)
            raise InputError(
                f"{path}: expected height and width {expected} as {self.panoptic_json} says, got {size}{note}"
            )


def read_ids(png: Path, table: Int64[np.ndarray, " N"], panoptic_json: Path) -> Int32[np.ndarray, "H W"]:
    """Read a PNG and map the segment ids of its pixels to rows of a table.

    Args:
        png: Path of the PNG.
        table: Id of each segment. Pixels with id 0 are void unless the table contains 0.
        panoptic_json: JSON file of the table, for error messages.

    Returns:
        Row of each pixel, starting at 1; 0 for void.

    Raises:
        InputError: If the PNG cannot be read, or its ids differ from those of the table.
    """
    rows, unknown, absent = match_ids(read_words(png), table)
    if unknown:
        raise InputError(f"{png}: expected the segment ids that {panoptic_json} lists, got others: {some(unknown)}")
    if absent:
        raise InputError(f"{png}: expected each segment that {panoptic_json} lists, got no pixel of {some(absent)}")
    return rows


def match_ids(
    words: UInt32[np.ndarray, "H W"], table: Int64[np.ndarray, " N"]
) -> tuple[Int32[np.ndarray, "H W"], list[int], list[int]]:
    """Map the segment ids of decoded pixels to rows of a table, and find the ids in which the two differ.

    Args:
        words: Pixels of a PNG; see :func:`panoptic.data.images.read_words`.
        table: Id of each segment. Pixels with id 0 are void unless the table contains 0.

    Returns:
        Row of each pixel, starting at 1, and 0 for void and for unknown ids; ids of pixels that the table lacks; and
        ids of the table without a pixel.
    """
    flat = words.ravel()
    # Neighboring pixels mostly have the same id, so there are far fewer runs than pixels.
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    ids = flat[starts] & np.uint32(0xFFFFFF)
    order = np.argsort(table)
    known, rows = table[order], order + 1
    if 0 not in table:
        known, rows = np.append(0, known), np.append(0, rows)
    position = np.searchsorted(known, ids)
    position[position == len(known)] = 0
    is_known = known[position] == ids
    occurs = np.bincount(position[is_known], minlength=len(known)) > 0
    lengths = np.diff(starts, append=len(flat))
    return (
        np.repeat(np.where(is_known, rows[position], 0).astype(np.int32), lengths).reshape(words.shape),
        np.unique(ids[~is_known]).tolist(),
        known[~occurs & (rows > 0)].tolist(),
    )
