"""Segments written in the formats that the official evaluators read: COCO panoptic, and Cityscapes' variety of it."""

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

from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.files import replacing


class CocoPanopticWriter:
    """Writes segments in COCO panoptic format: ``<name>/*.png`` and, at the end, ``<name>.json``.

    Use it as a context manager. The JSON file appears whole when the block ends, and not at all when it fails; the one
    of an earlier run is removed with the first image, as its PNG files are being replaced. With ``name="panoptic_val"``
    and the images in ``<directory>/val``, the result is a data set that
    :class:`~panoptic.data.coco.reader.CocoPanopticSource` reads as is.

    Args:
        directory: made if it is not there.
        labels: the label space of all segments.
        name: of the JSON file and of the folder.

    Raises:
        InputError: if the directory cannot be written to.
    """

    suffix = ""
    """What the names of PNG files end with, after the image's own."""

    def __init__(self, directory: str | os.PathLike, labels: LabelSpace, *, name: str = "panoptic"):
        self.labels = labels
        self.panoptic_dir = Path(directory).expanduser() / name
        self.panoptic_json = self.panoptic_dir.with_name(f"{name}.json")
        self._images: dict[int | str, dict[str, Any]] = {}
        self._annotations: dict[str, dict[str, Any]] = {}
        try:
            self.panoptic_dir.mkdir(parents=True, exist_ok=True)
            for folder in (self.panoptic_dir, self.panoptic_dir.parent):
                tempfile.TemporaryFile(dir=folder).close()  # better to fail now than after hours of work
        except OSError as error:
            raise InputError(f"{self.panoptic_dir}: expected a folder that can be written to, got: {error}") from error

    def numbers(self, segments: Segments) -> Int64[np.ndarray, " N"]:
        """The number of each segment in the PNG, above 0; segments that share one are written as one."""
        return np.arange(1, len(segments.classes) + 1)

    def add(
        self, name: str, segments: Segments, *, image_id: int | str | None = None, file_name: str | None = None
    ) -> None:
        """Writes the PNG of an image and notes its segments; those without a pixel are left out.

        Args:
            name: of the PNG, without suffix.
            segments: of one image.
            image_id: distinct among all images; left out, ``name``, as a number where it is one (``000000000139``
                is 139, as in COCO).
            file_name: of the image itself; left out, ``<name>.png``.

        Raises:
            ValueError: if the name or the id came before, the name has a folder in it, or the segments are a batch or
                of another label space.
            InputError: if the file cannot be written.
        """
        self._check(name, image_id)
        self.note(name, self.write_png(name, segments), image_id=image_id, file_name=file_name)

    def write_png(self, name: str, segments: Segments) -> dict[str, Any]:
        """The first half of :meth:`add`, which another process may do: writes the PNG.

        Returns:
            What :meth:`note` needs: the size of the image and its ``segments_info``.
        """
        segments = segments.compact()
        if len(segments.classes) and int(segments.classes.max()) >= len(self.labels):
            raise ValueError(f"classes: expected 0..{len(self.labels) - 1}, got {int(segments.classes.max())}")
        numbers, segments = self._numbered(segments.to("cpu"))
        stored = np.concatenate([[0], numbers])[segments.ids.numpy()]
        pixels = np.stack([stored & 255, (stored >> 8) & 255, stored >> 16], axis=-1).astype(np.uint8)
        png = self.panoptic_dir / f"{name}{self.suffix}.png"
        try:
            self.panoptic_json.unlink(missing_ok=True)
            Image.fromarray(pixels).save(png)
        except OSError as error:
            raise InputError(f"{png}: expected to write it, got: {error}") from error
        return {"size": segments.size, "segments_info": _segments_info(segments, numbers, self.labels)}

    def note(
        self,
        name: str,
        written: dict[str, Any],
        *,
        image_id: int | str | None = None,
        file_name: str | None = None,
    ) -> None:
        """The second half of :meth:`add`: notes what :meth:`write_png` returned."""
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
        """The distinct numbers, and the segments with a row for each, in the order of their first."""
        numbers = self.numbers(segments)
        _, first, row = np.unique(numbers, return_index=True, return_inverse=True)
        if len(first) == len(numbers):
            return numbers, segments
        order = np.argsort(first)  # of rows that share a number, the first keeps its place
        rank = np.argsort(order)
        ids = np.concatenate([[0], rank[row] + 1]).astype(np.int32)[segments.ids.numpy()]
        kept = torch.from_numpy(first[order])
        scores = None if segments.scores is None else segments.scores[kept]
        merged = Segments(torch.from_numpy(ids), segments.classes[kept], segments.crowd[kept], scores)
        return numbers[first[order]], merged

    def close(self) -> None:
        """Writes the JSON file.

        Raises:
            InputError: if it cannot be written.
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


def _segments_info(segments: Segments, numbers: Int64[np.ndarray, " N"], labels: LabelSpace) -> list[dict[str, Any]]:
    """The rows of ``segments_info``; every segment has a pixel."""
    flat, count = segments.ids.flatten().long(), len(segments.classes)
    ends = []  # first and last row, then first and last column, of each segment
    for axis, length in enumerate(segments.size):
        places = torch.arange(length).unsqueeze(1 - axis).expand(segments.size).flatten()
        for reduce, start in (("amin", length), ("amax", -1)):
            ends.append(torch.full((count + 1,), start).scatter_reduce_(0, flat, places, reduce)[1:])
    top, bottom, left, right = ends
    boxes = torch.stack([left, top, right - left + 1, bottom - top + 1], dim=1).tolist()
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
    """Writes segments as Cityscapes' own scripts do, for ``cityscapesscripts`` and the benchmark's server.

    That is COCO panoptic format with ``category_id`` a labelId, and with numbers that mean something: a pixel is
    ``labelId * 1000 + number`` on things told apart, and the labelId on stuff and on crowd, of which a class then has
    one region.

    Args:
        directory: made if it is not there.
        labels: the label space of Cityscapes.
        name: of the JSON file and of the folder, such as ``cityscapes_panoptic_val``.
        suffix: what the names of PNG files end with: ``_gtFine_panoptic`` for truth.

    Raises:
        InputError: if the directory cannot be written to.
    """

    def __init__(self, directory: str | os.PathLike, labels: LabelSpace, *, name: str, suffix: str = "_pred_panoptic"):
        super().__init__(directory, labels, name=name)
        self.suffix = suffix

    def add(
        self, name: str, segments: Segments, *, image_id: int | str | None = None, file_name: str | None = None
    ) -> None:
        """As in COCO panoptic format, except that ``name`` is the ``image_id``, whatever is given: the benchmark has
        city, sequence and frame for both, and the image's file is called after them.
        """
        super().add(name, segments, image_id=name, file_name=f"{name}_leftImg8bit.png")

    def numbers(self, segments: Segments) -> Int64[np.ndarray, " N"]:
        """The number of each segment in the PNG.

        Raises:
            ValueError: if a class has more than 1000 things, which this format cannot tell apart.
        """
        return cityscapes_numbers(segments, self.labels)


def cityscapes_numbers(segments: Segments, labels: LabelSpace) -> Int64[np.ndarray, " N"]:
    """Cityscapes' number of each segment: labelId x 1000 + its place among its class's things, or the labelId alone.

    Raises:
        ValueError: if a class has more than 1000 things, which cannot be told apart.
    """
    classes = segments.classes.numpy()
    numbers = np.array([category.id for category in labels.categories], dtype=np.int64)[classes]
    single = np.array(labels.is_thing)[classes] & ~segments.crowd.numpy()
    for category in np.unique(numbers[single]):
        rows = np.flatnonzero(single & (numbers == category))
        if len(rows) > 1000:
            raise ValueError(f"segments: expected at most 1000 things of a class, got {len(rows)} of {category}")
        numbers[rows] = category * 1000 + np.arange(len(rows))
    return numbers
