"""YOLO segmentation (https://docs.ultralytics.com/datasets/segment/): ``data.yaml``, and a text file an image."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from panoptic.data.convert.drawing import Drawn, draw, polygon_mask
from panoptic.data.convert.files import existing, folder_at, images_in, inside, read_text, read_yaml
from panoptic.data.convert.records import SPLIT_NAMES, Listing, Record, Truth, label_space
from panoptic.data.sample import SPLITS
from panoptic.errors import InputError


def listing(root: Path, images: Path | None) -> Listing:
    """List the images of the splits that ``data.yaml`` names.

    Args:
        root: ``data.yaml``, or the folder that it is in.
        images: Not used; labels are found by the folder of the images.

    Raises:
        InputError: If something is missing, or the file is not of this format.
    """
    path = root / "data.yaml" if root.is_dir() else root
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected names, train and val, got {str(content)[:60]}")
    names = content.get("names")
    names = [names[key] for key in sorted(names)] if isinstance(names, dict) and _counts(names) else names
    if not isinstance(names, list):
        raise InputError(f"{path}: names: expected a list, or names by number from 0, got {str(names)[:60]}")
    base = path.parent
    given = PureWindowsPath(
        str(content.get("path") or ".")
    )  # exports name folders of other machines, which do not count
    if not (given.drive or given.root or ".." in given.parts) and (base / given).is_dir():
        base = base / given
    records: list[Record] = []
    named = {key: content.get(key) for key in SPLITS}
    if not any(named.values()):  # some tools write the names alone
        named = {key: f"images/{key}" for key in SPLITS if (base / "images" / key).is_dir()}
    for key, values in named.items():
        for value in values if isinstance(values, list) else [values] if values else []:
            records += _records(path, base, key, value, len(names))
    if not records:
        raise InputError(f"{path}: expected folders of images as train, val or test, got none")
    return Listing(records, label_space(names, f"{path}: names"))


def _counts(names: dict[Any, Any]) -> bool:
    return set(names) == set(range(len(names)))


def _records(path: Path, base: Path, split: str, value: Any, classes: int) -> list[Record]:
    """Return the records of a folder of images, or of a text file that lists them."""
    where = f"{path}: {split}"
    if isinstance(value, str):  # exports name train/images as ../train/images
        value = str(PurePosixPath(*[part for part in PurePosixPath(value).parts if part != ".."]))
    folder = inside(base, value, where)
    if folder.suffix == ".txt":
        images = _listed(folder, base)
    else:
        images = images_in(folder_at(folder, f"the images of {split}, as {path} says"))
    records = []
    for image in images:
        name = image.relative_to(path.parent)
        parts = list(name.parts)
        places = [i for i, part in enumerate(parts[:-1]) if part == "images"]
        if not places:
            raise InputError(f"{image}: expected a folder 'images' in its path, beside 'labels', got none")
        parts[places[-1]] = "labels"
        load = partial(_load, path.parent.joinpath(*parts).with_suffix(".txt"), classes)
        records.append(Record(image, name.as_posix(), SPLIT_NAMES[split], load))
    if not records:
        raise InputError(f"{where}: expected images in {folder}, got none")
    return records


def _listed(path: Path, base: Path) -> list[Path]:
    """Return the images that a text file lists, one a line."""
    lines = [(f"{path}: line {i + 1}", line.strip()) for i, line in enumerate(read_text(path).splitlines())]
    return [existing(inside(base, line.removeprefix("./"), where), where) for where, line in lines if line]


def _load(path: Path, classes: int, size: tuple[int, int]) -> Truth:
    """Draw the polygons of a text file; an image without one has no objects."""
    drawn = []
    lines = read_text(path).splitlines() if path.exists() else []
    for i, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        where = f"{path}: line {i + 1}"
        if not words[0].isdecimal() or int(words[0]) >= classes:
            raise InputError(f"{where}: expected a class from 0 to {classes - 1}, got {words[0]!r}")
        try:
            numbers = [float(word) for word in words[1:]]
        except ValueError:
            raise InputError(f"{where}: expected numbers after the class, got {line.strip()[:60]!r}") from None
        if len(numbers) == 4:
            raise InputError(f"{where}: expected a polygon, got the box of an object, which has no outline")
        polygon = [v * size[1 - k % 2] for k, v in enumerate(numbers)]
        mask, clipped = polygon_mask([polygon], size, where)
        drawn.append(Drawn.of(mask, int(words[0]), clipped=clipped))
    return draw(drawn, size)
