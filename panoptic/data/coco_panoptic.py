"""The COCO panoptic format, read and written (Kirillov et al. 2019, https://cocodataset.org/#format-data).

A JSON file lists ``images``, ``annotations`` and ``categories``; beside it, a folder of its name holds a PNG for each
annotation, in which a pixel's segment id is ``R + 256 G + 65536 B`` and 0 is void.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from panoptic.data.coco_json import (
    ImageList,
    SegmentTable,
    demand_folder,
    find_image_dir,
    find_json,
    labels_of_any_split,
    load,
    read_labels,
    some,
)
from panoptic.data.images import find_images, output_names, read_image, read_stored
from panoptic.data.sample import Sample
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments


class CocoPanopticSource:
    """One split of a data set in COCO panoptic format.

    Below ``root``, the JSON file of a split is ``annotations/panoptic_<split>2017.json`` as COCO has it, or without
    the year, or directly in the root, or ``<split>/panoptic.json``, or ``panoptic.json`` for all splits where none has
    its own. The PNG folder is the JSON file's path without suffix. The images are in a folder named like the split
    (``val2017`` for ``panoptic_val2017.json``), there or in ``images``, or in ``images`` itself. Each can be given
    instead; relative paths count from the root where there is one.

    The truth of ``test`` may be withheld: segments are ``None`` if its JSON file lists images but no annotations, or
    if there are images but no JSON file; the label space then is that of ``val`` or ``train``.

    Only the JSON file is read at construction. A crowd of a stuff category reads as plain stuff.

    Args:
        split: ``train``, ``val`` or ``test``, or whatever the files call it.
        root: the folder of the data set.
        image_dir: the folder that the images' file names count from. May be left out, with the root, where only
            :meth:`read_segments` is called.
        panoptic_dir: the folder that the annotations' file names count from.
        panoptic_json: the JSON file.

    Raises:
        InputError: if a file or folder is missing, or the JSON file is invalid or contradicts itself.
    """

    def __init__(
        self,
        split: str,
        *,
        root: str | os.PathLike | None = None,
        image_dir: str | os.PathLike | None = None,
        panoptic_dir: str | os.PathLike | None = None,
        panoptic_json: str | os.PathLike | None = None,
    ):
        base = Path(root).expanduser() if root is not None else Path()
        self.panoptic_json = find_json(split, root, panoptic_json)
        self.image_dir = find_image_dir(split, root, image_dir, self.panoptic_json)
        self._table = None
        if self.panoptic_json is None:
            self.labels = labels_of_any_split(base)
            found = find_images(self.image_dir)
            self.images = ImageList(output_names(found), [p.name for p in found], [(None, None)] * len(found))
        else:
            content = load(self.panoptic_json)
            self.labels = read_labels(content, self.panoptic_json)
            self.images = ImageList.parse(content, self.panoptic_json)
            if split != "test" or content.get("annotations"):
                self._table = SegmentTable.parse(content, self.panoptic_json, self.labels, self.images.ids)
                self.panoptic_dir = base / Path(panoptic_dir or self.panoptic_json.with_suffix("")).expanduser()
                demand_folder(self.panoptic_dir, f"with the PNG files of {self.panoptic_json}")
        self._names = output_names(self.images.file_names)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images.ids)

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """The image at ``index``; ``strength`` is of no effect.

        Raises:
            InputError: if a file cannot be read, its size is not the one expected, or PNG and JSON contradict.
        """
        if self.image_dir is None:
            raise InputError(f"{self.panoptic_json}: expected image_dir to say where its images are, got none")
        path = self.image_dir / self.images.file_names[index]
        image = read_image(path)
        self._check_size(path, image.shape[:2], index)
        segments = self.read_segments(index)
        if segments is not None and tuple(segments.size) != image.shape[:2]:
            png = self.panoptic_dir / self._table.file_names[index]
            raise InputError(
                f"{png}: expected the height and width of {path}, {image.shape[:2]}, got {tuple(segments.size)}"
            )
        return Sample(image, segments, self._names[index])

    def read_segments(self, index: int) -> Segments | None:
        """The segments of the image at ``index`` alone, in the order of the JSON file.

        Raises:
            InputError: if the PNG cannot be read, its size is not the one expected, or PNG and JSON contradict.
        """
        if self._table is None:
            return None
        path = self.panoptic_dir / self._table.file_names[index]
        stored = read_stored(path, ("RGB", "RGBA"), "a PNG with 8-bit RGB").astype(np.int32)
        self._check_size(path, stored.shape[:2], index)
        numbers = stored[..., 0] + 256 * stored[..., 1] + 65536 * stored[..., 2]
        ids, classes, crowd, scores = self._table.rows(index)
        return Segments(
            torch.from_numpy(_rows_of(numbers, ids, path, self.panoptic_json)),
            torch.from_numpy(classes),
            torch.from_numpy(crowd),
            torch.from_numpy(scores) if len(scores) and not np.isnan(scores).any() else None,
        )

    def _check_size(self, path: Path, size: tuple[int, ...], index: int) -> None:
        expected = self.images.sizes[index]
        if any(e not in (None, s) for e, s in zip(expected, size, strict=True)):
            raise InputError(f"{path}: expected height and width {expected} as {self.panoptic_json} says, got {size}")


class CocoPanopticWriter:
    """Writes segments in COCO panoptic format: ``<name>/*.png`` and, at the end, ``<name>.json``.

    Use it as a context manager. The JSON file appears whole when the block ends, and not at all when it fails; the one
    of an earlier run is removed with the first image, as its PNG files are being replaced. With ``name="panoptic_val"``
    and the images in ``<directory>/val``, the result is a data set that :class:`CocoPanopticSource` reads as is.

    Args:
        directory: made if it is not there.
        labels: the label space of all segments.
        name: of the JSON file and of the folder.

    Raises:
        InputError: if the directory cannot be written to.
    """

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
        if not name or Path(name).name != name or name in self._annotations:
            raise ValueError(f"name: expected one without folder that did not come before, got {name!r}")
        if image_id is None:
            image_id = int(name) if name.isdecimal() and int(name) not in self._images else name
        if image_id in self._images:
            raise ValueError(f"image_id: expected one that did not come before, got {image_id!r}")
        segments = segments.compact()
        if len(segments.classes) and int(segments.classes.max()) >= len(self.labels):
            raise ValueError(f"classes: expected 0..{len(self.labels) - 1}, got {int(segments.classes.max())}")
        ids = segments.ids.cpu().numpy()
        pixels = np.stack([ids & 255, (ids >> 8) & 255, ids >> 16], axis=-1).astype(np.uint8)
        try:
            self.panoptic_json.unlink(missing_ok=True)
            Image.fromarray(pixels).save(self.panoptic_dir / f"{name}.png")
        except OSError as error:
            raise InputError(f"{self.panoptic_dir / name}.png: expected to write it, got: {error}") from error
        height, width = segments.size
        file_name = file_name or f"{name}.png"
        self._images[image_id] = {"id": image_id, "file_name": file_name, "height": height, "width": width}
        self._annotations[name] = {
            "image_id": image_id,
            "file_name": f"{name}.png",
            "segments_info": _segments_info(segments, self.labels),
        }

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
        unfinished = self.panoptic_json.with_name(f".{self.panoptic_json.name}.{os.getpid()}")
        try:
            unfinished.write_text(json.dumps(content), encoding="utf-8")
            os.replace(unfinished, self.panoptic_json)
        except OSError as error:
            raise InputError(f"{self.panoptic_json}: expected to write it, got: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)

    def __enter__(self) -> CocoPanopticWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()


def _segments_info(segments: Segments, labels: LabelSpace) -> list[dict[str, Any]]:
    """The rows of ``segments_info``; every segment has a pixel."""
    flat, count = segments.ids.cpu().flatten().long(), len(segments.classes)
    ends = []  # first and last row, then first and last column, of each segment
    for axis, length in enumerate(segments.size):
        places = torch.arange(length).unsqueeze(1 - axis).expand(segments.size).flatten()
        for reduce, start in (("amin", length), ("amax", -1)):
            ends.append(torch.full((count + 1,), start).scatter_reduce_(0, flat, places, reduce)[1:])
    top, bottom, left, right = ends
    boxes = torch.stack([left, top, right - left + 1, bottom - top + 1], dim=1).tolist()
    infos = [
        {"id": row + 1, "category_id": labels.categories[c].id, "area": area, "bbox": box, "iscrowd": int(crowd)}
        for row, (c, area, box, crowd) in enumerate(
            zip(segments.classes.tolist(), segments.areas().tolist(), boxes, segments.crowd.tolist(), strict=True)
        )
    ]
    if segments.scores is not None:
        for info, score in zip(infos, segments.scores.tolist(), strict=True):
            info["score"] = score
    return infos


def _rows_of(numbers: np.ndarray, table: np.ndarray, png: Path, panoptic_json: Path) -> np.ndarray:
    """Turns the numbers in a PNG ``[H W]`` into rows of its table, counted from 1; 0 stays 0."""
    order = np.argsort(table)
    known = np.concatenate([[0], table[order]]).astype(numbers.dtype)
    place = np.searchsorted(known, numbers)
    found = known[np.minimum(place, len(known) - 1)] == numbers
    if not found.all():
        strange = np.unique(numbers[~found]).tolist()
        raise InputError(f"{png}: expected the segment ids that {panoptic_json} lists, got others: {some(strange)}")
    counts = np.bincount(place.ravel(), minlength=len(known))
    if not counts[1:].all():
        absent = known[1:][counts[1:] == 0].tolist()
        raise InputError(f"{png}: expected each segment that {panoptic_json} lists, got no pixel of {some(absent)}")
    return np.concatenate([[0], order + 1]).astype(np.int32)[place]
