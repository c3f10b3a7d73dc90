"""Reading the per-image scores of several models on one ground truth, as ``score`` and ``evaluate`` write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from panoptic.comparison.images import Images, ImageTable, read_images, same_truth
from panoptic.errors import InputError

QUALITY, BOUNDARY_QUALITY, BOUNDARY_F1 = "quality", "boundary_quality", "boundary_f1"
SETTINGS = {BOUNDARY_QUALITY: "dilation_ratio", BOUNDARY_F1: "tolerance"}
"""Setting that scores were computed with, by the numbers that depend on it."""


@dataclass(frozen=True)
class ScoreFile:
    """Scores of a model, image by image.

    Attributes:
        name: Unique name of the model.
        path: Path of the table.
        images: Results by image.
        sums: Numbers that add up over images, by image and category: :data:`QUALITY`, and where the table has them
            :data:`BOUNDARY_QUALITY`, both with sum of IoU, true positives, false positives and false negatives, and
            :data:`BOUNDARY_F1`, with the score and 1 where the category occurs.
        things: Names of the thing categories, or ``None`` if unknown.
        settings: ``dilation_ratio`` and ``tolerance``, as far as they are known.
        boundary_remark: Why Boundary PQ says little of the images; ``None`` if it does not, or nothing is known.
    """

    name: str
    path: Path
    images: Images
    sums: dict[str, Float64[np.ndarray, "I C K"]]
    things: frozenset[str] | None
    settings: dict[str, float]
    boundary_remark: str | None


def read_score_files(paths: Sequence[Path], names: Sequence[str] | None = None) -> tuple[list[ScoreFile], list[str]]:
    """Read the tables of several models.

    Args:
        paths: Paths of the tables, two at least.
        names: Names of the models; by default those of the files, or whole paths if these are the same.

    Returns:
        Tables with the categories in the order of the first one, and warnings about what cannot be compared.

    Raises:
        InputError: If a file is damaged, or the files are not of the same images, categories and ground truth.
    """
    if len(paths) < 2:
        raise InputError(f"scores: expected two files at least, as scores=[A,B], got {len(paths)}")
    if names is not None and (len(names) != len(paths) or len(set(names)) != len(names)):
        raise InputError(f"names: expected {len(paths)} different names, one for each file, got {', '.join(names)}")
    first, *others = [_read(path, name) for path, name in zip(paths, names or _names(paths), strict=True)]
    files = [first, *(_aligned(file, first) for file in others)]
    return files, list(_warnings(files))


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the names of the files without what all have, or their paths if these are not different."""
    short = [path.stem.removesuffix("_per_image") for path in paths]
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f"scores: expected different files, got {max(names, key=names.count)} twice")
    return names


def _read(path: Path, name: str) -> ScoreFile:
    """Read a table, and categories and settings from the JSON file beside it, where there is one.

    Raises:
        InputError: If the table or the JSON file is damaged.
    """
    if not path.is_file() or path.suffix.lower() == ".json":
        got = "a folder" if path.is_dir() else "no such file"
        got = "a JSON file" if path.is_file() else got
        raise InputError(f"scores={path}: expected a table with a row for each image (..._per_image.csv), got {got}")
    table = ImageTable(path)
    doubled = [a for a, b in zip(table.ids, table.ids[1:], strict=False) if a == b]
    if doubled:
        raise InputError(f"{path}: expected one row for each image, got several for image {doubled[0]}")
    images = read_images(table)
    sums = {QUALITY: images.counts}
    if table.has(table.count_columns("boundary_")):
        sums[BOUNDARY_QUALITY] = table.counts("boundary_")
    columns = [f"boundary_f1/{category}" for category in table.categories]
    if table.has(columns):
        f1 = table.numbers(columns, may_be_empty=True)
        sums[BOUNDARY_F1] = np.stack([np.nan_to_num(f1), (~np.isnan(f1)).astype(np.float64)], -1)
    return ScoreFile(name, path, images, sums, *_about(path, table.categories))


def result_beside(path: Path) -> Path:
    """Return the path of the JSON file that is written together with a table."""
    own = path.name == "per_image.csv"  # of evaluation
    return path.with_name("scores.json" if own else f"{path.stem.removesuffix('_per_image')}.json")


def _about(path: Path, categories: Sequence[str]) -> tuple[frozenset[str] | None, dict[str, float], str | None]:
    """Return the names of the thing categories, the settings and the remark from the JSON file beside a table.

    Raises:
        InputError: If the JSON file is damaged or of other categories.
    """
    result = result_beside(path)
    if not result.is_file():
        return None, {}, None
    try:
        content: Any = json.loads(result.read_text(encoding="utf-8"))
        settings = {key: float(content[key]) for key in SETTINGS.values() if key in content}
        remark = content.get("boundary_pq", {}).get("remark")
        found = content.get("categories")
        things = None if found is None else {entry["name"]: bool(entry["isthing"]) for entry in found}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{result}: expected scores as python -m panoptic.score writes them, got: {error}") from None
    if things is not None and set(things) != set(categories):
        raise InputError(
            f"{result}: expected the categories of {path}, got {_first_difference(things, categories, 'category')}"
        )
    return None if things is None else frozenset(name for name in things if things[name]), settings, remark


def _aligned(file: ScoreFile, first: ScoreFile) -> ScoreFile:
    """Return a table with its categories in the order of the first one.

    Raises:
        InputError: If the tables are not of the same images, categories and ground truth.
    """
    own, expected = file.images, first.images
    if own.ids != expected.ids:
        difference = _first_difference(own.ids, expected.ids, "image")
        raise InputError(f"{file.path}: expected the {len(expected.ids)} images of {first.path}, got {difference}")
    if set(own.categories) != set(expected.categories):
        difference = _first_difference(own.categories, expected.categories, "category")
        raise InputError(
            f"{file.path}: expected the {len(expected.categories)} categories of {first.path}, got {difference}"
        )
    order = [own.categories.index(name) for name in expected.categories]
    sums = {kind: values[:, order] for kind, values in file.sums.items()}
    images = own._replace(categories=expected.categories, counts=sums[QUALITY])
    if not same_truth(images, expected):
        raise InputError(
            f"{file.path}: expected scores against the ground truth of {first.path}, got images with other segments"
        )
    if file.things is not None and first.things is not None and file.things != first.things:
        name = min(file.things ^ first.things)
        kinds = ("thing", "stuff") if name in first.things else ("stuff", "thing")
        raise InputError(f"{file.path}: expected {name} to be {kinds[0]}, as in {first.path}, got {kinds[1]}")
    return replace(file, images=images, sums=sums)


def _first_difference(found: Sequence[str] | dict[str, bool], expected: Sequence[str], what: str) -> str:
    """Describe how two collections differ, by number and the first of each kind."""
    missing, more = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    parts = [f"{len(found)}"]
    parts += [f"without {what} {missing[0]}"] if missing else []
    parts += [f"with {what} {more[0]}"] if more else []
    return " ".join(parts)


def _warnings(files: Sequence[ScoreFile]) -> Iterator[str]:
    """Say what is left out of a comparison, and why."""
    if all(file.things is None for file in files):
        yield (
            f"things and stuff are not told apart: which categories are things is in {result_beside(files[0].path)}, "
            "which is not there or of an earlier version"
        )
    yield from dict.fromkeys(file.boundary_remark for file in files if file.boundary_remark)
    titles = {BOUNDARY_QUALITY: "Boundary PQ", BOUNDARY_F1: "boundary F1"}
    for kind, setting in SETTINGS.items():
        lacking = [file.name for file in files if kind not in file.sums]
        if lacking and len(lacking) < len(files):
            yield f"{titles[kind]} is left out: {', '.join(lacking)} has none"
        values = {file.name: file.settings[setting] for file in files if setting in file.settings}
        if not lacking and len(set(values.values())) > 1:
            listed = ", ".join(f"{value:g} ({name})" for name, value in values.items())
            yield f"{titles[kind]} is left out: it was computed with another {setting}, {listed}"


def compared_kinds(files: Sequence[ScoreFile]) -> list[str]:
    """Return the kinds of numbers that all files have, computed with the same settings, and that say something."""
    shared = [kind for kind in files[0].sums if all(kind in file.sums for file in files)]
    if any(file.boundary_remark for file in files):
        shared = [kind for kind in shared if kind != BOUNDARY_QUALITY]
    return [
        kind
        for kind in shared
        if len({file.settings[SETTINGS[kind]] for file in files if SETTINGS.get(kind) in file.settings}) <= 1
    ]
