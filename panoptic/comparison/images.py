"""Reading tables with a row for each image, as evaluation and scoring write them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from panoptic.errors import InputError

COUNTS = ("iou_sum", "tp", "fp", "fn")
TRUTH = ("object_density", "scale_variance")
"""Complexity measures of the ground truth."""


class Images(NamedTuple):
    """Results for each image on which a run was evaluated, sorted by image id.

    Attributes:
        ids: Image ids.
        categories: Names of the categories.
        counts: Sum of IoU, true positives, false positives and false negatives by image and category.
        truth: Object density and scale variance of the ground truth, by image.
        predicted: Predicted object density and scale variance by image, or ``None`` if not recorded.
        levels: Names of the levels weighted by α; empty if not recorded.
        alpha: Fusion weights α by image and level; for local fusion, their mean over locations.
    """

    ids: tuple[str, ...]
    categories: tuple[str, ...]
    counts: Float64[np.ndarray, "I C 4"]
    truth: Float64[np.ndarray, "I 2"]
    predicted: Float64[np.ndarray, "I 2"] | None
    levels: tuple[str, ...]
    alpha: Float64[np.ndarray, "I L"]


class ImageTable:
    """CSV file with a row for each image; rows are sorted by image id.

    Args:
        path: Path of the file.

    Raises:
        InputError: If it is no CSV file, a required column is missing, or there are no rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open(newline="", encoding="utf-8") as file:
                self.header, *rows = [row for row in csv.reader(file) if row] or [[]]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: expected a table as CSV, got: {error}") from None
        self.categories = tuple(name.removeprefix("iou_sum/") for name in self.header if name.startswith("iou_sum/"))
        missing = [name for name in ("image_id", *TRUTH, *self.count_columns()) if name not in self.header]
        if missing or not self.categories or not rows:
            raise InputError(
                f"{path}: expected rows with image_id, {', '.join(TRUTH)} and counts of each category, "
                f"got {f'no {missing[0]}' if missing else 'no categories' if not self.categories else 'no rows'}"
            )
        self._place = {name: i for i, name in enumerate(self.header)}
        self._rows = sorted(rows, key=lambda row: self._cell(row, "image_id"))
        self.ids = tuple(self._cell(row, "image_id") for row in self._rows)

    def count_columns(self, prefix: str = "") -> list[str]:
        """Return the names of the columns of counts, category by category."""
        return [f"{prefix}{count}/{name}" for name in self.categories for count in COUNTS]

    def has(self, names: Iterable[str]) -> bool:
        """Return whether the table has all of some columns."""
        return set(names) <= set(self.header)

    def numbers(
        self, names: Sequence[str], *, finite: bool = True, may_be_empty: bool = False
    ) -> Float64[np.ndarray, "I n"]:
        """Return the numbers in some columns.

        Args:
            names: Names of the columns.
            finite: Whether NaN and infinite numbers are refused.
            may_be_empty: Whether a cell may be empty, which becomes NaN.

        Raises:
            InputError: If a value is not such a number; the message names column and image.
        """

        def number(row: Sequence[str], name: str) -> float:
            cell = self._cell(row, name)
            if may_be_empty and not cell:
                return math.nan
            try:
                value = float(cell)
            except ValueError:
                value = None
            if value is None or (finite and not math.isfinite(value)):
                raise InputError(
                    f"{self.path}: expected a number in each row under {name}, "
                    f"got {cell!r} for image {self._cell(row, 'image_id')}"
                )
            return value

        values = [[number(row, name) for name in names] for row in self._rows]
        return np.array(values, np.float64).reshape(len(self._rows), len(names))

    def counts(self, prefix: str = "") -> Float64[np.ndarray, "I C 4"]:
        """Return sum of IoU, true positives, false positives and false negatives by image and category."""
        counts = self.numbers(self.count_columns(prefix))
        return counts.reshape(len(self.ids), len(self.categories), len(COUNTS))

    def _cell(self, row: Sequence[str], name: str) -> str:
        place = self._place[name]
        return row[place] if place < len(row) else ""


def read_images(table: ImageTable | Path) -> Images:
    """Read the per-image table written by evaluation; unknown columns are ignored.

    Raises:
        InputError: If a required column is missing, there are no rows, or a value is not a number.
    """
    table = table if isinstance(table, ImageTable) else ImageTable(table)
    levels = tuple(name.removeprefix("alpha_") for name in table.header if name.startswith("alpha_"))
    predicted = [f"predicted_{name}" for name in TRUTH]
    return Images(
        table.ids,
        table.categories,
        table.counts(),
        table.numbers(TRUTH),
        table.numbers(predicted, finite=False) if table.has(predicted) else None,
        levels,
        table.numbers([f"alpha_{name}" for name in levels], finite=False),
    )


def same_truth(one: Images, other: Images) -> bool:
    """Return whether two tables of the same images and categories have the same true segments.

    A true segment is found or missed, so that both together do not depend on the prediction.
    """
    segments = [images.counts[..., 1] + images.counts[..., 3] for images in (one, other)]
    return np.array_equal(*segments) and np.allclose(one.truth, other.truth, atol=1e-4)
