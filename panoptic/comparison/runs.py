"""Reading finished runs from folders, with their scores and per-image results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from panoptic.comparison.images import Images, read_images
from panoptic.errors import InputError

SPLITS = ("test", "val")
SCORES = ("pq", "pq_things", "pq_stuff", "boundary_f1", "boundary_pq", "mean_iou")
"""Scores of a run that are compared, in addition to ``pq/<category>``."""


@dataclass(frozen=True)
class Run:
    """Finished run.

    Attributes:
        folder: Folder of the run.
        seed: Random seed.
        config: Resolved configuration.
        summary: Content of ``summary.json``.
        finished: Modification time of ``summary.json``, in seconds since the epoch.
        scores: Available :data:`SCORES` and ``pq/<category>``, each in 0..1.
        evaluation: Content of ``scores.json``; empty if the scores come from the summary.
        images: Per-image results, or ``None`` if not available.
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
    def boundary_remark(self) -> str | None:
        """Why Boundary PQ is left out; ``None`` if it is not."""
        if self.evaluation:
            return (self.evaluation.get("boundary_pq") or {}).get("remark")
        return self.summary.get("boundary_remark")

    @property
    def minutes(self) -> float:
        """Training time in minutes."""
        return float(self.summary["seconds"]) / 60


def read_runs(folders: Sequence[Path], split: str | None) -> tuple[list[Run], str, list[Path]]:
    """Read all finished runs below some folders.

    Args:
        folders: Folders of runs or sweeps, or parents of such folders.
        split: Split of the scores; ``None`` selects test if any run was evaluated on it, else val.

    Returns:
        Runs sorted by folder, the split, and the folders of unfinished runs and of those whose losses are not finite.

    Raises:
        InputError: If there is no run, a run was not evaluated on the split, or a file is damaged.
    """
    finished, unfinished = find_runs(folders)
    if not finished:
        named = ", ".join(map(str, folders))
        more = f"; {len(unfinished)} there have not finished" if unfinished else ""
        raise InputError(f"runs={named}: expected folders with the summary.json of finished runs, got none{more}")
    if split is None:
        split = "test" if any((folder / "evaluate_test").is_dir() for folder in finished) else "val"
    runs = [read_run(folder, split) for folder in finished]
    sound = [run for run in runs if _is_finite(run.summary)]
    if not sound:
        raise InputError(f"runs={runs[0].folder}: expected runs with finite losses, got none")
    return sound, split, [*unfinished, *(run.folder for run in runs if not _is_finite(run.summary))]


def _is_finite(summary: Mapping[str, Any]) -> bool:
    """Return whether the losses of a run are finite, which runs of earlier versions did not ensure."""
    losses = [value for name, value in summary["last"].items() if name.startswith("val/loss")]
    return all(isinstance(value, (int, float)) and math.isfinite(value) for value in losses)


def find_runs(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Find the folders of finished runs, and those of runs with a ``config.yaml`` but no summary.

    Returns:
        Folders of finished and of unfinished runs, each sorted and without duplicates.

    Raises:
        InputError: If one of the folders does not exist or is a file.
    """
    finished: dict[Path, Path] = {}
    started: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            reason = "a file" if folder.exists() else "no such folder"
            raise InputError(f"runs={folder}: expected a folder with runs, got {reason}")
        for by_real_path, name in ((finished, "summary.json"), (started, "config.yaml")):
            for path in folder.rglob(name):
                if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                    by_real_path.setdefault(path.parent.resolve(), path.parent)
    unfinished = [path for real_path, path in started.items() if real_path not in finished]
    return sorted(finished.values()), sorted(unfinished)


def read_run(folder: Path, split: str) -> Run:
    """Read a finished run with its scores on a split.

    For val, the scores at the end of training are used if the run was not evaluated.

    Raises:
        InputError: If a file is damaged, or the run was not evaluated on the split.
    """
    path = folder / "summary.json"
    required: dict[str, type | tuple[type, ...]] = {
        "seed": int,
        "seconds": (int, float),
        "last": dict,
        "config": dict,
    }
    summary = _read_json(path, required, {"versions": dict})
    run = Run(folder, summary["seed"], summary["config"], summary, path.stat().st_mtime, {}, {})
    evaluated = folder / f"evaluate_{split}"
    if (evaluated / "scores.json").is_file():
        return _with_evaluation(run, evaluated)
    if split == "val" and not evaluated.is_dir():
        last = {name.removeprefix("val/"): value for name, value in summary["last"].items() if name.startswith("val/")}
        kept = {name: value for name, value in last.items() if name in SCORES or name.startswith("pq/")}
        if summary.get("boundary_remark"):
            kept.pop("boundary_pq", None)
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
    required = {"all": dict, "things": dict, "stuff": dict, "per_class": dict}
    evaluation = _read_json(folder / "scores.json", required, {"images": int, "fusion": dict, "categories": list})
    try:
        scores = _evaluation_scores(evaluation)
        shuffled_change(evaluation)
        things_of(evaluation)
    except (AttributeError, TypeError, KeyError) as error:
        raise InputError(f"{folder / 'scores.json'}: expected scores as evaluation writes them, got: {error}") from None
    table = folder / "per_image.csv"
    return replace(run, scores=scores, evaluation=evaluation, images=read_images(table) if table.is_file() else None)


def _evaluation_scores(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of an evaluation; groups without categories are omitted."""
    scores: dict[str, Any] = {
        name: evaluation[group]["pq"] if evaluation[group]["n"] else None
        for name, group in (("pq", "all"), ("pq_things", "things"), ("pq_stuff", "stuff"))
    }
    if "boundary_pq" in evaluation and not evaluation["boundary_pq"].get("remark"):
        scores["boundary_pq"] = evaluation["boundary_pq"]["all"]["pq"]
    scores |= {name: evaluation.get(name) for name in ("boundary_f1", "mean_iou")}
    return _numbers(scores | {f"pq/{name}": row["pq"] for name, row in evaluation["per_class"].items()})


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Convert scores to floats, dropping missing and NaN values.

    Raises:
        TypeError: If a score is not a number or not in 0..1.
    """
    numbers = {name: float(value) for name, value in scores.items() if value is not None and not math.isnan(value)}
    for name, value in numbers.items():
        if not 0 <= value <= 1:
            raise TypeError(f"{value} as {name}, which is in 0..1")
    return numbers


def shuffled_change(evaluation: Mapping[str, Any]) -> float | None:
    """Return the change of PQ, in points, if the complexity is shuffled among images; ``None`` if not evaluated."""
    shuffled = (evaluation.get("fusion") or {}).get("shuffled") or {}
    if not shuffled.get("pq") or shuffled.get("as_predicted") is None:
        return None
    return 100 * (sum(shuffled["pq"]) / len(shuffled["pq"]) - shuffled["as_predicted"])


def _read_json(
    path: Path, required: Mapping[str, type | tuple[type, ...]], optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """Read a JSON object and check the types of its required keys, and of optional keys if present.

    Raises:
        InputError: If the file is not a JSON object, or a value has the wrong type.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected JSON, got: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}")
    present = {key: kind for key, kind in (optional or {}).items() if content.get(key) is not None}
    for key, kind in {**required, **present}.items():
        if not isinstance(content.get(key), kind):
            expected = "an object" if kind is dict else "a list" if kind is list else "a number"
            raise InputError(f"{path}: expected {expected} under {key}, got {content.get(key)!r}")
    return content


def thing_categories(runs: Sequence[Run]) -> frozenset[str] | None:
    """Return the names of the thing categories from the first evaluation that records them, or ``None``."""
    return next((things for run in runs if (things := things_of(run.evaluation)) is not None), None)


def things_of(evaluation: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the names of the thing categories recorded in an evaluation, or ``None``."""
    categories = evaluation.get("categories")
    return frozenset(c["name"] for c in categories if c.get("isthing")) if categories else None
