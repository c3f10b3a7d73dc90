"""What commands print and where they write. Imports no torch, which a command that reads numbers does without."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from panoptic.errors import InputError
from panoptic.labels import LabelSpace

if TYPE_CHECKING:
    from panoptic.segments import Segments

T = TypeVar("T")


def print_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Prints a table: a row by name, a column by the names of its numbers."""
    from panoptic.metrics.display import rich_table

    if not rows:
        print(f"{title}: nothing to score")
        return
    _console().print(rich_table(title, rows))


def print_counts(images: Mapping[str, Segments], labels: LabelSpace, most: int = 20) -> None:
    """Prints a table of what was found in each image: its size, the number of things, and the categories."""
    table = Table(title=f"{len(images)} images", title_justify="left")
    for column in ("image", "size", "things", "categories"):
        table.add_column(column, overflow="fold")
    for name, segments in list(images.items())[:most]:
        classes = segments.classes.tolist()
        things = sum(labels.is_thing[c] for c in classes)
        found = ", ".join(labels.names[c] for c in sorted(set(classes)))
        table.add_row(name, "{1} x {0}".format(*segments.size), str(things), found)
    _console().print(table)
    if len(images) > most:
        print(f"and {len(images) - most} more")


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table of texts; without a heading if all columns are unnamed."""
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 or not any(columns) else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    _console().print(table)


def write_overlay(path: Path, image: UInt8[np.ndarray, "H W 3"], segments: Segments, labels: LabelSpace) -> None:
    """Writes an image with its segments drawn over it."""
    from panoptic.overlay import overlay

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(overlay(image, segments, labels)).save(path)


def progress(items: Sequence[T] | Iterable[T], description: str, total: int) -> Iterable[T]:
    """The items, behind a progress bar on a terminal; a line in a log."""
    if not sys.stdout.isatty():
        print(f"{description}: {total}", flush=True)
        return items
    return track(items, description=description, total=total)


def output_folder(path: str | Path) -> Path:
    """Makes a folder to write to.

    Raises:
        InputError: if it cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output={folder}: expected a folder that can be written, got: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"output={folder}: expected a folder that can be written, and it cannot")
    return folder


@contextmanager
def made_folder(path: Path | None) -> Iterator[None]:
    """:func:`output_folder` for a block: what was made for it and is still empty goes if the block fails."""
    made = [] if path is None else [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        if path is not None:
            output_folder(path)
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # it was not made, or it is not empty
                folder.rmdir()
        raise


def write_json(path: Path, content: object) -> None:
    """Writes a JSON file whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def _console() -> Console:
    """Plain text of fixed width in a log, the terminal's own otherwise."""
    return Console() if sys.stdout.isatty() else Console(width=100, no_color=True, highlight=False)
