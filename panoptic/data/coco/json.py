"""The JSON file of a data set in COCO panoptic format: where it is, and what it says."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from panoptic.errors import InputError
from panoptic.labels import LabelSpace

_JSON = (  # where the JSON file of a split is looked for below the root, in this order
    "annotations/panoptic_{split}2017.json",
    "annotations/panoptic_{split}.json",
    "panoptic_{split}2017.json",
    "panoptic_{split}.json",
    "{split}/panoptic.json",
)
_ONLY_JSON = "panoptic.json"  # serves every split, where no split has a file of its own


@dataclass(frozen=True)
class ImageList:
    """What ``images`` says, in its order: distinct ids, file names, and heights and widths where they are given."""

    ids: list[int | str]
    file_names: list[str]
    sizes: list[tuple[int | None, int | None]]

    @classmethod
    def parse(cls, content: dict[str, Any], path: Path) -> ImageList:
        """Reads ``images``.

        Raises:
            InputError: if there is none, one lacks its id or file name, or two share an id.
        """
        where = f"{path}: images"
        entries = _get(content, "images", (list,), str(path))
        ids = [_get(entry, "id", (int, str), where) for entry in entries]
        doubled = _doubled(ids)
        if not ids or doubled:
            raise InputError(f"{where}: expected distinct ids, got {f'twice {some(doubled)}' if doubled else 'none'}")
        sizes = [tuple(_get(e, side, (int, type(None)), where) for side in ("height", "width")) for e in entries]
        return cls(ids, [_file_name(entry, where) for entry in entries], sizes)


@dataclass(frozen=True)
class SegmentTable:
    """What ``annotations`` says, in the order of the images.

    Flat arrays, since data-loading workers share them: millions of small dicts would be copied by reference counting.

    Attributes:
        file_names: the PNG of each image.
        starts: the first row of each image, and the number of all rows.
        ids: the number of each segment in its PNG.
        classes: the class of each segment.
        crowd: whether it is a crowd; never true for stuff, whatever the file says, unless asked for.
        scores: its score; NaN where there is none.
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
        """Reads ``annotations``.

        Args:
            content: of the file.
            path: of the file.
            labels: its label space.
            image_ids: of the images that must have one each.
            lowest_id: of a segment. The official evaluators take pixels of 0 for void in the truth, and for a segment
                in predictions that list one with this id.
            stuff_crowd: whether a crowd of a stuff category is one, as for those evaluators.

        Raises:
            InputError: if it is not exactly one for each image, or one is invalid.
        """
        where = f"{path}: annotations"
        entries = _get(content, "annotations", (list,), str(path))
        of_image = {_get(entry, "image_id", (int, str), where): entry for entry in entries}
        if len(of_image) < len(entries):
            doubled = _doubled(entry["image_id"] for entry in entries)
            raise InputError(f"{where}: expected one for each of 'images', got more for {some(doubled)}")
        known = set(image_ids)
        strange = [image_id for image_id in of_image if image_id not in known]
        if strange:
            raise InputError(f"{where}: expected an image_id that is in 'images', got {some(strange)}")
        bare = [image_id for image_id in image_ids if image_id not in of_image]
        if bare:
            raise InputError(f"{where}: expected one for each of 'images', got none for {some(bare)}")
        ordered = [of_image[image_id] for image_id in image_ids]
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
        """Copies of the ids, classes, crowd and scores of one image."""
        rows = slice(self.starts[index], self.starts[index + 1])
        return self.ids[rows].copy(), self.classes[rows].copy(), self.crowd[rows].copy(), self.scores[rows].copy()


def _read_rows(
    annotation: dict[str, Any], where: str, labels: LabelSpace, lowest_id: int, stuff_crowd: bool
) -> list[tuple[int, int, bool, float]]:
    """Id, class, crowd and score of each segment of an image."""
    rows = []
    for info in _get(annotation, "segments_info", (list,), where):
        segment = _get(info, "id", (int,), where)
        if not lowest_id <= segment < 1 << 24:
            raise InputError(f"{where}: expected segment ids of {lowest_id} to {(1 << 24) - 1}, got {segment}")
        category = _get(info, "category_id", (int,), where)
        c = labels.class_of_id.get(category)
        if c is None:
            raise InputError(f"{where}: segment {segment}: expected a category_id of 'categories', got {category}")
        crowd = bool(_get(info, "iscrowd", (int, bool), where, 0)) and (stuff_crowd or labels.is_thing[c])
        rows.append((segment, c, crowd, _score(info, where)))
    doubled = _doubled(row[0] for row in rows)
    if doubled:
        raise InputError(f"{where}: expected distinct segment ids, got twice {some(doubled)}")
    return rows


def annotated_images(content: dict[str, Any], path: Path) -> list[int | str]:
    """The image ids of ``annotations``, in their order.

    Raises:
        InputError: if there is none, one lacks its image id, or two share one.
    """
    where = f"{path}: annotations"
    ids = [_get(entry, "image_id", (int, str), where) for entry in _get(content, "annotations", (list,), str(path))]
    doubled = _doubled(ids)
    if not ids or doubled:
        raise InputError(f"{where}: expected distinct image ids, got {f'twice {some(doubled)}' if doubled else 'none'}")
    return ids


def find_json(split: str, root: str | os.PathLike | None, given: str | os.PathLike | None) -> Path | None:
    """The JSON file of a split; ``None`` if it is the test split that has none.

    Raises:
        InputError: if the root is not there, or no file is where one may be.
    """
    base = Path(root).expanduser() if root is not None else Path()
    if root is not None:
        demand_folder(base, "with a data set in COCO panoptic format")
    elif given is None:
        raise InputError(
            "data.root: expected the folder of a data set in COCO panoptic format (or data.panoptic_json), got none. "
            "data=synthetic needs no files"
        )
    if given is not None:
        return base / Path(given).expanduser()
    found = _existing(base, split)
    only = base / _ONLY_JSON
    if found is None and only.is_file() and not any(_existing(base, other) for other in ("train", "val", "test")):
        return only
    if found is None and split != "test":
        looked = ", ".join([*(pattern.format(split=split) for pattern in _JSON), _ONLY_JSON])
        raise InputError(f"{base}: expected the JSON file of split {split!r} ({looked}), got none of them")
    return found


def find_image_dir(
    split: str, root: str | os.PathLike | None, given: str | os.PathLike | None, panoptic_json: Path | None
) -> Path | None:
    """The folder of a split's images; ``None`` if neither it nor the root is given.

    Raises:
        InputError: if it is not there, or no folder is where one may be.
    """
    base = Path(root).expanduser() if root is not None else Path()
    if given is not None:
        folder = base / Path(given).expanduser()
        demand_folder(folder, "with images")
        return folder
    if root is None:
        return None
    tags = [f"{split}2017", split]
    if panoptic_json is not None and panoptic_json.stem.startswith("panoptic_"):
        tags.insert(0, panoptic_json.stem.removeprefix("panoptic_"))
    # A split's own folder may hold images/ beside its JSON file, so that comes before the folder itself.
    names = [f"{split}/images", *tags, *(f"images/{tag}" for tag in tags), "images"]
    found = next((base / name for name in names if (base / name).is_dir()), None)
    if found is None:
        looked = ", ".join(dict.fromkeys(names))
        raise InputError(f"{base}: expected a folder with the images of split {split!r} ({looked}), got none of them")
    return found


def find_panoptic_dir(panoptic_json: Path, given: Path | None = None, key: str | None = None) -> Path:
    """Return the folder with the PNG files of a JSON file.

    It is named like the JSON file and stands beside it, as COCO unzips, or beside its folder ``annotations``, as
    detectron2 has it.

    Args:
        panoptic_json: JSON file.
        given: Folder to use instead.
        key: Configuration key of the folder, for the message.

    Raises:
        InputError: If it is not there.
    """
    folder = panoptic_json.with_suffix("") if given is None else given
    above = panoptic_json.parent.parent / panoptic_json.stem
    if given is None and not folder.is_dir() and panoptic_json.parent.name == "annotations" and above.is_dir():
        return above
    demand_folder(folder, f"with the PNG files of {panoptic_json}{f' ({key})' if key else ''}")
    return folder


def labels_of_any_split(root: Path) -> LabelSpace:
    """The label space of a data set, for a split without a JSON file.

    Raises:
        InputError: if neither ``val`` nor ``train`` has one.
    """
    found = _existing(root, "val") or _existing(root, "train")
    if found is None:
        raise InputError(f"{root}: expected a JSON file of some split, for its categories, got none")
    return read_labels(load(found), found)


def read_labels(content: dict[str, Any], path: Path) -> LabelSpace:
    """The label space in ``categories``.

    Raises:
        InputError: if it is missing or invalid.
    """
    categories = _get(content, "categories", (list,), str(path))
    try:
        return LabelSpace.from_dicts(categories)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: categories: {error}") from error


def load(path: Path) -> dict[str, Any]:
    """The content of the file.

    Raises:
        InputError: if it is missing, or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), parse_constant=_refuse)
    except OSError as error:
        raise InputError(f"{path}: expected a JSON file, got none that can be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also for text that is no UTF-8
        raise InputError(f"{path}: expected JSON, got text that is not: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object with images, annotations and categories, got {_short(content)}")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def demand_folder(path: Path, what: str) -> None:
    """Raises an InputError if the folder is not there."""
    if not path.is_dir():
        got = "a file" if path.exists() else "a path that is not there"
        raise InputError(f"{path}: expected a folder {what}, got {got}")


def some(values: Iterable) -> str:
    """A few of the values, for an error."""
    values = list(values)
    rest = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return ", ".join(repr(value) for value in values[:5]) + rest


def _existing(root: Path, split: str) -> Path | None:
    candidates = (root / pattern.format(split=split) for pattern in _JSON)
    return next((path for path in candidates if path.is_file()), None)


def _get(entry: Any, key: str, kinds: tuple[type, ...], where: str, default: Any = None) -> Any:
    """The value of a key, which must be of one of these kinds."""
    value = entry.get(key, default) if isinstance(entry, dict) else None
    # Python's True is an int, JSON's true is no number.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        words = " or ".join(dict.fromkeys(_WORDS[kind] for kind in kinds if kind in _WORDS))
        if not isinstance(entry, dict):
            raise InputError(f"{where}: expected an object with {key!r}, got {_short(entry)}")
        got = _short(entry[key]) if key in entry else f"none in {_short(entry)}"
        raise InputError(f"{where}: expected {key!r} to be {words}, got {got}")
    return value


_WORDS = {int: "a whole number", float: "one with decimals", str: "text", list: "a list", bool: "true or false"}


def _score(info: dict[str, Any], where: str) -> float:
    score = _get(info, "score", (int, float), where, float("nan"))
    if abs(score) > 1e30:
        raise InputError(f"{where}: expected 'score' to be a number of some use, got {_short(score)}")
    return float(score)


def _file_name(entry: Any, where: str) -> str:
    name = _get(entry, "file_name", (str,), where)
    if not name or "\0" in name or not name.isprintable():
        raise InputError(f"{where}: expected 'file_name' to name a file, got {name!r}")
    return name


def _doubled(values: Iterable) -> list:
    return [value for value, count in Counter(values).items() for _ in range(count - 1)]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
