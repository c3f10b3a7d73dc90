"""Labelme (https://github.com/wkentaro/labelme): a JSON file an image, with its shapes."""

from __future__ import annotations

import base64
import io
import math
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from panoptic.data.convert.drawing import Drawn, draw, is_coordinate, joined, polygon_mask
from panoptic.data.convert.files import existing, files_in, folder_at, inside, read_json
from panoptic.data.convert.records import Listing, Record, Truth, label_space, split_in
from panoptic.errors import InputError


def listing(root: Path, images: Path | None) -> Listing:
    """List the JSON files of a folder; folders ``train``, ``val`` and ``test`` within it are splits.

    Args:
        root: Folder with JSON files.
        images: Folder with the images; by default each is where its JSON file says.

    Raises:
        InputError: If there are none, or one is not of this format.
    """
    files = files_in(folder_at(root, "JSON files of labelme"), ".json")
    if not files:
        raise InputError(f"{root}: expected JSON files of labelme, got none")
    contents = {path: _read(path) for path in files}
    names = sorted({shape["label"] for content in contents.values() for shape in content["shapes"]})
    records = []
    for path, content in contents.items():
        if images is None:
            image = inside(path.parent, content.get("imagePath"), f"{path}: imagePath")
        else:  # only the name counts, since labelme stores where the image was
            image = images / PureWindowsPath(str(content.get("imagePath"))).name
        name = path.relative_to(root)
        load = partial(_load, path, content["shapes"], (content.get("imageHeight"), content.get("imageWidth")), names)
        records.append(Record(existing(image, str(path)), name.as_posix(), split_in(name), load))
    return Listing(records, label_space(names, str(root)))


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise InputError(f"{path}: expected a JSON file of labelme, with a list of 'shapes', got none")
    for i, shape in enumerate(content["shapes"]):
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"]:
            raise InputError(f"{path}: shape {i + 1}: expected a 'label', got none")
    return {key: content.get(key) for key in ("shapes", "imagePath", "imageHeight", "imageWidth")}


def _load(
    path: Path, shapes: list[dict[str, Any]], listed: tuple[Any, Any], names: list[str], size: tuple[int, int]
) -> Truth:
    """Draw the shapes of an image; those of one group and label are one object."""
    if any(expected not in (None, side) for expected, side in zip(listed, size, strict=True)):
        raise InputError(f"{path}: expected the height and width of its image, {size}, got {listed}")
    objects: dict[Any, list[Drawn]] = {}
    shapeless = 0
    for i, shape in enumerate(shapes):
        if shape.get("shape_type") in SHAPELESS:
            shapeless += 1
            continue
        where = f"{path}: shape {i + 1} ({shape['label']})"
        group = shape.get("group_id")
        key = (shape["label"], i if group is None else f"group {group}")
        masked = shape.get("shape_type") == "mask"
        mask, clipped = (_mask(shape, size, where), False) if masked else _drawn(shape, size, where)
        objects.setdefault(key, []).append(Drawn.of(mask, names.index(shape["label"]), clipped=clipped))
    truth = draw([joined(parts, size) for parts in objects.values()], size)
    truth.counts["shapeless"] += shapeless
    return truth


SHAPELESS = ("point", "points", "line", "linestrip")
"""Shapes without an inside, which are left out."""


def _drawn(shape: dict[str, Any], size: tuple[int, int], where: str) -> tuple[Bool[np.ndarray, "H W"], bool]:
    return polygon_mask([_polygon(shape, where)], size, where)


def _mask(shape: dict[str, Any], size: tuple[int, int], where: str) -> Bool[np.ndarray, "H W"]:
    """Return the mask of a shape that has one: a PNG in base64 for the pixels from its first to its second point."""
    try:
        (left, top), (right, bottom) = ((int(x), int(y)) for x, y in shape["points"])
        content = base64.b64decode(shape["mask"], validate=True)
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            part = np.array(picture) > 0
    except Exception as error:  # decoders raise many types
        raise InputError(f"{where}: expected a mask as PNG in base64, and two points, got others: {error}") from None
    if part.shape != (bottom - top + 1, right - left + 1) or min(left, top) < 0:
        raise InputError(
            f"{where}: expected a mask of {right - left + 1} x {bottom - top + 1} pixels, got {part.shape}"
        )
    if right >= size[1] or bottom >= size[0]:
        raise InputError(
            f"{where}: expected a mask in its image of {size[1]} x {size[0]} pixels, got one to {right, bottom}"
        )
    mask = np.zeros(size, bool)
    mask[top : bottom + 1, left : right + 1] = part
    return mask


def _polygon(shape: dict[str, Any], where: str) -> list[float]:
    """Return the outline of a shape."""
    kind, points = shape.get("shape_type", "polygon"), shape.get("points")
    least = {"polygon": 3, "rectangle": 2, "circle": 2}
    if not isinstance(kind, str) or kind not in least:
        raise InputError(f"{where}: expected {', '.join(least)} or mask, which have an inside, got {kind!r}")
    pairs: list[Any] = points if isinstance(points, list) else []
    numbers = [v for p in pairs if isinstance(p, list) and len(p) == 2 for v in p if is_coordinate(v)]
    if len(numbers) != 2 * len(pairs) or len(pairs) < least[kind]:
        raise InputError(f"{where}: expected at least {least[kind]} points of x and y, got {str(points)[:60]}")
    if kind == "rectangle":
        (left, top), (right, bottom) = pairs[:2]
        return [left, top, right, top, right, bottom, left, bottom]
    if kind == "circle":  # its center and a point on it
        radius = math.dist(*pairs[:2])
        return ellipse(pairs[0][0], pairs[0][1], radius, radius)
    return numbers


def ellipse(x: float, y: float, across: float, down: float, corners: int = 64) -> list[float]:
    """Return a polygon of the area of an ellipse.

    Args:
        x: Center.
        y: Center.
        across: Half its width.
        down: Half its height.
        corners: Number of corners.
    """
    angles = [2 * math.pi * i / corners for i in range(corners)]
    wider = math.sqrt(2 * math.pi / (corners * math.sin(2 * math.pi / corners)))
    return [v for a in angles for v in (x + across * wider * math.cos(a), y + down * wider * math.sin(a))]
