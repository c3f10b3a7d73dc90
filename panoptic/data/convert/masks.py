"""Label maps: ``images/``, ``masks/*.png`` and ``names.json``, perhaps ``instances/*.png``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int32, Int64

from panoptic.data.coco.json import some
from panoptic.data.convert.files import folder_at, images_in, read_json
from panoptic.data.convert.records import Listing, Record, Truth, label_space, split_in
from panoptic.data.images import read_stored
from panoptic.errors import InputError

NAMES = "names.json"

MODES = ("1", "L", "P", "I;16", "I;16B", "I")
"""Pixel formats of maps of numbers."""


def listing(root: Path, images: Path | None) -> Listing:
    """List the images of a folder; folders ``train``, ``val`` and ``test`` within it are splits.

    Args:
        root: Folder with ``masks/``, ``names.json`` and, perhaps, ``instances/``, whose PNG files have the names of the
            images.
        images: Folder with the images; by default ``images/`` in ``root``.

    Raises:
        InputError: If something is missing, or the names are not of this format.
    """
    named = names_by_value(root / NAMES)
    kept = {value: name for value, name in named.items() if name is not None}
    labels = label_space([str(name) for name in kept.values()], str(root / NAMES), list(kept))
    folder, masks = images or root / "images", folder_at(root / "masks", "a map of labels for each image")
    instances = root / "instances"
    records = []
    for image in images_in(folder_at(folder, "images")):
        name = image.relative_to(folder)
        files = [base / name.with_suffix(".png") for base in (masks, instances) if base == masks or base.is_dir()]
        for file in files:
            if not file.is_file():
                raise InputError(f"{file}: expected the map of {image}, got no such file")
        load = partial(_load, files, list(kept), [value for value in named if value not in kept])
        records.append(Record(image, name.as_posix(), split_in(name), load))
    if not records:
        raise InputError(f"{folder}: expected images, got none")
    return Listing(records, labels)


def names_by_value(path: Path) -> dict[int, str | None]:
    """Read the names of pixel values, ``{"1": "cell", "255": null}``; those of ``null`` are void, as 0 is by default.

    Args:
        path: JSON file.

    Raises:
        InputError: If it is not of this format.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise InputError(f'{path}: expected names by pixel value, {{"1": "cell"}}, got {str(content)[:60]}')
    named: dict[int, str | None] = {} if "0" in content else {0: None}
    for key, name in content.items():
        if not key.isdecimal() or int(key) > 65535:
            raise InputError(f"{path}: expected pixel values from 0 to 65535, got {key!r}")
        if not isinstance(name, str | None):
            raise InputError(f"{path}: {key}: expected a name, or null for void, got {name!r}")
        named[int(key)] = name
    return dict(sorted(named.items()))


def _load(files: list[Path], values: list[int], void: list[int], size: tuple[int, int]) -> Truth:
    """Return the segments of the map of labels and, perhaps, that of instances."""
    maps = [read_map(file, size) for file in files]
    unknown = sorted(set(np.unique(maps[0]).tolist()) - {*values, *void})
    if unknown:
        raise InputError(f"{files[0]}: expected pixel values that {NAMES} names, got {some(unknown)}")
    classes = np.full(maps[0].max() + 1, -1)
    for c, value in enumerate(values):
        classes[value : value + 1] = c
    semantic = classes[maps[0]]
    return from_maps(semantic, maps[1] if len(maps) > 1 else components(semantic))


def read_map(path: Path, size: tuple[int, int]) -> Int64[np.ndarray, "H W"]:
    """Read a map of numbers.

    Args:
        path: PNG.
        size: Height and width of its image.

    Raises:
        InputError: If it cannot be read, or has another size.
    """
    stored = read_stored(path, MODES, "a map with one channel of 8 or 16 bits").astype(np.int64)
    if stored.shape != size:
        raise InputError(f"{path}: expected the height and width of its image, {size}, got {stored.shape}")
    return stored


def components(semantic: Int64[np.ndarray, "H W"]) -> Int32[np.ndarray, "H W"]:
    """Return the number of each pixel's connected component, within its class; corners connect.

    Args:
        semantic: Class of each pixel, -1 for void.
    """
    numbers = np.zeros(semantic.shape, np.int32)
    for c in np.unique(semantic):
        here = semantic == c
        numbers[here] = cv2.connectedComponents(here.astype(np.uint8), connectivity=8)[1][here]
    return numbers


def from_maps(semantic: Int64[np.ndarray, "H W"], instances: np.ndarray) -> Truth:
    """Return a segment for each pair of a class and an instance.

    Args:
        semantic: Class of each pixel, -1 for void.
        instances: Number of each pixel's instance within its class ``[H W]``.
    """
    pairs, row = np.unique(
        np.stack([semantic.ravel(), instances.ravel().astype(np.int64)], 1), axis=0, return_inverse=True
    )
    void = int((pairs[:, 0] < 0).sum())  # these come first
    ids = np.maximum(row.reshape(semantic.shape) + 1 - void, 0).astype(np.int32)
    classes = pairs[void:, 0].tolist()
    return Truth(ids, classes, [False] * len(classes))
