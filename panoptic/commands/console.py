"""Tables and progress bars for terminals and logs. Does not import torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from panoptic.labels import LabelSpace

if TYPE_CHECKING:
    from panoptic.analysis.evaluation import Evaluated
    from panoptic.segments import Segments

T = TypeVar("T")


def print_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print a table of numbers, given by row and column name."""
    from panoptic.metrics.display import rich_table

    if not rows:
        print(f"{title}: nothing to score")
        return
    _console().print(rich_table(title, rows))


def print_evaluation(evaluated: Evaluated) -> None:
    """Print the scores of an evaluation."""
    from panoptic.metrics.display import SUMMARY, score_rows

    split = evaluated.split
    if evaluated.images == 0:
        written = "predictions were written" if evaluated.predictions else "no predictions were asked for"
        print(f"the truth of split {split} is withheld: {written}, nothing was scored")
    else:
        print_table(f"{split}: {evaluated.images} images", score_rows(evaluated.scores, evaluated.labels, SUMMARY))
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
    print(f"results: {evaluated.folder}")


PRINTED_ROWS = 20
"""Maximum number of images shown by :func:`print_counts`."""


def counts_row(name: str, segments: Segments, labels: LabelSpace) -> tuple[str, ...]:
    """Return the row of an image for :func:`print_counts`: name, size, number of things, and categories."""
    classes = segments.classes.tolist()
    things = sum(labels.is_thing[c] for c in classes)
    categories = ", ".join(labels.names[c] for c in sorted(set(classes)))
    return name, "{1} x {0}".format(*segments.size), str(things), categories


def print_counts(rows: Sequence[tuple[str, ...]], images: int) -> None:
    """Print a table of the predictions for the first images.

    Args:
        rows: Rows from :func:`counts_row`.
        images: Total number of images.
    """
    table = Table(title=f"{images} images", title_justify="left")
    for column in ("image", "size", "things", "categories"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    _console().print(table)
    if images > len(rows):
        print(f"and {images - len(rows)} more")


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of strings, without a header if all columns are unnamed."""
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 or not any(columns) else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    _console().print(table)


def progress(items: Sequence[T] | Iterable[T], description: str, total: int) -> Iterable[T]:
    """Return the items with a progress bar on a terminal, or after printing a line to a log."""
    if not sys.stdout.isatty():
        print(f"{description}: {total}", flush=True)
        return items
    return track(items, description=description, total=total)


def _console() -> Console:
    """Return a console with the terminal's settings, or with plain text of fixed width for a log."""
    return Console() if sys.stdout.isatty() else Console(width=100, no_color=True, highlight=False)
