"""PASCAL VOC (http://host.robots.ox.ac.uk/pascal/VOC/): maps of classes and of objects, and lists of names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from panoptic.data.coco.json import some
from panoptic.data.convert.files import existing, folder_at, inside, read_text
from panoptic.data.convert.masks import MODES, from_maps
from panoptic.data.convert.records import SPLIT_NAMES, Listing, Record, Truth, label_space
from panoptic.data.images import SUFFIXES, read_stored
from panoptic.errors import InputError

NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Categories of VOC, by pixel value from 1 on."""

BORDER = 255
"""Value of pixels that are void."""


def listing(root: Path, images: Path | None) -> Listing:
    """List the images that ``ImageSets/Segmentation`` names.

    Args:
        root: Folder with ``SegmentationClass``, ``SegmentationObject``, ``ImageSets`` and, perhaps, ``labelmap.txt``
            with other categories.
        images: Folder with the images; by default ``JPEGImages`` in ``root``.

    Raises:
        InputError: If something is missing.
    """
    classes, objects, sets = (
        folder_at(root / name, what)
        for name, what in (
            ("SegmentationClass", "maps of classes"),
            ("SegmentationObject", "maps of objects"),
            ("ImageSets/Segmentation", "lists of names"),
        )
    )
    folder = images or folder_at(root / "JPEGImages", "images")
    names, colors = _label_map(root / "labelmap.txt")
    lists = {path: SPLIT_NAMES.get(path.stem) for path in sorted(sets.glob("*.txt"))}
    own = {path: split for path, split in lists.items() if split is not None}
    records: list[Record] = []
    notes: list[str] = []
    for path, split in (own or lists).items():
        listed = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
        files = [(name, [inside(part, f"{name}.png", str(path)) for part in (classes, objects)]) for name in listed]
        if split == "test" and not any(file.exists() for _, pair in files for file in pair):
            notes.append(f"{path}: there are no maps of these images, which were left out")
            continue
        for name, pair in files:
            candidates = [inside(folder, f"{name}{suffix}", str(path)) for suffix in SUFFIXES]
            image = next((file for file in candidates if file.is_file()), candidates[0])
            records.append(Record(existing(image, str(path)), name, split, partial(_load, pair, colors, len(names))))
    if not records:
        raise InputError(f"{sets}: expected lists of names (train.txt, val.txt), got none")
    return Listing(records, label_space(names, str(root)), tuple(notes))


def _label_map(path: Path) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """Read names and colors by pixel value, from 1 on for names and 0 for colors; those of VOC without a file."""
    if not path.exists():
        return NAMES, [color_of(value) for value in range(len(NAMES) + 1)]
    rows = [line.split(":") for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    try:
        colors = [
            tuple(int(number) for number in row[1].split(",")) if row[1].strip() else color_of(value)
            for value, row in enumerate(rows)
        ]
    except (IndexError, ValueError):
        raise InputError(f"{path}: expected lines of name:red,green,blue::, got others") from None
    if not rows or rows[0][0] != "background":
        raise InputError(f"{path}: expected 'background' in the first line, got {rows[0][0] if rows else None!r}")
    return tuple(row[0] for row in rows[1:]), colors


def color_of(value: int) -> tuple[int, ...]:
    """Return the color that VOC gives a pixel value: the bits of the value, in turn to red, green and blue."""
    return tuple(sum((value >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3)) for channel in range(3))


def _load(files: list[Path], colors: list[tuple[int, ...]], count: int, size: tuple[int, int]) -> Truth:
    """Return the segments of the maps of classes and objects."""
    semantic, objects = (_numbers(path, size) for path in files)
    if semantic.max() >= COLORED:
        values = {_packed(color): i for i, color in enumerate(colors)}
        values.setdefault(_packed(color_of(BORDER)), BORDER)
        found, row = np.unique(semantic, return_inverse=True)
        unknown = [f"#{value & 0xFFFFFF:06x}" for value in found.tolist() if value not in values]
        if unknown:
            raise InputError(f"{files[0]}: expected colors of categories, got {some(unknown)}")
        semantic = np.array([values[value] for value in found.tolist()])[row].reshape(size)
    unknown_values = [v for v in np.unique(semantic).tolist() if v > count and v != BORDER]
    if unknown_values:
        raise InputError(f"{files[0]}: expected pixel values of 0 to {count} and {BORDER}, got {some(unknown_values)}")
    void = (semantic == BORDER) | (objects == BORDER) | (objects == _packed(color_of(BORDER)))
    labeled = np.unique(objects[~void & (semantic > 0)])
    unlabeled = [v for v in np.setdiff1d(objects[~void], labeled).tolist() if v not in (0, COLORED)]
    if unlabeled:
        names = [f"#{value & 0xFFFFFF:06x}" if value >= COLORED else value for value in unlabeled]
        raise InputError(f"{files[1]}: expected a category of each object in {files[0]}, got none of {some(names)}")
    return from_maps(np.where(void, -1, semantic - 1), objects)


COLORED = 1 << 24
"""Bit of numbers that are colors."""


def _packed(color: Sequence[int]) -> int:
    """Return a color as a number."""
    return COLORED | color[0] << 16 | color[1] << 8 | color[2]


def _numbers(path: Path, size: tuple[int, int]) -> Int64[np.ndarray, "H W"]:
    """Read a map of numbers, or one of colors, as numbers too."""
    stored = read_stored(path, (*MODES, "RGB"), "a map with one channel, or with colors").astype(np.int64)
    if stored.shape[:2] != size:
        raise InputError(f"{path}: expected the height and width of its image, {size}, got {stored.shape[:2]}")
    return stored if stored.ndim == 2 else stored @ np.array([1 << 16, 1 << 8, 1]) + COLORED
