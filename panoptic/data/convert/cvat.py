"""CVAT for images 1.1 (https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/): one XML file."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
from jaxtyping import Bool

from panoptic.data.convert.drawing import Drawn, draw, joined, polygon_mask
from panoptic.data.convert.files import existing, inside, read_xml
from panoptic.data.convert.labelme import ellipse
from panoptic.data.convert.records import SPLIT_NAMES, Listing, Record, Truth, label_space
from panoptic.errors import InputError

SHAPES = ("polygon", "box", "ellipse", "mask")
"""Shapes with an inside."""


def listing(root: Path, images: Path | None) -> Listing:
    """List the images of XML files; subsets, or files, named ``train``, ``val`` and ``test`` are splits.

    Args:
        root: XML file, or a folder with ``annotations.xml``, or with several XML files, as Datumaro writes.
        images: Folder with the images; by default ``images/`` beside the XML file, or the folder of that.

    Raises:
        InputError: If something is missing, or the file is not of this format.
    """
    paths = [root]
    if root.is_dir():
        whole = root / "annotations.xml"
        paths = [whole] if whole.is_file() else sorted(root.glob("*.xml"))
        if not paths:
            raise InputError(f"{whole}: expected annotations of CVAT, got no such file, and no other XML file")
    found = [_entries(path, images) for path in paths]
    names = list(dict.fromkeys(name for _, labels in found for name in labels))
    records = [
        Record(entry.image, entry.name, entry.split, partial(_load, entry.where, entry.element, names))
        for entries, _ in found
        for entry in entries
    ]
    return Listing(records, label_space(names, f"{root}: labels"))


class _Entry(NamedTuple):
    """An image of an XML file; drawing it needs the labels of all files."""

    image: Path
    name: str
    split: str | None
    where: str
    element: Element


def _entries(path: Path, images: Path | None) -> tuple[list[_Entry], list[str]]:
    """Return the images of an XML file, and its labels."""
    content = read_xml(path)
    elements = content.findall("image")
    if content.tag != "annotations" or not elements:
        raise InputError(f"{path}: expected 'CVAT for images 1.1', <annotations> with <image>, got none")
    names = [str(element.text) for element in content.iterfind("meta//labels/label/name")]
    names = names or sorted({s.get("label", "") for e in elements for s in e if s.get("label")})
    folders = [images] if images is not None else [path.parent / "images", path.parent]
    entries = []
    for element in elements:
        name, subset = element.get("name"), element.get("subset") or ""
        where = f"{path}: image {name!r}"
        candidates = [inside(base, name, where) for folder in folders for base in (folder, folder / subset)]
        image = next((file for file in candidates if file.is_file()), candidates[0])
        split = SPLIT_NAMES.get(subset.lower()) or SPLIT_NAMES.get(path.stem.lower())
        entries.append(_Entry(existing(image, where), str(name), split, where, element))
    return entries, names


def _load(where: str, entry: Element, names: list[str], size: tuple[int, int]) -> Truth:
    """Draw the shapes of an image; those of one group and label are one object."""
    listed = tuple(entry.get(side, str(actual)) for side, actual in zip(("height", "width"), size, strict=True))
    if listed != tuple(map(str, size)):
        raise InputError(f"{where}: expected the height and width of the file, {size}, got ({', '.join(listed)})")
    objects: dict[object, list[Drawn]] = {}
    shapeless = 0
    for i, shape in enumerate(child for child in entry if child.tag != "tag"):
        if shape.tag in ("points", "polyline"):
            shapeless += 1
            continue
        at = f"{where}: shape {i + 1}, {shape.tag}"
        label = shape.get("label")
        if label not in names:
            raise InputError(f"{at}: expected a label of the file, got {label!r}")
        group = shape.get("group_id") or "0"
        mask, clipped = _mask(shape, size, at)
        layer = int(_numbers(shape.get("z_order", "0"), at)[0])
        drawn = Drawn.of(mask, names.index(label), clipped=clipped, layer=layer)
        objects.setdefault(i if group == "0" else (group, label), []).append(drawn)
    truth = draw((joined(parts, size) for parts in objects.values()), size)
    truth.counts["shapeless"] += shapeless
    return truth


def _mask(shape: Element, size: tuple[int, int], where: str) -> tuple[Bool[np.ndarray, "H W"], bool]:
    """Draw a shape, and return it and whether a part lies outside the image."""
    if shape.tag not in SHAPES:
        raise InputError(f"{where}: expected {', '.join(SHAPES)}, which have an inside, got {shape.tag}")
    if shape.tag == "mask":
        return _run_lengths(shape, size, where), False
    if shape.tag == "polygon":
        polygon = _numbers((shape.get("points") or "").replace(";", ","), where)
    elif shape.tag == "ellipse":
        x, y, across, down = (_number(shape, key, where) for key in ("cx", "cy", "rx", "ry"))
        polygon = ellipse(x, y, across, down)
    else:
        left, top, right, bottom = (_number(shape, key, where) for key in ("xtl", "ytl", "xbr", "ybr"))
        polygon = [left, top, right, top, right, bottom, left, bottom]
    turn = np.deg2rad(_numbers(shape.get("rotation", "0"), where)[0])
    if turn and shape.tag != "polygon":  # about the center, clockwise
        points = np.array(polygon).reshape(-1, 2)
        center = (points.min(0) + points.max(0)) / 2
        matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        polygon = ((points - center) @ matrix + center).ravel().tolist()
    return polygon_mask([polygon], size, where)


def _run_lengths(shape: Element, size: tuple[int, int], where: str) -> Bool[np.ndarray, "H W"]:
    """Return the mask of run lengths along the rows of a box."""
    left, top, width, height = (int(_number(shape, key, where)) for key in ("left", "top", "width", "height"))
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
        raise InputError(
            f"{where}: expected a box in its image of {size[1]} x {size[0]} pixels, got left {left}, top {top}, "
            f"width {width}, height {height}"
        )
    counts = [int(number) for number in _numbers(shape.get("rle", ""), where)]
    if min(counts) < 0 or sum(counts) != width * height:
        raise InputError(
            f"{where}: expected run lengths that sum to the {width * height} pixels of its box, got {sum(counts)}"
        )
    mask = np.zeros(size, bool)
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    mask[top : top + height, left : left + width] = runs.reshape(height, width)
    return mask


def _number(shape: Element, key: str, where: str) -> float:
    return _numbers(shape.get(key, ""), f"{where}: {key}")[0]


def _numbers(text: str, where: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):  # float reads nan and inf
        raise InputError(f"{where}: expected numbers, got {text[:60]!r}")
    return numbers
