"""COCO instances (https://cocodataset.org/#format-data): polygons and run lengths in one JSON file a split."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from panoptic.data.convert.drawing import Drawn, draw, polygon_mask, run_length_mask
from panoptic.data.convert.files import existing, inside, read_json
from panoptic.data.convert.records import SPLIT_NAMES, Listing, Record, Truth
from panoptic.errors import InputError
from panoptic.labels import LabelSpace

PATTERNS = ("annotations/instances_*.json", "instances_*.json", "*/_annotations.coco.json", "*.json")
"""Where the JSON files of a folder are looked for, in order of precedence."""


def listing(root: Path, images: Path | None) -> Listing:
    """List the images of one JSON file, or of all of a folder.

    Args:
        root: JSON file, or folder with such files.
        images: Folder with the images; by default they are looked for beside the JSON file.

    Raises:
        InputError: If there are none, or an entry is not of this format.
    """
    paths = [root] if not root.is_dir() else next(filter(None, (sorted(root.glob(p)) for p in PATTERNS)), [])
    if not paths:
        raise InputError(f"{root}: expected a JSON file of COCO instances ({', '.join(PATTERNS)}), got none")
    records: list[Record] = []
    labels: LabelSpace | None = None
    crowds = total = 0
    for path in paths:
        content = read_json(path)
        found = _labels(content, path)
        if labels is not None and not found.has_categories_of(labels):
            raise InputError(f"{path}: expected the categories of {paths[0]}, {labels.difference(found)}")
        labels = labels or found
        records += _records(content, path, labels, images, _split(path))
        total += len(content["annotations"])
        crowds += sum(bool(entry.get("iscrowd")) for entry in content["annotations"])
    assert labels is not None  # there is a file
    notes: tuple[str, ...] = ()
    if 4 * crowds > total:  # one in a hundred in COCO itself
        notes = (
            f"{crowds} of {total} annotations are crowds, which are no single things; some tools mark all masks so, "
            "and then crowd=false reads them as they are meant",
        )
    return Listing(records, labels, notes)


def _split(path: Path) -> str | None:
    """Return the split that a JSON file is of, by its name or that of its folder."""
    name = path.stem.removeprefix("instances_").removesuffix("2014").removesuffix("2017")
    return SPLIT_NAMES.get(name) or (
        SPLIT_NAMES.get(path.parent.name) if path.name == "_annotations.coco.json" else None
    )


def _labels(content: Any, path: Path) -> LabelSpace:
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise InputError(f"{path}: expected COCO instances, with a list of {key!r}, got none")
    categories = [entry if isinstance(entry, dict) else {"id": entry} for entry in content["categories"]]
    try:
        return LabelSpace.from_dicts({"isthing": 1} | entry for entry in categories)
    except ValueError as error:
        raise InputError(f"{path}: categories: {error}") from error


def _records(
    content: dict[str, Any], path: Path, labels: LabelSpace, images: Path | None, split: str | None
) -> list[Record]:
    """Return the records of a JSON file."""
    entry_of: dict[Any, dict[str, Any]] = {}
    for entry in content["images"]:
        number = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(number, (int, str)) or number in entry_of:
            raise InputError(f"{path}: images: expected entries with distinct ids, got {str(entry)[:100]}")
        entry_of[number] = entry
    if not entry_of:
        raise InputError(f"{path}: images: expected some, got none")
    objects_of: dict[Any, list[dict[str, Any]]] = {number: [] for number in entry_of}
    for entry in content["annotations"]:
        where = f"{path}: annotations: {_name(entry)}"
        number = entry.get("image_id") if isinstance(entry, dict) else None
        if not isinstance(number, (int, str)) or number not in objects_of:
            raise InputError(f"{where}: expected an image_id of 'images', got {number!r}")
        if "segments_info" in entry:
            raise InputError(f"{where}: expected COCO instances, got COCO panoptic, which needs no conversion")
        _class(entry, labels, where)
        objects_of[number].append(entry)
    folders = [images] if images is not None else _image_folders(path)
    records = []
    for number, entry in entry_of.items():
        where = f"{path}: image {number!r}"
        candidates = [inside(folder, entry.get("file_name"), where) for folder in folders]
        image = next((file for file in candidates if file.is_file()), candidates[0])
        size = entry.get("height"), entry.get("width")
        load = partial(_load, path, entry["file_name"], size, objects_of[number], labels)
        records.append(Record(existing(image, where), str(entry["file_name"]), split, load))
    return records


def _image_folders(path: Path) -> list[Path]:
    """Return the folders that may have the images of a JSON file."""
    tag, parent = path.stem.removeprefix("instances_"), path.parent
    bases = [parent.parent, parent] if parent.name == "annotations" else [parent]
    folders = [base / name for base in bases for name in (tag, f"images/{tag}", "images", ".")]
    return [folder for folder in folders if folder.is_dir()]


def _name(entry: Any) -> str:
    """Return how messages call an annotation."""
    return f"annotation {entry['id']!r}" if isinstance(entry, dict) and "id" in entry else str(entry)[:60]


def _class(entry: dict[str, Any], labels: LabelSpace, where: str) -> int:
    category = entry.get("category_id")
    if type(category) is not int or category not in labels.class_of_id:
        got = "none" if category is None else repr(category)
        raise InputError(f"{where}: expected a category_id of 'categories', got {got}")
    return labels.class_of_id[category]


def _load(
    path: Path,
    image: str,
    listed: tuple[Any, Any],
    objects: list[dict[str, Any]],
    labels: LabelSpace,
    size: tuple[int, int],
) -> Truth:
    """Draw the objects of an image."""
    if any(expected not in (None, side) for expected, side in zip(listed, size, strict=True)):
        raise InputError(f"{path}: image {image!r}: expected the height and width of the file, {size}, got {listed}")
    drawn = []
    for entry in objects:
        where = f"{path}: annotations: {_name(entry)}"
        shape, clipped = entry.get("segmentation"), False
        if isinstance(shape, dict):
            mask = run_length_mask(shape, size, where)
        elif isinstance(shape, list):
            mask, clipped = polygon_mask(shape, size, where)
        else:
            raise InputError(f"{where}: expected a segmentation of polygons or run lengths, got {shape!r}")
        crowd = bool(entry.get("iscrowd", 0))
        drawn.append(Drawn.of(mask, _class(entry, labels, where), crowd=crowd, clipped=clipped))
    return draw(drawn, size)
