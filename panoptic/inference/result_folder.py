"""Folder with the predictions of images: PNG and JSON in COCO panoptic format, overlays, and a table of the images.

``progress.jsonl`` has a line for each image that is done, so that a prediction that was stopped can go on. The JSON
file and the table are made from it at the end, whatever the end is.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from panoptic import __version__
from panoptic.errors import InputError
from panoptic.inference.many import ImageFile
from panoptic.inference.result_writer import (
    OVERLAYS,
    PANOPTIC,
    VERSION,
    Record,
    ResultWriter,
    digest_of,
    is_record,
    parsed,
    pictures_of,
    write_tables,
)
from panoptic.labels import LabelSpace
from panoptic.training.checkpoint import Checkpoint
from panoptic.utils.files import remove_strays, writable_folder
from panoptic.utils.remote import stamp

PROGRESS = "progress.jsonl"
"""File that says which images are done."""


class ResultFolder:
    """Folder with the predictions of images.

    Args:
        folder: Folder, created if it does not exist.
        labels: Label space of the predictions.
        settings: What the predictions depend on, apart from the images. Those of other settings are not kept.
        overlays: Whether to write an overlay of each image.
        anew: Whether to keep nothing of before.

    Attributes:
        writer: Writes the results of an image.

    Raises:
        InputError: If the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, labels: LabelSpace, settings: Mapping[str, Any], *, overlays: bool, anew: bool = False
    ) -> None:
        self.folder = writable_folder(folder, "output")
        self.labels = labels
        for kind in (*([OVERLAYS] if overlays else []), PANOPTIC):
            remove_strays(writable_folder(self.folder / kind, "output"))
        self.writer = ResultWriter(self.folder, labels, overlays, digest_of(settings))
        self._progress = self.folder / PROGRESS
        self._records = {} if anew else _read_progress(self._progress, dict(settings))
        if not self._records:
            self._progress.unlink(missing_ok=True)
            self._append({"version": VERSION, "settings": dict(settings)})
        elif not self._progress.read_bytes().endswith(b"\n"):  # stopped within a line
            with self._progress.open("a") as file:
                file.write("\n")

    def is_done(self, file: ImageFile) -> bool:
        """Return whether a file, as it is now, was predicted before and all its results are there."""
        pictures = pictures_of(self.folder, file.name, self.writer.overlays)
        return self.record(file) is not None and all(path.is_file() for path in pictures)

    def begin(self) -> None:
        """Remove the JSON file of before, whose PNG files are about to be replaced.

        Raises:
            InputError: If it cannot be removed.
        """
        path = self.folder / f"{PANOPTIC}.json"
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path}: expected to write it, got: {error.strerror}") from error

    def note(self, record: Record) -> None:
        """Note that an image is done."""
        self._append(record)
        self._records[record["name"]] = record

    def record(self, file: ImageFile) -> Record | None:
        """Return what was noted of a file, as it is now; ``None`` if it is another by now, or its PNG is gone."""
        record = self._records.get(file.name)
        if record is None or record["source"] != stamp(file.path):
            return None
        return record if pictures_of(self.folder, file.name, False)[0].is_file() else None

    def finish(self, files: Sequence[ImageFile]) -> None:
        """Write the JSON file and the table of those files that are done, in their order.

        Raises:
            InputError: If they cannot be written.
        """
        write_tables(self.folder, [(file, record) for file in files if (record := self.record(file))], self.labels)

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


def _read_progress(path: Path, settings: Mapping[str, Any]) -> dict[str, Record]:
    """Read what was noted with these settings, by name; nothing if there is no such file, or one of other settings."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    records = [record for line in lines if (record := parsed(line)) is not None]
    if not records or records[0] != {"version": VERSION, "settings": json.loads(json.dumps(settings))}:
        return {}
    return {record["name"]: record for record in records[1:] if is_record(record)}
