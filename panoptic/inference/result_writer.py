"""Writing of the results of images, each by itself, in whatever process, and of the tables of all of them at the end.

What is written of an image depends on the image and its prediction alone, and replaces what has its name: done twice,
it is there once.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from panoptic.data.coco.writer import CocoPanopticWriter, write_png
from panoptic.data.georeference import read_georeference, write_georeference
from panoptic.errors import InputError
from panoptic.inference.many import ImageFile, Predicted
from panoptic.inference.predictor import ImagePrediction
from panoptic.labels import LabelSpace
from panoptic.utils.files import naming, replacing
from panoptic.utils.remote import is_remote, joined, local_copy, stamp, upload
from panoptic.visualization.overlay import overlay, png_of

COLUMNS = ("file_name", "width", "height", "things", "stuff", "object_density", "scale_variance", "lowest_score")
"""Columns of ``images.csv``: numbers of segments, predicted complexity, and the score of the least certain segment."""

VERSION = 1
"""Version of what is noted of images."""

PANOPTIC, OVERLAYS, RECORDS = "panoptic", "overlays", "records"
"""Folders of the PNG files of segments, of overlays, and of what is noted of each image in a remote folder."""

GEOREFERENCED = (".tif", ".tiff")
"""Suffixes of remote files that are read again for their position."""

Record = dict[str, Any]
"""What is noted of an image that is done: the file, its segments and its row of the table."""


@dataclass(frozen=True)
class ResultWriter:
    """Writes the results of images; it can be sent to other processes and machines.

    Attributes:
        folder: Folder on this machine, whose folders ``panoptic`` and ``overlays`` exist, or URL of a remote one.
        labels: Label space of the predictions.
        overlays: Whether to write an overlay of each image.
        digest: Digest of the settings, which remote records have.
    """

    folder: Path | str
    labels: LabelSpace
    overlays: bool
    digest: str

    def __call__(self, predicted: Predicted, numbers: Int64[np.ndarray, " N"] | None = None) -> Record:
        """Write the results of an image, and return what is to be noted of it. Threads may call this.

        In a remote folder the record is written too, after all else, so that an image with a record is done.

        Args:
            predicted: Image with its prediction.
            numbers: Id of each segment in the PNG; by default they are counted.

        Raises:
            InputError: If a file cannot be written.
        """
        if isinstance(self.folder, Path):
            return write_results(self.folder, predicted, self.labels, overlays=self.overlays, numbers=numbers)
        with tempfile.TemporaryDirectory(prefix="panoptic_") as name:
            folder = Path(name)
            for kind in (PANOPTIC, OVERLAYS, RECORDS):
                (folder / kind).mkdir()
            record = write_results(folder, predicted, self.labels, overlays=self.overlays, numbers=numbers)
            upload(folder, self.folder)
        with tempfile.TemporaryDirectory(prefix="panoptic_") as name:
            content = {"version": VERSION, "settings": self.digest, **record}
            Path(name, f"{predicted.file.name}.json").write_text(json.dumps(content), encoding="utf-8")
            upload(Path(name), joined(self.folder, RECORDS))
        return record


def write_results(
    folder: Path,
    predicted: Predicted,
    labels: LabelSpace,
    *,
    overlays: bool,
    numbers: Int64[np.ndarray, " N"] | None = None,
) -> Record:
    """Write the PNG and the overlay of an image into a folder of this machine, and return what is to be noted of it.

    Each file appears whole. Both get the position of a GeoTIFF, in an auxiliary file beside them.

    Args:
        folder: Folder with folders ``panoptic`` and ``overlays``.
        predicted: Image with its prediction.
        labels: Label space of the prediction.
        overlays: Whether to write an overlay.
        numbers: Id of each segment in the PNG; by default they are counted.

    Raises:
        InputError: If a file cannot be written.
    """
    file, image, prediction = predicted
    pictures = pictures_of(folder, file.name, overlays)
    written = write_png(pictures[0], prediction.segments, labels, numbers)
    try:
        for path in pictures[1:]:
            with naming(path), replacing(path) as part:
                part.write_bytes(png_of(overlay(image, prediction.segments, labels)))
        if not is_remote(file.path) or str(file.path).lower().endswith(GEOREFERENCED):
            with local_copy(file.path) as copy:
                georeference = read_georeference(copy)
            if georeference is not None:
                for path in pictures:
                    write_georeference(georeference, path)
    except OSError as error:
        raise InputError(f"{error.filename}: expected to write it, got: {error.strerror}") from error
    return {"name": file.name, "source": stamp(file.path), "written": written, "row": _row(prediction, labels)}


def pictures_of(folder: Path, name: str, overlays: bool) -> list[Path]:
    """Return the files that an image is done with: the PNG, and the overlay if there is one."""
    return [folder / kind / f"{name}.png" for kind in (PANOPTIC, *([OVERLAYS] if overlays else []))]


def write_tables(folder: Path, done: Sequence[tuple[ImageFile, Record]], labels: LabelSpace) -> None:
    """Write ``panoptic.json`` and ``images.csv``.

    Args:
        folder: Folder on this machine.
        done: Images that are done, in order, with what was noted of them.
        labels: Label space of the predictions.

    Raises:
        InputError: If they cannot be written.
    """
    writer = CocoPanopticWriter(folder, labels, name=PANOPTIC)
    for file, record in done:
        writer.note(file.name, record["written"], file_name=file.file_name)
    writer.close()
    path = folder / "images.csv"
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


def digest_of(settings: Mapping[str, Any]) -> str:
    """Return a digest of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def is_record(content: Record) -> bool:
    """Return whether what was read has the form of a record."""
    kinds = {"name": str, "source": list, "written": dict, "row": list}
    if not all(isinstance(content.get(key), kind) for key, kind in kinds.items()):
        return False
    return {"size", "segments_info"} <= content["written"].keys() and len(content["row"]) == len(COLUMNS) - 1


def parsed(text: str | bytes) -> Record | None:
    """Return the object in a JSON text; none if it was cut off or is another value."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _row(prediction: ImagePrediction, labels: LabelSpace) -> list[str]:
    """Return the row of an image, without its name."""
    segments = prediction.segments
    height, width = segments.size
    things = sum(labels.is_thing[c] for c in segments.classes.tolist())
    assert segments.scores is not None  # decoding gives them
    lowest = [f"{segments.scores.min():.4f}"] if len(segments.scores) else [""]
    complexity = [f"{number:.4f}" for number in prediction.complexity.tolist()]
    return [str(n) for n in (width, height, things, len(segments.classes) - things)] + complexity + lowest
