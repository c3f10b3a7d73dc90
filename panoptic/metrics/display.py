"""Tables and plots of the flat dicts of scores that metrics compute."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from panoptic.labels import LabelSpace

COLUMNS = {
    "PQ": ("pq", "pq"),
    "SQ": ("sq", "sq"),
    "RQ": ("rq", "rq"),
    "boundary PQ": ("boundary_pq", "boundary_pq"),
    "boundary SQ": ("boundary_sq", "boundary_sq"),
    "boundary RQ": ("boundary_rq", "boundary_rq"),
    "boundary F1": ("boundary_f1", "boundary_f1"),
    "IoU": ("mean_iou", "iou"),
}
"""Column titles, each with the key of the mean over classes and the prefix of the keys of single classes."""

SUMMARY = ("PQ", "SQ", "RQ", "boundary PQ", "boundary F1", "IoU")
"""Columns of a table that fits on a page."""


NARROW = (
    "boundary PQ is left out: at the size of these images its boundaries are one pixel wide, too narrow for most "
    "contours to match; a larger dilation_ratio widens them"
)


def narrow_remark(scores: Mapping[str, float | Tensor]) -> str | None:
    """Return why tables leave out Boundary PQ, which they do if its boundaries are a pixel wide in most images.

    Args:
        scores: Scores by name, as metrics compute them.
    """
    return NARROW if scores.get("boundary_narrow", 0) > 0.5 else None


def summary_columns(scores: Mapping[str, float | Tensor]) -> tuple[str, ...]:
    """Return the columns of a table that fits on a page: :data:`SUMMARY` without what says little of the images."""
    return tuple(name for name in SUMMARY if name != "boundary PQ" or narrow_remark(scores) is None)


def score_rows(
    scores: Mapping[str, float | Tensor], labels: LabelSpace, columns: Sequence[str] = tuple(COLUMNS)
) -> dict[str, dict[str, float]]:
    """Arrange scores by row (all, things, stuff, each category) and column, without missing and NaN scores.

    Args:
        scores: Scores by name, as metrics compute them.
        labels: Label space of the scores.
        columns: Columns to include, keys of :data:`COLUMNS`.
    """
    suffixes = [("all", ""), ("things", "_things"), ("stuff", "_stuff")]
    keys = {row: {c: f"{COLUMNS[c][0]}{suffix}" for c in columns} for row, suffix in suffixes}
    keys |= {
        f"{name} (category)" if name in keys else name: {c: f"{COLUMNS[c][1]}/{name}" for c in columns}
        for name in labels.names
    }
    rows = {
        row: {column: float(scores[key]) for column, key in named.items() if key in scores}
        for row, named in keys.items()
    }
    without_nan = {row: {c: v for c, v in cells.items() if not math.isnan(v)} for row, cells in rows.items()}
    return {row: cells for row, cells in without_nan.items() if cells}


def error_rows(errors: Mapping[str, Any], name: str) -> dict[str, dict[str, int]]:
    """Arrange counts of errors by row (all, things, stuff, each category) and kind, without rows of zeros.

    Args:
        errors: Counts as :meth:`panoptic.metrics.per_image.Evaluation.result` has them under ``errors``.
        name: ``fn`` for true segments that are missed, ``fp`` for predicted ones that are false.
    """
    groups = {group: errors[group][name] for group in ("all", "things", "stuff")}
    named = errors["per_class"].items()
    groups |= {f"{category} (category)" if category in groups else category: counts[name] for category, counts in named}
    rows = {row: {kind.replace("_", " "): n for kind, n in kinds.items()} for row, kinds in groups.items()}
    return {row: {"in all": sum(kinds.values())} | kinds for row, kinds in rows.items() if any(kinds.values())}


def rich_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    """Build a table from rows of numbers by column; the columns are those of all rows."""
    table = Table(title=escape(title), title_justify="left")
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for name, row in rows.items():
        table.add_row(escape(name), *(f"{row[c]:.4f}" if c in row else "" for c in columns))
    return table


def text_table(title: str, rows: Mapping[str, Mapping[str, float]], width: int = 120) -> str:
    """Render :func:`rich_table` as plain text, at most ``width`` characters wide."""
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(rich_table(title, rows))
    return capture.get()


def plot_rows(title: str, rows: Mapping[str, Mapping[str, float]], ax: Any = None) -> tuple[Any, Any]:
    """Plot horizontal bars on a scale of 0 to 1, with a group for each row and a color for each column.

    Args:
        title: Title of the plot.
        rows: Scores by row and column, as returned by :func:`score_rows`.
        ax: Matplotlib axes to draw on. By default new ones.

    Returns:
        Figure and axes.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(7, 1.2 + 0.3 * max(len(rows), 1)), layout="constrained")
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    thickness = 0.8 / max(len(columns), 1)
    for i, column in enumerate(columns):
        positions = [y + (i - (len(columns) - 1) / 2) * thickness for y in range(len(rows))]
        values = [row.get(column, float("nan")) for row in rows.values()]
        ax.barh(positions, values, height=thickness, label=column)
    ax.set(xlim=(0, 1), yticks=range(len(rows)), yticklabels=list(rows), title=title)
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.3)
    if columns:
        ax.legend(loc="best")
    return ax.figure, ax
