"""Where the files of a data set in COCO panoptic format are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from panoptic.data.coco.json import load, read_labels
from panoptic.errors import InputError
from panoptic.labels import LabelSpace

_JSON = (  # candidates for the JSON file of a split, relative to the root, in order of precedence
    "annotations/panoptic_{split}2017.json",
    "annotations/panoptic_{split}.json",
    "panoptic_{split}2017.json",
    "panoptic_{split}.json",
    "{split}/panoptic.json",
)
_INSTANCES = ("annotations/instances_*.json", "instances_*.json", "*/_annotations.coco.json")
_ONLY_JSON = "panoptic.json"  # used for all splits if no split has its own file


def find_json(split: str, root: str | os.PathLike | None, given: str | os.PathLike | None) -> Path | None:
    """Find the JSON file of a split.

    Args:
        split: Name of the split.
        root: Folder of the data set.
        given: Path to use instead of searching below the root; relative to the root if there is one.

    Returns:
        Path of the JSON file; it may not exist if it was given. ``None`` if the split is ``test`` and has none.

    Raises:
        InputError: If neither a root nor a path is given, the root is missing, or no JSON file is found for a split
            other than ``test``.
    """
    base = Path(root).expanduser() if root is not None else Path()
    if root is not None:
        demand_folder(base, "with a data set in COCO panoptic format")
    elif given is None:
        raise InputError(
            "data.root: expected the folder of a data set in COCO panoptic format (or data.<split>.panoptic_json), "
            "got none. data=synthetic needs no files"
        )
    if given is not None:
        return base / Path(given).expanduser()
    path = _existing_json(base, split)
    shared = base / _ONLY_JSON
    if path is None and shared.is_file() and not any(_existing_json(base, other) for other in ("train", "val", "test")):
        return shared
    if path is None and split != "test":
        candidates = ", ".join([*(pattern.format(split=split) for pattern in _JSON), _ONLY_JSON])
        raise InputError(
            f"{base}: expected the JSON file of split {split!r} ({candidates}), got none of them{_hint(base)}"
        )
    return path


def find_image_dir(
    split: str, root: str | os.PathLike | None, given: str | os.PathLike | None, panoptic_json: Path | None
) -> Path | None:
    """Find the folder of the images of a split.

    Args:
        split: Name of the split.
        root: Folder of the data set.
        given: Folder to use instead of searching below the root; relative to the root if there is one.
        panoptic_json: JSON file of the split; the folder of ``panoptic_<name>.json`` may be called ``<name>``.

    Returns:
        Folder of the images; ``None`` if neither it nor the root is given.

    Raises:
        InputError: If the folder is missing or not found.
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
    # The folder of a split may contain images/ next to its JSON file, so images/ precedes the folder itself.
    names = [f"{split}/images", *tags, *(f"images/{tag}" for tag in tags), "images"]
    image_dir = next((base / name for name in names if (base / name).is_dir()), None)
    if image_dir is None:
        candidates = ", ".join(dict.fromkeys(names))
        raise InputError(
            f"{base}: expected a folder with the images of split {split!r} ({candidates}), got none of them"
        )
    return image_dir


def find_panoptic_dir(panoptic_json: Path, given: Path | None = None, key: str | None = None) -> Path:
    """Find the folder with the PNG files of a JSON file.

    It is named like the JSON file and is next to it (the layout of COCO), or next to its parent folder ``annotations``
    (the layout of detectron2).

    Args:
        panoptic_json: JSON file.
        given: Folder to use instead of searching.
        key: Configuration key of the folder, for the error message.

    Raises:
        InputError: If the folder is missing.
    """
    folder = panoptic_json.with_suffix("") if given is None else given
    above = panoptic_json.parent.parent / panoptic_json.stem
    if given is None and not folder.is_dir() and panoptic_json.parent.name == "annotations" and above.is_dir():
        return above
    demand_folder(folder, f"with the PNG files of {panoptic_json}{f' ({key})' if key else ''}")
    return folder


def labels_of_any_split(root: Path) -> LabelSpace:
    """Read the label space of ``val`` or ``train``, for a split without a JSON file.

    Args:
        root: Folder of the data set.

    Raises:
        InputError: If neither split has a JSON file, or it is invalid.
    """
    path = _existing_json(root, "val") or _existing_json(root, "train")
    if path is None:
        raise InputError(f"{root}: expected a JSON file of some split, for its categories, got none")
    return read_labels(load(path), path)


def demand_folder(path: Path, what: str) -> None:
    """Check that a folder exists.

    Args:
        path: Path of the folder.
        what: Description of the contents, for the error message, such as "with images".

    Raises:
        InputError: If it does not.
    """
    if not path.is_dir():
        got = "a file" if path.exists() else "a path that is not there"
        raise InputError(f"{path}: expected a folder {what}, got {got}")


def _hint(root: Path) -> str:
    """Return what to do with the files of COCO instances that a folder has in place of COCO panoptic, if any."""
    found = [path for pattern in _INSTANCES for path in sorted(root.glob(pattern))]
    if not found or any(_existing_json(root, split) for split in ("train", "val", "test")):
        return ""
    return (
        f"; {found[0].relative_to(root)} is of COCO instances, which python -m panoptic.convert format=coco_instances "
        f"input={root} output=DIR converts"
    )


def _existing_json(root: Path, split: str) -> Path | None:
    """Return the first existing candidate for the JSON file of a split."""
    candidates = (root / pattern.format(split=split) for pattern in _JSON)
    return next((path for path in candidates if path.is_file()), None)
