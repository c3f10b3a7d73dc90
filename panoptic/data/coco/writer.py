"""Writers for the formats of the official evaluators: COCO panoptic, and the variant of Cityscapes."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from PIL import Image
from scipy.ndimage import find_objects

from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.files import replacing


class CocoPanopticWriter:
    """Writes segments in COCO panoptic format: ``<name>/*.png`` and, at the end, ``<name>.json``.

    Use it as a context manager. The JSON file is written atomically when the block ends, and not at all if the block
    fails. The JSON file of an earlier run is removed with the first image, since its PNG files are being replaced. With
    ``name="panoptic_val"`` and the images in ``<directory>/val``, the result is a data set that
    :class:`~panoptic.data.coco.reader.CocoPanopticSource` can read.

    Args:
        directory: Output directory; created if it does not exist.
        labels: Label space of all segments.
        name: Name of the JSON file and of the folder with PNG files.

    Raises:
        InputError: If the directory cannot be written to.
    """

    suffix = ""
    """Suffix of the names of PNG files, after the name of the image."""

    def __init__(self, directory: str | os.PathLike, labels: LabelSpace, *, name: str = "panoptic") -> None:
        self.labels = labels
        self.panoptic_dir = Path(directory).expanduser() / name
        self.panoptic_json = self.panoptic_dir.with_name(f"{name}.json")
        self._images: dict[int | str, dict[str, Any]] = {}
        self._annotations: dict[str, dict[str, Any]] = {}
        try:
            self.panoptic_dir.mkdir(parents=True, exist_ok=True)
            for folder in (self.panoptic_dir, self.panoptic_dir.parent):
                tempfile.TemporaryFile(dir=folder).close()  # fail now rather than after hours of work
        except OSError as error:
            raise InputError(f"{self.panoptic_dir}: expected a folder that can be written to, got: {error}") from error

    def numbers(self, segments: Segments) -> Int64[np.ndarray, " N"]:
        """Return the id of each segment in the PNG, above 0; segments with equal ids are merged.

        Args:
            segments: Segments of one image.
        """
        return np.arange(1, len(segments.classes) + 1)

    def add(
        self, name: str, segments: Segments, *, image_id: int | str | None = None, file_name: str | None = None
    ) -> None:
        """Write the PNG of an image and record its segments; segments without a pixel are dropped.

        Args:
            name: Name of the PNG, without suffix.
            segments: Segments of one image.
            image_id: Unique image id. Defaults to ``name``, converted to an integer if possible (``000000000139``
                becomes 139, as in COCO).
            file_name: File name of the image itself. Defaults to ``<name>.png``.

        Raises:
            ValueError: If the name or the id was used before, the name contains a folder, or the segments are a batch
                or have another label space.
            InputError: If the file cannot be written.
        """
        self._check(name, image_id)
        self.note(name, self.write_png(name, segments), image_id=image_id, file_name=file_name)

    def write_png(
        self, name: str, segments: Segments, numbers: Int64[np.ndarray, " N"] | None = None
    ) -> dict[str, Any]:
        """Write the PNG of an image without recording its segments.

        This is the first half of :meth:`add`, and may run in another process than :meth:`note`.

        Args:
            name: Name of the PNG, without suffix.
            segments: Segments of one image.
            numbers: Id of each segment in the PNG, above 0 and distinct. By default those of :meth:`numbers`.

        Returns:
            Argument ``written`` of :meth:`note`: ``size`` of the image and its ``segments_info``.
        """
        png = self.panoptic_dir / f"{name}{self.suffix}.png"
        try:
            self.panoptic_json.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{png}: expected to write it, got: {error}") from error
        if numbers is not None:
            return write_png(png, segments, self.labels, numbers)
        numbers, segments = self._numbered(_with_pixels(segments, self.labels).to("cpu"))
        return _write_png(png, segments, self.labels, numbers)

    def note(
        self,
        name: str,
        written: dict[str, Any],
        *,
        image_id: int | str | None = None,
        file_name: str | None = None,
    ) -> None:
        """Record the segments of an image whose PNG has been written; the second half of :meth:`add`.

        Args:
            name: Name of the PNG, without suffix.
            written: Result of :meth:`write_png`.
            image_id: Unique image id; see :meth:`add`.
            file_name: File name of the image itself; see :meth:`add`.
        """
        self._check(name, image_id)
        if image_id is None:
            image_id = int(name) if name.isdecimal() and int(name) not in self._images else name
        height, width = written["size"]
        file_name = file_name or f"{name}.png"
        self._images[image_id] = {"id": image_id, "file_name": file_name, "height": height, "width": width}
        self._annotations[name] = {
            "image_id": image_id,
            "file_name": f"{name}{self.suffix}.png",
            "segments_info": written["segments_info"],
        }

    def _check(self, name: str, image_id: int | str | None) -> None:
        if not name or Path(name).name != name or name in self._annotations:
            raise ValueError(f"name: expected one without folder that did not come before, got {name!r}")
        if image_id is not None and image_id in self._images:
            raise ValueError(f"image_id: expected one that did not come before, got {image_id!r}")

    def _numbered(self, segments: Segments) -> tuple[Int64[np.ndarray, " N"], Segments]:
        """Return the distinct ids, and the segments merged by id, in order of first occurrence."""
        numbers = self.numbers(segments)
        _, first, row = np.unique(numbers, return_index=True, return_inverse=True)
        if len(first) == len(numbers):
            return numbers, segments
        order = np.argsort(first)  # merged rows take the position of their first
        rank = np.argsort(order)
        ids = np.concatenate([[0], rank[row] + 1]).astype(np.int32)[segments.ids.numpy()]
        kept = torch.from_numpy(first[order])
        scores = None if segments.scores is None else segments.scores[kept]
        merged = Segments(torch.from_numpy(ids), segments.classes[kept], segments.crowd[kept], scores)
        return numbers[first[order]], merged

    def close(self) -> None:
        """Write the JSON file.

        Raises:
            InputError: If it cannot be written.
        """
        content = {
            "images": list(self._images.values()),
            "annotations": list(self._annotations.values()),
            "categories": self.labels.to_dicts(),
        }
        try:
            with replacing(self.panoptic_json) as part:
                part.write_text(json.dumps(content), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{self.panoptic_json}: expected to write it, got: {error}") from error

    def __enter__(self) -> CocoPanopticWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()


def write_png(
    png: Path, segments: Segments, labels: LabelSpace, numbers: Int64[np.ndarray, " N"] | None = None
) -> dict[str, Any]:
    """Write the PNG of an image, atomically, and return what :meth:`CocoPanopticWriter.note` takes of it.

    Segments without a pixel are dropped.

    Args:
        png: File to write or replace.
        segments: Segments of one image.
        labels: Label space of the segments.
        numbers: Id of each segment in the PNG, above 0 and distinct; by default they are counted from 1.

    Raises:
        ValueError: If the segments are a batch or have another label space.
        InputError: If the file cannot be written.
    """
    if numbers is not None:
        numbers = numbers[segments.areas().numpy() > 0]
    segments = _with_pixels(segments, labels).to("cpu")
    return _write_png(png, segments, labels, np.arange(1, len(segments.classes) + 1) if numbers is None else numbers)


def _with_pixels(segments: Segments, labels: LabelSpace) -> Segments:
    """Return the segments that have a pixel, which must be of the label space."""
    segments = segments.compact()
    if len(segments.classes) and int(segments.classes.max()) >= len(labels):
        raise ValueError(f"classes: expected 0..{len(labels) - 1}, got {int(segments.classes.max())}")
    return segments


def _write_png(png: Path, segments: Segments, labels: LabelSpace, numbers: Int64[np.ndarray, " N"]) -> dict[str, Any]:
    """Write the PNG of segments of which every one has a pixel."""
    stored = np.concatenate([[0], numbers])
    table = np.stack([stored & 255, (stored >> 8) & 255, stored >> 16], axis=-1).astype(np.uint8)
    try:
        with replacing(png) as part:
            Image.fromarray(table[segments.ids.numpy()]).save(part, format="PNG")
    except OSError as error:
        raise InputError(f"{png}: expected to write it, got: {error}") from error
    return {"size": segments.size, "segments_info": _segments_info(segments, numbers, labels)}


def _segments_info(segments: Segments, numbers: Int64[np.ndarray, " N"], labels: LabelSpace) -> list[dict[str, Any]]:
    """Return the entries of ``segments_info``; every segment must have a pixel."""
    boxes = [
        [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
        for rows, columns in find_objects(segments.ids.numpy(), max_label=len(segments.classes))
    ]
    infos = [
        {"id": number, "category_id": labels.categories[c].id, "area": area, "bbox": box, "iscrowd": int(crowd)}
        for number, c, area, box, crowd in zip(
            numbers.tolist(),
            segments.classes.tolist(),
            segments.areas().tolist(),
            boxes,
            segments.crowd.tolist(),
            strict=True,
        )
    ]
    if segments.scores is not None:
        for info, score in zip(infos, segments.scores.tolist(), strict=True):
            info["score"] = score
    return infos


class CityscapesPanopticWriter(CocoPanopticWriter):
    """Writes segments in the format of Cityscapes, for ``cityscapesscripts`` and the benchmark server.

    This is COCO panoptic format with label ids as ``category_id`` and with fixed segment ids: ``labelId * 1000 +
    number`` for individual things, and ``labelId`` for stuff and crowds, so that a class has at most one crowd segment.

    Args:
        directory: Output directory; created if it does not exist.
        labels: Label space of Cityscapes.
        name: Name of the JSON file and of the folder with PNG files, such as ``cityscapes_panoptic_val``.
        suffix: Suffix of the names of PNG files, after the name of the image; ``_gtFine_panoptic`` for ground truth.

    Raises:
        InputError: If the directory cannot be written to.
    """

    def __init__(
        self, directory: str | os.PathLike, labels: LabelSpace, *, name: str, suffix: str = "_pred_panoptic"
    ) -> None:
        super().__init__(directory, labels, name=name)
        self.suffix = suffix

    def add(
        self, name: str, segments: Segments, *, image_id: int | str | None = None, file_name: str | None = None
    ) -> None:
        """Write the PNG of an image and record its segments; segments without a pixel are dropped.

        The benchmark uses city, sequence and frame as both name and image id, and derives the file name of the image
        from them.

        Args:
            name: Name of the PNG, without suffix; also the image id.
            segments: Segments of one image.
            image_id: Ignored.
            file_name: Ignored.

        Raises:
            ValueError: If the name was used before or contains a folder, the segments are a batch or have another label
                space, or a class has more than 1000 things.
            InputError: If the file cannot be written.
        """
        super().add(name, segments, image_id=name, file_name=f"{name}_leftImg8bit.png")

    def numbers(self, segments: Segments) -> Int64[np.ndarray, " N"]:
        """Return the id of each segment in the PNG.

        Args:
            segments: Segments of one image.

        Raises:
            ValueError: If a class has more than 1000 things, which this format cannot represent.
        """
        return cityscapes_numbers(segments, self.labels)


def cityscapes_numbers(segments: Segments, labels: LabelSpace) -> Int64[np.ndarray, " N"]:
    """Return the id of each segment in the format of Cityscapes.

    Individual things have ``labelId * 1000 + number``, where things of a class are numbered from 0; stuff and crowds
    have ``labelId``.

    Args:
        segments: Segments of one image.
        labels: Label space of Cityscapes.

    Raises:
        ValueError: If a class has more than 1000 things, which this format cannot represent.
    """
    classes = segments.classes.numpy()
    numbers = np.array([category.id for category in labels.categories], dtype=np.int64)[classes]
    is_single_thing = np.array(labels.is_thing)[classes] & ~segments.crowd.numpy()
    for category in np.unique(numbers[is_single_thing]):
        rows = np.flatnonzero(is_single_thing & (numbers == category))
        if len(rows) > 1000:
            raise ValueError(f"segments: expected at most 1000 things of a class, got {len(rows)} of {category}")
        numbers[rows] = category * 1000 + np.arange(len(rows))
    return numbers
