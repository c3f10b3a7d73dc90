"""Writing a comparison as CSV files with unrounded numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from panoptic.comparison.differences import Comparison, Difference, points
from panoptic.comparison.report import minutes, verdict
from panoptic.comparison.runs import SCORES
from panoptic.comparison.spread import spread
from panoptic.utils.statistics import NOTHING


def write_tables(folder: Path, comparison: Comparison) -> None:
    """Write one file per kind of result; scores are in points, and missing values are empty."""
    base = comparison.baseline.name
    columns: tuple[str, ...] = ("variant", "score", "mean", "std", "runs")
    rows: list[Sequence[object]] = []
    for variant in comparison.variants:
        spreads = {score: spread(points(variant.runs, score)) for score in SCORES} | {"minutes": minutes(variant)}
        rows += [(variant.name, score, *values) for score, values in spreads.items()]
    _write(folder / "variants.csv", columns, rows)
    columns = ("variant", "baseline", "score", "mean", "std", "pairs", "t_low", "t_high")
    rows = [
        (d.variant, base, d.score, *d.points, *d.interval[1:], *d.bootstrap[1:], _resampled(d), verdict(d))
        for d in comparison.differences
    ]
    _write(folder / "differences.csv", (*columns, "bootstrap_low", "bootstrap_high", "bootstrap_of", "says"), rows)
    rows = [
        (row.category, row.baseline, name, *estimate)
        for row in comparison.category_rows
        for name, estimate in (row.differences or {"": NOTHING}).items()
    ]
    _write(folder / "categories.csv", ("category", "baseline_pq", "variant", "difference", "low", "high"), rows)
    rows = []
    for row in comparison.quartile_rows:
        for name, score in row.scores.items():
            difference = row.differences.get(name, ("", "", ""))
            rows.append((row.measure, row.quartile, row.low, row.high, row.images, name, *score, *difference))
    columns = ("measure", "quartile", "low", "high", "images", "variant", "mean", "std", "runs")
    _write(folder / "quartiles.csv", (*columns, "difference", "low", "high"), rows)
    per_category = [f"pq/{name}" for name in comparison.categories]
    rows = [
        (v.name, run.seed, run.folder, run.minutes, *(run.scores.get(score, "") for score in (*SCORES, *per_category)))
        for v in comparison.variants
        for run in v.runs
    ]
    _write(folder / "runs.csv", ("variant", "seed", "folder", "minutes", *SCORES, *per_category), rows)


def _resampled(difference: Difference) -> str:
    return "seeds and images" if difference.over_images else "seeds"


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in rows)
