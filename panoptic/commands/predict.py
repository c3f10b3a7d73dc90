"""``python -m panoptic.predict``: segment images of any size, and write overlays and COCO panoptic PNG + JSON."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from omegaconf import DictConfig

from panoptic.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from panoptic.codec import Outputs
    from panoptic.data.bands import Reading
    from panoptic.labels import LabelSpace
    from panoptic.segments import Segments


def predict(config: DictConfig) -> None:
    """Predict as configured.

    Images that cannot be read are passed over, and listed at the end.

    Raises:
        InputError: If an option or the checkpoint cannot be used, or an image cannot be read; if none can, nothing is
            written.
    """
    from panoptic.commands.console import PRINTED_ROWS, counts_row, print_counts, progress
    from panoptic.data.bands import Reading
    from panoptic.data.coco.writer import CocoPanopticWriter
    from panoptic.data.images import find_images, output_names
    from panoptic.inference.predictor import Predictor
    from panoptic.inference.tta import check_tta
    from panoptic.training.checkpoint import read_checkpoint
    from panoptic.training.runs import default_output
    from panoptic.utils.files import writable_folder
    from panoptic.visualization.overlay import save_overlay

    check_tta(config.tta)
    paths = find_images(config.input)
    checkpoint = read_checkpoint(config.checkpoint, config.overrides)
    failures: list[InputError] = []
    reading = Reading.of_data(checkpoint.config.data)
    images = _readable(list(zip(paths, output_names(paths), strict=True)), reading, failures)
    first = next(images, None)
    if first is None:
        _raise(failures, len(paths))
    predictor = Predictor.load(checkpoint, tta=config.tta, compile=config.compile, resolution=config.resolution)
    folder = writable_folder(config.output or default_output(checkpoint.path, "predict"), "output")
    if config.visualize:
        writable_folder(folder / "overlays", "output")
    names = Counter(path.name for path in paths)
    common = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    rows: list[tuple[str, ...]] = []
    count = 0
    with (
        CocoPanopticWriter(folder, predictor.labels, name="panoptic") as writer,
        (folder / "images.csv").open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for path, name, image in progress(chain([first], images), "predicting images", len(paths)):
            segments, outputs = predictor.predict_one(image)
            file_name = path.name if names[path.name] == 1 else _below(common, path)
            writer.add(name, segments, file_name=file_name)
            table.writerow([file_name, *_numbers(segments, outputs, predictor.labels)])
            count += 1
            if len(rows) < PRINTED_ROWS:
                rows.append(counts_row(file_name, segments, predictor.labels))
            if config.visualize:
                save_overlay(folder / "overlays" / f"{name}.png", image, segments, predictor.labels)
    print_counts(rows, count)
    if note := predictor.limit_note():
        print(f"note: {note}")
    print(f"results: {folder}")
    if failures:
        _raise(failures, len(paths))


COLUMNS = ("file_name", "width", "height", "things", "stuff", "object_density", "scale_variance", "lowest_score")
"""Columns of ``images.csv``: numbers of segments, predicted complexity, and the score of the least certain segment."""


def _numbers(segments: Segments, outputs: Outputs, labels: LabelSpace) -> list[str]:
    """Return the row of an image, without its name."""
    height, width = segments.size
    things = sum(labels.is_thing[c] for c in segments.classes.tolist())
    assert segments.scores is not None  # decoding gives them
    lowest = [f"{segments.scores.min():.4f}"] if len(segments.scores) else [""]
    complexity = [f"{number:.4f}" for number in outputs.complexity[0].tolist()]
    return [str(n) for n in (width, height, things, len(segments.classes) - things)] + complexity + lowest


def _below(folder: str, path: Path) -> str:
    """Return the path of a file relative to a folder that has it."""
    return Path(os.path.relpath(os.path.abspath(path), folder)).as_posix()


def _readable(
    paths: list[tuple[Path, str]], reading: Reading, failures: list[InputError]
) -> Iterator[tuple[Path, str, np.ndarray]]:
    """Yield path, name and image of each file that can be read; gather the errors of the others."""
    for path, name in paths:
        try:
            image = reading.read(path)
        except InputError as error:
            failures.append(error)
            continue
        yield path, name, image


def _raise(failures: list[InputError], images: int) -> NoReturn:
    """Report the images that could not be read."""
    if images == 1:
        raise failures[0]
    for failure in failures:
        print(f"left out: {failure}")
    raise InputError(
        f"input: expected {images} images that can be read, got {len(failures)} that cannot; they are listed above"
    )
