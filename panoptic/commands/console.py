"""Tables and progress bars for terminals and logs. Does not import torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from panoptic.labels import LabelSpace

if TYPE_CHECKING:
    from panoptic.analysis.evaluation import Evaluated

T = TypeVar("T")


def print_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table of scores or counts, given by row and column name."""
    if not rows:
        print(f"{title}: nothing to score")
        return
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [[name, *(_cell(row.get(c)) for c in columns)] for name, row in rows.items()]
    print_rows(title, ["", *columns], cells)


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def print_errors(errors: Mapping[str, Any]) -> None:
    """Print tables of what went wrong, those with a row only.

    Args:
        errors: Counts as :meth:`panoptic.metrics.per_image.Evaluation.result` has them under ``errors``.
    """
    from panoptic.metrics.display import error_rows

    for name, title in (("fn", "true segments that are missed"), ("fp", "predicted segments that are false")):
        if rows := error_rows(errors, name):
            print_table(title, rows)


def print_evaluation(evaluated: Evaluated) -> None:
    """Print the scores of an evaluation."""
    from panoptic.metrics.display import narrow_remark, score_rows, summary_columns

    split = evaluated.split
    if evaluated.images == 0:
        written = "predictions were written" if evaluated.predictions else "no predictions were asked for"
        print(f"the truth of split {split} is withheld: {written}, nothing was scored")
    else:
        columns = summary_columns(evaluated.scores)
        print_table(f"{split}: {evaluated.images} images", score_rows(evaluated.scores, evaluated.labels, columns))
        for note in (evaluated.settings.note(evaluated.labels), narrow_remark(evaluated.scores)):
            if note:
                print(note)
        print_errors(evaluated.errors)
        if evaluated.calibration_errors:
            errors = ", ".join(f"{kind} {error:.3f}" for kind, error in evaluated.calibration_errors.items())
            print(f"scores of segments are off by (expected calibration error): {errors}")
        if evaluated.worst:
            print_table(f"the {len(evaluated.worst)} images with the lowest PQ", evaluated.worst)
        if evaluated.oracle is not None:
            print_table("PQ if parts of the outputs were true", evaluated.oracle)
        if evaluated.shuffled is not None:
            rounds = evaluated.shuffled
            print(
                f"PQ with the complexity of the images shuffled among them: {sum(rounds) / len(rounds):.4f}, "
                f"the mean of {len(rounds)}"
            )
    if evaluated.left_out:
        print(f"left out, since they cannot be read: {len(evaluated.left_out)} images, listed in scores.json")
    if evaluated.note:
        print(f"note: {evaluated.note}")
    print(f"results: {evaluated.folder}")


PRINTED_ROWS = 20
"""Maximum number of images shown by :func:`print_counts`."""


def counts_row(name: str, written: Mapping[str, Any], labels: LabelSpace) -> tuple[str, ...]:
    """Return the row of an image for :func:`print_counts`: name, size, number of things, and categories.

    Args:
        name: Name of the image.
        written: ``size`` of the image and its ``segments_info``.
        labels: Label space.
    """
    class_of = {category.id: c for c, category in enumerate(labels.categories)}
    classes = [class_of[info["category_id"]] for info in written["segments_info"]]
    things = sum(labels.is_thing[c] for c in classes)
    categories = ", ".join(labels.names[c] for c in sorted(set(classes)))
    return name, "{1} x {0}".format(*written["size"]), str(things), categories


def print_counts(rows: Sequence[tuple[str, ...]], images: int) -> None:
    """Print a table of the predictions for the first images.

    Args:
        rows: Rows from :func:`counts_row`.
        images: Total number of images.
    """
    table = Table(title=f"{images} images", title_justify="left")
    for column in ("image", "size", "things"):
        table.add_column(column, no_wrap=column != "image", overflow="fold")
    table.add_column("categories")
    for row in rows:
        table.add_row(*map(escape, row))
    _console().print(table)
    if images > len(rows):
        print(f"and {images - len(rows)} more")


def print_rows(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1, group: int = 1
) -> None:
    """Print a table of strings, without a header if all columns are unnamed.

    Cells are never broken or cut. A table that is wider than the terminal, or than 100 characters in a log, is printed
    in parts that each begin with the key columns.

    Args:
        title: Title of the table.
        columns: Names of the columns.
        rows: Cells of each row.
        keys: Number of key columns, at the left.
        group: Number of other columns that stay together.
    """
    named = any(columns)
    console = _console()
    parts = table_parts(columns, rows, console.width, keys, group) if named else [range(len(columns))]
    for part in parts:
        table = Table(title=escape(title), title_justify="left", show_header=named)
        for i in part:
            left = i < keys or not named
            table.add_column(escape(columns[i]), justify="left" if left else "right", no_wrap=named or i < keys)
        for row in rows:
            table.add_row(*(escape(row[i]) for i in part))
        if named:
            console.width = max(console.width, _width(columns, rows, part))
        console.print(table)


def table_parts(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, keys: int, group: int
) -> list[list[int]]:
    """Return the columns of each part of a table, as few parts as fit into a width. Split groups that are wider."""
    first = list(range(keys))
    parts = [first]
    groups = [list(range(start, min(start + group, len(columns)))) for start in range(keys, len(columns), group)]
    fitting = [[g] if _width(columns, rows, [*first, *g]) <= width else [[column] for column in g] for g in groups]
    for added in (columns_of for split in fitting for columns_of in split):
        if len(parts[-1]) > keys and _width(columns, rows, [*parts[-1], *added]) > width:
            parts.append(first)
        parts[-1] = [*parts[-1], *added]
    return parts


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]], part: Sequence[int]) -> int:
    """Return the characters that some columns of a table take, with their borders."""
    return 1 + sum(3 + max(cell_len(cell) for cell in (columns[i], *(row[i] for row in rows))) for i in part)


def progress(items: Sequence[T] | Iterable[T], description: str, total: int) -> Iterable[T]:
    """Return the items with a progress bar on a terminal, or after printing a line to a log."""
    if not sys.stdout.isatty():
        print(f"{description}: {total}", flush=True)
        return items
    return track(items, description=description, total=total)


def _console() -> Console:
    """Return a console with the terminal's settings, or with plain text of fixed width for a log."""
    return Console() if sys.stdout.isatty() else Console(width=100, no_color=True, highlight=False)
