"""Folder with the predictions of images: PNG and JSON in COCO panoptic format, overlays, and a table of the images.

``progress.jsonl`` has a line for each image that is done, so that a prediction that was stopped can go on. The JSON
file and the table are made from it at the end, whatever the end is.
"""

from __future__ import annotations

import csv
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from omegaconf import OmegaConf

from panoptic import __version__
from panoptic.data.coco.writer import CocoPanopticWriter
from panoptic.data.georeference import read_georeference, write_georeference
from panoptic.errors import InputError
from panoptic.inference.many import ImageFile, Predicted
from panoptic.inference.predictor import ImagePrediction
from panoptic.labels import LabelSpace
from panoptic.training.checkpoint import Checkpoint
from panoptic.utils.files import naming, replacing, writable_folder
from panoptic.visualization.overlay import save_overlay

COLUMNS = ("file_name", "width", "height", "things", "stuff", "object_density", "scale_variance", "lowest_score")
"""Columns of ``images.csv``: numbers of segments, predicted complexity, and the score of the least certain segment."""

VERSION = 1
"""Version of the lines of ``progress.jsonl``."""

Record = dict[str, Any]
"""What is noted of an image that is done: the file, its segments and its row of the table."""


class ResultFolder:
    """Folder with the predictions of images.

    Args:
        folder: Folder, created if it does not exist.
        labels: Label space of the predictions.
        settings: What the predictions depend on, apart from the images. Those of other settings are not kept.
        overlays: Whether to write an overlay of each image.
        anew: Whether to keep nothing of before.

    Raises:
        InputError: If the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, labels: LabelSpace, settings: Mapping[str, Any], *, overlays: bool, anew: bool = False
    ) -> None:
        self.folder = writable_folder(folder, "output")
        self.labels = labels
        self.overlays = writable_folder(self.folder / "overlays", "output") if overlays else None
        self._writer = CocoPanopticWriter(self.folder, labels, name="panoptic")
        self._progress = self.folder / "progress.jsonl"
        self._records = {} if anew else _read_progress(self._progress, dict(settings))
        if not self._records:
            self._progress.unlink(missing_ok=True)
            self._append({"version": VERSION, "settings": dict(settings)})
        elif not self._progress.read_bytes().endswith(b"\n"):  # stopped within a line
            with self._progress.open("a") as file:
                file.write("\n")

    def is_done(self, file: ImageFile) -> bool:
        """Return whether a file, as it is now, was predicted before and all its results are there."""
        return self.record(file) is not None and all(path.is_file() for path in self._files_of(file.name))

    def write(self, predicted: Predicted, numbers: Int64[np.ndarray, " N"] | None = None) -> Record:
        """Write the PNG and the overlay of an image, and return what is to be noted of it. Threads may call this.

        Both get the position of a GeoTIFF, in an auxiliary file beside them.

        Args:
            predicted: Image with its prediction.
            numbers: Id of each segment in the PNG; by default they are counted.

        Raises:
            InputError: If a file cannot be written.
        """
        file, image, prediction = predicted
        written = self._writer.write_png(file.name, prediction.segments, numbers)
        if self.overlays is not None:
            path = self._files_of(file.name)[1]
            try:
                with naming(path):
                    save_overlay(path, image, prediction.segments, self.labels)
            except OSError as error:
                raise InputError(f"{path}: expected to write it, got: {error.strerror}") from error
        if (georeference := read_georeference(file.path)) is not None:
            for path in self._files_of(file.name):
                try:
                    write_georeference(georeference, path)
                except OSError as error:
                    raise InputError(f"{error.filename}: expected to write it, got: {error.strerror}") from error
        row = _row(prediction, self.labels)
        return {"name": file.name, "source": _source(file), "written": written, "row": row}

    def note(self, record: Record) -> None:
        """Note that an image is done."""
        self._append(record)
        self._records[record["name"]] = record

    def record(self, file: ImageFile) -> Record | None:
        """Return what was noted of a file, as it is now; ``None`` if it is another by now, or its PNG is gone."""
        record = self._records.get(file.name)
        if record is None or record["source"] != _source(file) or not self._files_of(file.name)[0].is_file():
            return None
        return record

    def finish(self, files: Sequence[ImageFile]) -> None:
        """Write the JSON file and the table of those files that are done, in their order.

        Raises:
            InputError: If they cannot be written.
        """
        done = [(file, record) for file in files if (record := self.record(file))]
        for file, record in done:
            self._writer.note(file.name, record["written"], file_name=file.file_name)
        self._writer.close()
        path = self.folder / "images.csv"
        try:
            with (
                replacing(path) as part,
                part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as opened,
            ):
                table = csv.writer(opened)
                table.writerow(COLUMNS)
                table.writerows([file.file_name, *record["row"]] for file, record in done)
        except OSError as error:
            raise InputError(f"{path}: expected to write it, got: {error.strerror}") from error

    def _files_of(self, name: str) -> list[Path]:
        pictures = [self.overlays / f"{name}.png"] if self.overlays is not None else []
        return [self._writer.panoptic_dir / f"{name}.png", *pictures]

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            with self._progress.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise InputError(f"{self._progress}: expected to write it, got: {error.strerror}") from error


def settings_of(checkpoint: Checkpoint, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what predictions depend on, apart from the images.

    Args:
        checkpoint: Checkpoint of the network.
        options: Options of the prediction.
    """
    weights = 0
    for name, tensor in checkpoint.weights.items():
        weights = zlib.crc32(name.encode(), weights)
        values = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        weights = zlib.crc32(values.tobytes(), weights)
    config = OmegaConf.to_container(checkpoint.config, resolve=True)
    assert isinstance(config, dict)
    used = {key: config[key] for key in ("model", "codec", "data")}
    rules = {"resolution_rule": checkpoint.resolution, "calibration": checkpoint.calibration}
    return {"version": __version__, "weights": weights, **used, **rules, **options}


def _source(file: ImageFile) -> list[Any] | None:
    """Return what tells whether a file has changed: path, size and time; ``None`` if it is gone."""
    try:
        found = os.stat(file.path)
    except OSError:
        return None
    return [os.path.abspath(file.path), found.st_size, found.st_mtime_ns]


def _row(prediction: ImagePrediction, labels: LabelSpace) -> list[str]:
    """Return the row of an image, without its name."""
    segments = prediction.segments
    height, width = segments.size
    things = sum(labels.is_thing[c] for c in segments.classes.tolist())
    assert segments.scores is not None  # decoding gives them
    lowest = [f"{segments.scores.min():.4f}"] if len(segments.scores) else [""]
    complexity = [f"{number:.4f}" for number in prediction.complexity.tolist()]
    return [str(n) for n in (width, height, things, len(segments.classes) - things)] + complexity + lowest


def _read_progress(path: Path, settings: Mapping[str, Any]) -> dict[str, Record]:
    """Read what was noted with these settings, by name; nothing if there is no such file, or one of other settings."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    records = [record for line in lines if (record := _parsed(line)) is not None]
    if not records or records[0] != {"version": VERSION, "settings": json.loads(json.dumps(settings))}:
        return {}
    return {record["name"]: record for record in records[1:] if _is_record(record)}


def _is_record(content: Record) -> bool:
    """Return whether the contents of a line have the form of a record."""
    kinds = {"name": str, "source": list, "written": dict, "row": list}
    if not all(isinstance(content.get(key), kind) for key, kind in kinds.items()):
        return False
    return {"size", "segments_info"} <= content["written"].keys() and len(content["row"]) == len(COLUMNS) - 1


def _parsed(line: str) -> Record | None:
    """Return the contents of a line; none if it was cut off."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
