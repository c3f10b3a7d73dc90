"""What the compare command reads: finished runs in folders, with their scores and what was found in each image."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from panoptic.errors import InputError

SPLITS = ("test", "val")
SCORES = ("pq", "pq_things", "pq_stuff", "boundary_f1", "boundary_pq", "mean_iou")
"""The scores of a run that are compared; beside them ``pq/<category>``."""

COUNTS = ("iou_sum", "tp", "fp", "fn")
TRUTH = ("object_density", "scale_variance")


class Images(NamedTuple):
    """What was found in each of the images that a run was evaluated on, in the order of their ids.

    Attributes:
        ids: of the images.
        categories: their names.
        counts: sum of IoU, true positives, false positives and false negatives by image and category.
        truth: object density and scale variance of each image's truth.
        predicted: the same two as predicted, where they were written.
        levels: names of the levels that α weighs; none where it was not written.
        alpha: of each image, the mean over places for local fusion.
    """

    ids: tuple[str, ...]
    categories: tuple[str, ...]
    counts: Float64[np.ndarray, "I C 4"]
    truth: Float64[np.ndarray, "I 2"]
    predicted: Float64[np.ndarray, "I 2"] | None
    levels: tuple[str, ...]
    alpha: Float64[np.ndarray, "I L"]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: of the run.
        seed: of the run.
        config: as it was resolved.
        summary: all of ``summary.json``.
        finished: when that file was written, in seconds.
        scores: those of :data:`SCORES` that there are, and ``pq/<category>``; each in 0..1.
        evaluation: all of ``scores.json``; empty where the scores are those of the summary.
        images: where the run was evaluated image by image.
    """

    folder: Path
    seed: int
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    finished: float
    scores: Mapping[str, float]
    evaluation: Mapping[str, Any]
    images: Images | None = None

    @property
    def minutes(self) -> float:
        """How long it trained."""
        return float(self.summary["seconds"]) / 60


def read_runs(folders: Sequence[Path], split: str | None) -> tuple[list[Run], str, list[Path]]:
    """All finished runs below some folders.

    Args:
        folders: of runs or sweeps, or around them.
        split: whose scores are read; ``None`` is test if any run was evaluated on it, else val.

    Returns:
        The runs in the order of their folders, the split, and the folders of runs that have not finished.

    Raises:
        InputError: if there is no run, one was not evaluated on the split, or a file is damaged.
    """
    found, unfinished = find_runs(folders)
    if not found:
        named = ", ".join(map(str, folders))
        more = f"; {len(unfinished)} there have not finished" if unfinished else ""
        raise InputError(f"runs={named}: expected folders with the summary.json of finished runs, got none{more}")
    if split is None:
        split = "test" if any((folder / "evaluate_test").is_dir() for folder in found) else "val"
    return [read_run(folder, split) for folder in found], split, unfinished


def find_runs(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The folders of finished runs, and those of runs with a ``config.yaml`` but no summary; each once, sorted.

    Raises:
        InputError: if one of the folders is none.
    """
    finished: dict[Path, Path] = {}
    begun: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            came = "a file" if folder.exists() else "no such folder"
            raise InputError(f"runs={folder}: expected a folder with runs, got {came}")
        for kind, name in ((finished, "summary.json"), (begun, "config.yaml")):
            for path in folder.rglob(name):
                if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                    kind.setdefault(path.parent.resolve(), path.parent)
    unfinished = [path for real, path in begun.items() if real not in finished]
    return sorted(finished.values()), sorted(unfinished)


def read_run(folder: Path, split: str) -> Run:
    """A finished run with its scores on a split; on val, those at the end of training where it was not evaluated.

    Raises:
        InputError: if a file is damaged, or the run was not evaluated on the split.
    """
    path = folder / "summary.json"
    parts = {"seed": int, "seconds": (int, float), "last": dict, "config": dict}
    summary = _read_json(path, parts, {"versions": dict})
    run = Run(folder, summary["seed"], summary["config"], summary, path.stat().st_mtime, {}, {})
    evaluated = folder / f"evaluate_{split}"
    if (evaluated / "scores.json").is_file():
        return _with_evaluation(run, evaluated)
    if split == "val" and not evaluated.is_dir():
        last = {name.removeprefix("val/"): value for name, value in summary["last"].items() if name.startswith("val/")}
        kept = {name: value for name, value in last.items() if name in SCORES or name.startswith("pq/")}
        try:
            return replace(run, scores=_numbers(kept))
        except TypeError as error:
            raise InputError(f"{path}: expected numbers under last, got: {error}") from None
    raise InputError(
        f"{evaluated / 'scores.json'}: expected the scores of the run on {split}, got no such file; "
        f"python -m panoptic.evaluate checkpoint={folder}/checkpoints/last.ckpt split={split} makes it, "
        f"and {'split=val' if split == 'test' else 'split=test'} compares other scores"
    )


def _with_evaluation(run: Run, folder: Path) -> Run:
    parts = {"all": dict, "things": dict, "stuff": dict, "per_class": dict}
    found = _read_json(folder / "scores.json", parts, {"images": int, "fusion": dict, "categories": list})
    try:
        scores = _evaluation_scores(found)
        shuffled_change(found)
        things_of(found)
    except (AttributeError, TypeError, KeyError) as error:
        raise InputError(f"{folder / 'scores.json'}: expected scores as evaluation writes them, got: {error}") from None
    table = folder / "per_image.csv"
    return replace(run, scores=scores, evaluation=found, images=read_images(table) if table.is_file() else None)


def _evaluation_scores(found: Mapping[str, Any]) -> dict[str, float]:
    """Of an evaluation; those of a group without a category are left out."""
    scores: dict[str, Any] = {
        name: found[group]["pq"] if found[group]["n"] else None
        for name, group in (("pq", "all"), ("pq_things", "things"), ("pq_stuff", "stuff"))
    }
    if "boundary_pq" in found:
        scores["boundary_pq"] = found["boundary_pq"]["all"]["pq"]
    scores |= {name: found.get(name) for name in ("boundary_f1", "mean_iou")}
    return _numbers(scores | {f"pq/{name}": row["pq"] for name, row in found["per_class"].items()})


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Without those that are missing or NaN.

    Raises:
        TypeError: if one is no number, or not in 0..1.
    """
    known = {name: float(value) for name, value in scores.items() if value is not None and not math.isnan(value)}
    for name, value in known.items():
        if not 0 <= value <= 1:
            raise TypeError(f"{value} as {name}, which is in 0..1")
    return known


def shuffled_change(evaluation: Mapping[str, Any]) -> float | None:
    """What PQ gains, in points, when images get the complexity of others; ``None`` where that was not scored."""
    found = (evaluation.get("fusion") or {}).get("shuffled") or {}
    if not found.get("pq") or found.get("as_predicted") is None:
        return None
    return 100 * (sum(found["pq"]) / len(found["pq"]) - found["as_predicted"])


def _read_json(
    path: Path, expected: Mapping[str, type | tuple[type, ...]], optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected JSON, got: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    there = {key: kind for key, kind in (optional or {}).items() if content.get(key) is not None}
    for key, kind in (expected | there).items():
        if not isinstance(content.get(key), kind):
            what = {dict: "an object", list: "a list"}.get(kind, "a number")
            raise InputError(f"{path}: expected {what} under {key}, got {content.get(key)!r}")
    return content


def read_images(path: Path) -> Images:
    """The table of images that evaluation writes; columns that this does not know are passed over.

    Raises:
        InputError: if it lacks what every such table has, or holds something else than numbers.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a table as CSV, got: {error}") from None
    categories = tuple(name.removeprefix("iou_sum/") for name in header if name.startswith("iou_sum/"))
    levels = tuple(name.removeprefix("alpha_") for name in header if name.startswith("alpha_"))
    needed = ["image_id", *TRUTH, *(f"{count}/{name}" for name in categories for count in COUNTS)]
    missing = [name for name in needed if name not in header]
    if missing or not categories or not rows:
        raise InputError(
            f"{path}: expected rows with image_id, {', '.join(TRUTH)} and counts of each category, "
            f"got {f'no {missing[0]}' if missing else 'no categories' if not categories else 'no rows'}"
        )
    place = {name: i for i, name in enumerate(header)}
    ids = [row[place["image_id"]] for row in rows]
    order = sorted(range(len(rows)), key=ids.__getitem__)

    def columns(names: Sequence[str], finite: bool = True) -> Float64[np.ndarray, "I n"]:
        try:
            values = [[float(rows[i][place[name]]) for name in names] for i in order]
            if finite and not np.isfinite(values).all():
                raise ValueError("NaN or infinite")
        except (ValueError, IndexError):
            raise InputError(f"{path}: expected a number in each row under {', '.join(names[:4])}...") from None
        return np.array(values, np.float64).reshape(len(rows), len(names))

    predicted = [f"predicted_{name}" for name in TRUTH]
    counts = columns([f"{count}/{name}" for name in categories for count in COUNTS])
    return Images(
        tuple(ids[i] for i in order),
        categories,
        counts.reshape(len(rows), len(categories), len(COUNTS)),
        columns(TRUTH),
        columns(predicted, finite=False) if set(predicted) <= set(header) else None,
        levels,
        columns([f"alpha_{name}" for name in levels], finite=False),
    )


def thing_categories(runs: Sequence[Run]) -> frozenset[str] | None:
    """Names of the categories that are things, as the first evaluation that says so has it; ``None`` if none does."""
    return next((things for run in runs if (things := things_of(run.evaluation)) is not None), None)


def things_of(evaluation: Mapping[str, Any]) -> frozenset[str] | None:
    """The same, of one evaluation."""
    categories = evaluation.get("categories")
    return frozenset(c["name"] for c in categories if c.get("isthing")) if categories else None
