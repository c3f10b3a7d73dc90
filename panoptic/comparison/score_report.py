"""Report of a comparison of models by their per-image scores: Markdown, tables as text, and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from panoptic.comparison.images import TRUTH
from panoptic.comparison.report import NAMES, PERCENT, Table, by_chance, number_text, table_lines, with_interval
from panoptic.comparison.score_differences import Row, ScoreComparison
from panoptic.comparison.spread import REPLICATES
from panoptic.utils.statistics import CONFIDENCE, Estimate

SHOWN = ("pq", "sq", "rq", "boundary_pq", "boundary_f1")
"""Scores shown in tables; the JSON file has all."""

TITLES = {**NAMES, "sq": "SQ", "rq": "RQ", "boundary_sq": "boundary SQ", "boundary_rq": "boundary RQ"}

INTERVAL = (
    f"Intervals are {PERCENT} percentile intervals of {REPLICATES} bootstrap replicates over images: they cover other "
    "images of this kind, and not other training seeds, since each file is of one trained model."
)


def score_table(comparison: ScoreComparison) -> Table:
    """Return the scores of each model over all images, in points."""
    shown = [row.score for row in comparison.groups["all"] if row.score in SHOWN]
    rows = [
        [file.name, group, *(number_text(_find(found, score).scores[file.name]) for score in shown)]
        for file in comparison.files
        for group, found in comparison.groups.items()
    ]
    return ["model", "categories", *(TITLES[score] for score in shown)], rows


def difference_table(comparison: ScoreComparison) -> Table:
    """Return the differences of each model to the baseline over all images."""
    shown = [row.score for row in comparison.groups["all"] if row.score in SHOWN]
    rows = [
        [file.name, group, *(with_interval(_find(found, score).differences[file.name]) for score in shown)]
        for file in comparison.others
        for group, found in comparison.groups.items()
    ]
    return ["model", "categories", *(TITLES[score] for score in shown)], rows


def category_table(comparison: ScoreComparison) -> Table:
    """Return PQ of the baseline by category, and the differences of the other models."""
    columns = ["category", "images", comparison.baseline.name, *_less_names(comparison)]
    rows = [
        [name, *_cells(comparison, _find(found, "pq"), [comparison.baseline.name])]
        for name, found in comparison.categories.items()
        if _find(found, "pq").images
    ]
    return columns, rows


def quartile_table(comparison: ScoreComparison, measure: str) -> Table:
    """Return PQ of each model by quartile of a complexity measure, and the differences to the baseline."""
    names = [file.name for file in comparison.files]
    rows = []
    for quartile in comparison.quartiles:
        if quartile.measure == measure:
            row = _find(quartile.groups["all"], "pq")._replace(images=quartile.images)
            about = [str(quartile.quartile), f"{quartile.low:.3g} to {quartile.high:.3g}"]
            rows.append([*about, *_cells(comparison, row, names)])
    return ["quartile", "range", "images", *names, *_less_names(comparison)], rows


def _less_names(comparison: ScoreComparison) -> list[str]:
    return [f"{file.name} less {comparison.baseline.name}" for file in comparison.others]


def _cells(comparison: ScoreComparison, row: Row, names: Sequence[str]) -> list[str]:
    scores = [number_text(row.scores[name]) for name in names]
    return [str(row.images), *scores, *(with_interval(row.differences[file.name]) for file in comparison.others)]


def _find(rows: Sequence[Row], score: str) -> Row:
    return next(row for row in rows if row.score == score)


def markdown(comparison: ScoreComparison, command: str, warnings: Sequence[str]) -> str:
    """Return the report in Markdown.

    Args:
        comparison: Results to report.
        command: Command line that creates the report.
        warnings: What is left out, and why.
    """
    return "\n".join(_lines(comparison, command, warnings))


def _lines(comparison: ScoreComparison, command: str, warnings: Sequence[str]) -> Iterator[str]:
    base = comparison.baseline.name
    yield f"# Comparison of {', '.join(file.name for file in comparison.files)}, image by image\n"
    yield from (f"- {file.name}: `{file.path}`" for file in comparison.files)
    yield f"- command: `{command}`"
    things = comparison.things
    kinds = "" if things is None else f", {len(things)} of things"
    yield f"- {len(comparison.baseline.images.ids)} images, {len(comparison.categories)} categories{kinds}"
    yield f"- baseline: {base}"
    if warnings:
        yield "\n## Warnings\n"
        yield from (f"- {warning}" for warning in warnings)
    yield "\n## Scores\n"
    yield from table_lines(score_table(comparison))
    yield "\nIn points (100 x the score), from the summed counts of all images: means over the categories that occur.\n"
    yield f"## Differences to {base}\n"
    columns, rows = difference_table(comparison)
    yield from table_lines((columns, rows))
    intervals = len(rows) * (len(columns) - 2)
    yield (
        f"\nIn points, the score of the model less that of {base}. {INTERVAL} * marks an interval without 0. "
        f"{by_chance(intervals).strip()}\n"
    )
    yield "## Categories\n"
    columns, rows = category_table(comparison)
    yield from table_lines((columns, rows))
    yield (
        f"\nPQ of {base} in points, then the difference of each other model with its interval over images. Images are "
        "those in which the category is true or predicted; a single one gives no interval, and few give one that is "
        f"too narrow. {by_chance(len(rows) * len(comparison.others)).strip()}\n"
    )
    yield from _quartile_lines(comparison)


def _quartile_lines(comparison: ScoreComparison) -> Iterator[str]:
    yield "## Complexity of the scene\n"
    for measure in TRUTH:
        yield f"By quartile of {NAMES[measure]} of the true segments:\n"
        yield from table_lines(quartile_table(comparison, measure))
        yield ""
    yield (
        "PQ in points of the images of each quartile together, from their summed counts, and the difference with its "
        "interval over the images of the quartile. Images at the value of an edge belong to the lower quartile, and a "
        "quartile that ties leave empty is left out. Different quartiles have different categories and objects: "
        f"compare along a row. {by_chance(len(comparison.quartiles) * len(comparison.others)).strip()}\n"
    )


def as_json(comparison: ScoreComparison, command: str, warnings: Sequence[str]) -> dict[str, Any]:
    """Return everything as plain containers without NaN; docs/metrics.md describes the format."""
    things = comparison.things
    return {
        "command": command,
        "unit": "points, 100 x the score",
        "interval": {
            "confidence": CONFIDENCE,
            "method": "percentiles of a bootstrap over images",
            "replicates": REPLICATES,
            "covers": "images, not training seeds",
        },
        "images": len(comparison.baseline.images.ids),
        "baseline": comparison.baseline.name,
        "files": {file.name: {"path": str(file.path), **file.settings} for file in comparison.files},
        "warnings": list(warnings),
        **_groups(comparison.groups),
        "per_class": {
            name: {"isthing": None if things is None else int(name in things), **_rows(rows)}
            for name, rows in comparison.categories.items()
        },
        "quartiles": {
            measure: [
                {
                    "quartile": quartile.quartile,
                    "low": quartile.low,
                    "high": quartile.high,
                    "images": quartile.images,
                    **_groups(quartile.groups),
                }
                for quartile in comparison.quartiles
                if quartile.measure == measure
            ]
            for measure in TRUTH
        },
    }


def _groups(groups: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    return {group: _rows(rows) for group, rows in groups.items()}


def _rows(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        row.score: {
            "images": row.images,
            "scores": {name: _defined(value) for name, value in row.scores.items()},
            "differences": {name: _interval(estimate) for name, estimate in row.differences.items()},
        }
        for row in rows
    }


def _interval(estimate: Estimate) -> dict[str, float | None]:
    return {name: _defined(value) for name, value in estimate._asdict().items()}


def _defined(value: float) -> float | None:
    """Replace NaN by ``None``."""
    return None if math.isnan(value) else value
