"""Parsing of the JSON files of data sets in COCO panoptic format."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from panoptic.errors import InputError
from panoptic.labels import LabelSpace


@dataclass(frozen=True)
class ImageList:
    """Entries of ``images``, in order.

    Attributes:
        ids: Image ids, distinct.
        file_names: File name of each image.
        sizes: Height and width of each image; ``None`` where not given.
    """

    ids: list[int | str]
    file_names: list[str]
    sizes: list[tuple[int | None, int | None]]

    @classmethod
    def parse(cls, content: dict[str, Any], path: Path) -> ImageList:
        """Parse ``images``.

        Args:
            content: Content of the JSON file.
            path: Path of the JSON file, for error messages.

        Raises:
            InputError: If there are no images, an entry is invalid or has no id or file name, or ids are not distinct.
        """
        where = f"{path}: images"
        entries = _get(content, "images", (list,), str(path))
        ids = [_get(entry, "id", (int, str), where) for entry in entries]
        _check_printable(ids, where)
        duplicates = _duplicates(ids)
        if not ids or duplicates:
            got = f"twice {some(duplicates)}" if duplicates else "none"
            raise InputError(f"{where}: expected distinct ids, got {got}")
        sizes = [tuple(_get(e, side, (int, type(None)), where) for side in ("height", "width")) for e in entries]
        return cls(ids, [_file_name(entry, where) for entry in entries], sizes)


def without_unannotated(content: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Leave out the images that no annotation speaks of, and return how many they are.

    Args:
        content: Content of the JSON file, which may be malformed.
    """
    images, annotations = content.get("images"), content.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        return content, 0
    annotated = {entry.get("image_id") for entry in annotations if isinstance(entry, dict)}
    kept = [entry for entry in images if not isinstance(entry, dict) or entry.get("id") in annotated]
    return {**content, "images": kept}, len(images) - len(kept)


@dataclass(frozen=True)
class SegmentTable:
    """Segments listed in ``annotations``, in the order of the images.

    Segments are stored in flat arrays because data-loading workers share them: reference counting would copy the memory
    of millions of small dicts.

    Attributes:
        file_names: File name of each image's PNG.
        starts: First row of each image, followed by the total number of rows.
        ids: Id of each segment in its PNG.
        classes: Class of each segment.
        crowd: Whether each segment is a crowd; false for stuff regardless of the file, unless parsed with
            ``stuff_crowd``.
        scores: Score of each segment; NaN where not given.
    """

    file_names: list[str]
    starts: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    scores: np.ndarray

    @classmethod
    def parse(
        cls,
        content: dict[str, Any],
        path: Path,
        labels: LabelSpace,
        image_ids: list[int | str],
        *,
        lowest_id: int = 1,
        stuff_crowd: bool = False,
    ) -> SegmentTable:
        """Parse ``annotations``.

        Args:
            content: Content of the JSON file.
            path: Path of the JSON file, for error messages.
            labels: Label space of the JSON file.
            image_ids: Ids of the images, each of which must have exactly one annotation.
            lowest_id: Smallest valid segment id. The official evaluators treat pixels with id 0 as void in the ground
                truth, and also in predictions unless a segment with id 0 is listed.
            stuff_crowd: Whether to keep the crowd flag of stuff categories, as the official evaluators do.

        Raises:
            InputError: If there is not exactly one annotation for each image, or an annotation is invalid.
        """
        where = f"{path}: annotations"
        entries = _get(content, "annotations", (list,), str(path))
        annotation_of = {_get(entry, "image_id", (int, str), where): entry for entry in entries}
        if len(annotation_of) < len(entries):
            duplicates = _duplicates(entry["image_id"] for entry in entries)
            raise InputError(f"{where}: expected one for each of 'images', got more for {some(duplicates)}")
        known = set(image_ids)
        unknown = [image_id for image_id in annotation_of if image_id not in known]
        if unknown:
            raise InputError(f"{where}: expected an image_id that is in 'images', got {some(unknown)}")
        unannotated = [image_id for image_id in image_ids if image_id not in annotation_of]
        if unannotated:
            raise InputError(
                f"{where}: expected one for each of 'images', got none for {some(unannotated)}; data.unannotated=skip "
                "leaves such images out"
            )
        ordered = [annotation_of[image_id] for image_id in image_ids]
        tables = [
            _read_rows(entry, f"{where}: image_id {entry['image_id']!r}", labels, lowest_id, stuff_crowd)
            for entry in ordered
        ]
        rows = [row for table in tables for row in table]
        ids, classes, crowd, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(
            [_file_name(entry, f"{where}: image_id {entry['image_id']!r}") for entry in ordered],
            np.cumsum([0, *(len(table) for table in tables)]),
            np.array(ids, dtype=np.int64),
            np.array(classes, dtype=np.int64),
            np.array(crowd, dtype=bool),
            np.array(scores, dtype=np.float32),
        )

    def rows(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return copies of the ids, classes, crowd flags and scores of one image.

        Args:
            index: Index of the image.
        """
        rows = slice(self.starts[index], self.starts[index + 1])
        return self.ids[rows].copy(), self.classes[rows].copy(), self.crowd[rows].copy(), self.scores[rows].copy()


def _read_rows(
    annotation: dict[str, Any], where: str, labels: LabelSpace, lowest_id: int, stuff_crowd: bool
) -> list[tuple[int, int, bool, float]]:
    """Parse the id, class, crowd flag and score of each segment of an image.

    Stuff that is listed again with the same id and category, as some tools write its parts, is one segment.
    """
    rows: list[tuple[int, int, bool, float]] = []
    stuff: set[tuple[int, int]] = set()
    for info in _get(annotation, "segments_info", (list,), where):
        segment = _get(info, "id", (int,), where)
        if not lowest_id <= segment < 1 << 24:
            raise InputError(f"{where}: expected segment ids of {lowest_id} to {(1 << 24) - 1}, got {segment}")
        category = _get(info, "category_id", (int,), where)
        c = labels.class_of_id.get(category)
        if c is None:
            raise InputError(f"{where}: segment {segment}: expected a category_id of 'categories', got {category}")
        if (segment, c) in stuff:
            continue
        if not labels.is_thing[c]:
            stuff.add((segment, c))
        crowd = bool(_get(info, "iscrowd", (int, bool), where, 0)) and (stuff_crowd or labels.is_thing[c])
        rows.append((segment, c, crowd, _score(info, where)))
    duplicates = _duplicates(row[0] for row in rows)
    if duplicates:
        raise InputError(f"{where}: expected distinct segment ids, got twice {some(duplicates)}")
    return rows


def annotated_images(content: dict[str, Any], path: Path) -> list[int | str]:
    """Return the image ids of ``annotations``, in order.

    Args:
        content: Content of the JSON file.
        path: Path of the JSON file, for error messages.

    Raises:
        InputError: If there are no annotations, one has no image id, or ids are not distinct or cannot be printed.
    """
    where = f"{path}: annotations"
    ids = [_get(entry, "image_id", (int, str), where) for entry in _get(content, "annotations", (list,), str(path))]
    _check_printable(ids, where)
    duplicates = _duplicates(ids)
    if not ids or duplicates:
        got = f"twice {some(duplicates)}" if duplicates else "none"
        raise InputError(f"{where}: expected distinct image ids, got {got}")
    return ids


def _check_printable(ids: list[int | str], where: str) -> None:
    """Raise for ids that no terminal and no UTF-8 file can show, such as half of a surrogate pair."""
    unprintable = [name for name in ids if isinstance(name, str) and not name.isprintable()]
    if unprintable:
        raise InputError(f"{where}: expected ids that can be printed, got {some(unprintable)}")


def read_labels(content: dict[str, Any], path: Path) -> LabelSpace:
    """Parse the label space in ``categories``.

    Args:
        content: Content of the JSON file.
        path: Path of the JSON file, for error messages.

    Raises:
        InputError: If it is missing or invalid, or the file is of COCO instances.
    """
    _refuse_instances(content, path)
    categories = _get(content, "categories", (list,), str(path))
    try:
        return LabelSpace.from_dicts(categories)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: categories: {error}") from error


def _refuse_instances(content: dict[str, Any], path: Path) -> None:
    """Raise for a file of COCO instances, which has an annotation for each object, and none for an image."""
    annotations = content.get("annotations")
    first = annotations[0] if isinstance(annotations, list) and annotations else None
    if isinstance(first, dict) and "segments_info" not in first and {"category_id", "segmentation"} & set(first):
        raise InputError(
            f"{path}: expected COCO panoptic, got COCO instances (annotations without segments_info), which "
            f"python -m panoptic.convert format=coco_instances input={path} output=DIR converts"
        )


def load(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object.

    Args:
        path: Path of the file.

    Raises:
        InputError: If the file cannot be read, or does not contain a JSON object.
    """
    if path.exists() and not path.is_file():  # reading a device or a pipe may never end
        raise InputError(f"{path}: expected a JSON file, got {'a folder' if path.is_dir() else 'no regular file'}")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_reject_constant)
    except OSError as error:
        raise InputError(f"{path}: expected a JSON file, got none that can be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError includes text that is not UTF-8
        raise InputError(f"{path}: expected JSON, got text that is not: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object with images, annotations and categories, got {_short(content)}")
    return content


def _reject_constant(constant: str) -> None:
    """Raise for ``NaN`` and infinities, which Python accepts but JSON does not."""
    raise ValueError(f"{constant} is no number")


def some(values: Iterable) -> str:
    """Format the first five values and the number of the others, for a message."""
    values = list(values)
    rest = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return ", ".join(repr(value) for value in values[:5]) + rest


def _get(entry: Any, key: str, kinds: tuple[type, ...], where: str, default: Any = None) -> Any:
    """Return the value of a key.

    Raises:
        InputError: If ``entry`` is not a dict, or the value is not of one of the types ``kinds``.
    """
    value = entry.get(key, default) if isinstance(entry, dict) else None
    # In Python, bool is a subclass of int; in JSON, true is not a number.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join(dict.fromkeys(_TYPE_NAMES[kind] for kind in kinds if kind in _TYPE_NAMES))
        if not isinstance(entry, dict):
            raise InputError(f"{where}: expected an object with {key!r}, got {_short(entry)}")
        got = _short(entry[key]) if key in entry else f"none in {_short(entry)}"
        raise InputError(f"{where}: expected {key!r} to be {expected}, got {got}")
    return value


_TYPE_NAMES = {int: "a whole number", float: "one with decimals", str: "text", list: "a list", bool: "true or false"}


def _score(info: dict[str, Any], where: str) -> float:
    score = _get(info, "score", (int, float), where, float("nan"))
    if abs(score) > 1e30:
        raise InputError(f"{where}: expected 'score' to be a number of some use, got {_short(score)}")
    return float(score)


def _file_name(entry: Any, where: str) -> str:
    name = _get(entry, "file_name", (str,), where)
    if not name or "\0" in name or not name.isprintable():
        raise InputError(f"{where}: expected 'file_name' to name a file, got {name!r}")
    parts = PureWindowsPath(name)  # splits at slashes of both kinds
    if parts.drive or parts.root or ".." in parts.parts:
        raise InputError(f"{where}: expected 'file_name' to name a file inside its folder, got {name!r}")
    return name


def _duplicates(values: Iterable) -> list:
    """Return each value that occurs ``n > 1`` times, ``n - 1`` times."""
    return [value for value, count in Counter(values).items() for _ in range(count - 1)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
