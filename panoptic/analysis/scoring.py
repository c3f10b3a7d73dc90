"""Shared parts of the scoring commands: parallel scoring, per-image CSV rows, and the worst images."""

from __future__ import annotations

import csv
import heapq
from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from panoptic.config.schema import EvaluateConfig, ScoreConfig
from panoptic.data.coco.pairs import PredictionPairs
from panoptic.errors import InputError, expect_at_least
from panoptic.labels import LabelSpace
from panoptic.metrics.functional import ErrorCounts, PanopticCounts
from panoptic.metrics.per_image import ImageScores, Settings, image_row, score_image
from panoptic.utils.files import replacing
from panoptic.utils.processes import in_processes

Scored = tuple[int | str, str, ImageScores]
"""Image id, file name and scores of one image."""


def scoring_settings(options: EvaluateConfig | ScoreConfig) -> Settings:
    """Return the scoring settings in the options of a command.

    Raises:
        InputError: If an option is out of range.
    """
    expect_at_least(0, worst=options.worst)
    try:
        return Settings(options.boundaries, options.dilation_ratio, options.tolerance)
    except ValueError as error:
        raise InputError(str(error)) from None


def score_pairs(
    pairs: PredictionPairs, settings: Settings, workers: int | None = None
) -> Generator[Scored, None, None]:
    """Score saved predictions image by image, in several processes.

    Args:
        pairs: Predictions and ground truth.
        settings: Scoring settings.
        workers: Number of processes; see :func:`panoptic.utils.processes.in_processes`.

    Yields:
        Id, file name and scores of each image, in order.

    Raises:
        InputError: If an image cannot be scored, or a process was killed.
    """
    with closing(in_processes(_score, (pairs, settings), len(pairs), workers)) as scored:
        for image_id, file_name, arrays in scored:
            yield image_id, file_name, _scores_of(arrays)


def _score(context: tuple[PredictionPairs, Settings], index: int) -> tuple[int | str, str, tuple]:
    pairs, settings = context
    pair = pairs[index]
    scores = score_image(pair.prediction, pair.target, pairs.labels, settings)
    return pair.image_id, pair.file_name, _arrays(scores)


def _arrays(part: Any) -> Any:
    """Convert tensors in nested tuples to arrays; each tensor would be sent through its own shared memory file."""
    if isinstance(part, torch.Tensor):
        return part.numpy()
    return tuple(map(_arrays, part)) if isinstance(part, tuple) else part


def _scores_of(arrays: tuple) -> ImageScores:
    """Invert :func:`_arrays`."""
    quality, confusion, complexity, errors, boundary_quality, boundary_f1, boundary_width = arrays
    return ImageScores(
        PanopticCounts(*map(torch.from_numpy, quality)),
        torch.from_numpy(confusion),
        torch.from_numpy(complexity),
        ErrorCounts(*map(torch.from_numpy, errors)),
        None if boundary_quality is None else PanopticCounts(*map(torch.from_numpy, boundary_quality)),
        None if boundary_f1 is None else torch.from_numpy(boundary_f1),
        boundary_width,
    )


class RowWriter:
    """Writes a CSV file with one row per image; see :func:`panoptic.metrics.per_image.image_row` for its columns.

    Use it as a context manager. The file is written atomically, and rows are not kept in memory.

    Args:
        path: Path of the file; ``None`` writes nothing.
        labels: Label space of all images.
    """

    def __init__(self, path: Path | None, labels: LabelSpace) -> None:
        self.path = path
        self.labels = labels
        self._csv: csv.DictWriter | None = None
        self._stack = ExitStack()

    def __enter__(self) -> RowWriter:
        if self.path is not None and self.path.is_dir():
            raise InputError(f"{self.path}: expected a file to write rows to, got a folder")
        return self

    def add(
        self, image_id: int | str, file_name: str, scores: ImageScores, more: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """Write the row of an image.

        Args:
            image_id: Image id.
            file_name: File name of the image.
            scores: Scores of the image.
            more: Values of further columns, appended to the others.

        Returns:
            Values of the row by column.
        """
        row: dict[str, Any] = {
            "image_id": image_id,
            "file_name": file_name,
            **image_row(scores, self.labels),
            **(more or {}),
        }
        if self.path is not None:
            if self._csv is None:  # no file is written without rows
                part = self._stack.enter_context(replacing(self.path))
                file = self._stack.enter_context(part.open("w", newline="", encoding="utf-8"))
                self._csv = csv.DictWriter(file, list(row))
                self._csv.writeheader()
            self._csv.writerow(row)
        return row

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, at)


class Worst:
    """Collects the images with the lowest PQ.

    Args:
        count: Maximum number of images.
    """

    COLUMNS = ("pq", "boundary_pq", "boundary_f1", "mean_iou", "object_density", "scale_variance")

    def __init__(self, count: int) -> None:
        self.count = count
        self._heap: list[tuple[float, int, dict[str, Any]]] = []
        self._seen = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Add an image, unless it has no class to score.

        Args:
            row: Values of the image by column; see :meth:`RowWriter.add`.
        """
        self._seen += 1
        if self.count == 0 or row["pq"] is None:
            return
        kept: dict[str, Any] = {"image": f"{row['file_name']} (id {row['image_id']})"}
        kept |= {name: row[name] for name in self.COLUMNS if row.get(name) is not None}
        # The smallest key is popped first, so the image with the highest PQ must have it. Earlier images win ties.
        heapq.heappush(self._heap, (-row["pq"], -self._seen, kept))
        if len(self._heap) > self.count:
            heapq.heappop(self._heap)

    def rows(self, left_out: Collection[str] = ()) -> dict[str, dict[str, float]]:
        """Return the scores of the images by file name and id, the worst first.

        Args:
            left_out: Names of scores to leave out.
        """
        ordered = [kept for _, _, kept in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]
        return {
            str(kept["image"]): {name: kept[name] for name in kept if name not in ("image", *left_out)}
            for kept in ordered
        }
