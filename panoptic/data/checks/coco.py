"""A data set in COCO panoptic format, examined: every fault, where the reader stops at the first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from panoptic.data.checks.faults import Examined, Fault
from panoptic.data.coco.json import (
    ImageList,
    SegmentTable,
    find_image_dir,
    find_json,
    find_panoptic_dir,
    labels_of_any_split,
    load,
    read_labels,
    some,
)
from panoptic.data.coco.reader import match_ids
from panoptic.data.images import find_images, read_image, read_words
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments


@dataclass
class Entry:
    """What a JSON file says of one image, as far as it is sound.

    Attributes:
        image_id: of the image.
        file_name: of the image.
        size: height and width, where they are given.
        png: file name of its segments; ``None`` if there is no annotation.
        ids: of the segments in the PNG.
        classes: of the segments.
        crowd: whether each is a crowd.
    """

    image_id: int | str | None
    file_name: str
    size: tuple[int | None, int | None] = (None, None)
    png: str | None = None
    ids: np.ndarray | None = None
    classes: np.ndarray | None = None
    crowd: np.ndarray | None = None


class CocoExaminer:
    """One split in COCO panoptic format; see :class:`panoptic.data.coco.reader.CocoPanopticSource` for the arguments.

    Args:
        split: ``train``, ``val`` or ``test``.
        root: the folder of the data set.
        image_dir: where the images are.
        panoptic_dir: where the PNG files are.
        panoptic_json: the JSON file.
        image_of: the image of each image id, for data sets whose JSON file does not say; instead of ``image_dir``.

    Raises:
        InputError: if the JSON file or its categories cannot be made use of at all.
    """

    def __init__(
        self,
        split: str,
        *,
        root: str | os.PathLike | None = None,
        image_dir: str | os.PathLike | None = None,
        panoptic_dir: str | os.PathLike | None = None,
        panoptic_json: str | os.PathLike | None = None,
        image_of: Mapping[str, Path] | None = None,
    ) -> None:
        base = Path(root).expanduser() if root is not None else Path()
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.panoptic_json = find_json(split, root, panoptic_json)
        self._image_of = image_of
        self.image_dir: Path | None = None
        self.panoptic_dir: Path | None = None
        if self.panoptic_json is None:
            self.image_dir = find_image_dir(split, root, image_dir, None)
            assert self.image_dir is not None  # there is a root where there is no JSON file
            self.labels = labels_of_any_split(base)
            self.entries = [Entry(None, path.name) for path in find_images(self.image_dir)]
            return
        content = load(self.panoptic_json)
        self.labels = read_labels(content, self.panoptic_json)
        withheld = split == "test" and not content.get("annotations")
        self.entries, self.faults = survey(content, self.panoptic_json, self.labels, withheld=withheld)
        # Whatever is wrong with the JSON file is told, even if a folder is not there.
        if image_of is None:
            try:
                self.image_dir = find_image_dir(split, root, image_dir, self.panoptic_json)
                assert self.image_dir is not None  # there is a root, or it raises
                self._note_strays(self.image_dir, (entry.file_name for entry in self.entries))
            except InputError as error:
                self.faults.append(Fault("missing", *str(error).split(": ", 1)))
        if withheld:
            return
        given = None if panoptic_dir is None else base / Path(panoptic_dir).expanduser()
        try:
            self.panoptic_dir = find_panoptic_dir(self.panoptic_json, given)
            self._note_strays(self.panoptic_dir, (entry.png for entry in self.entries if entry.png is not None))
        except InputError as error:
            self.faults.append(Fault("missing", *str(error).split(": ", 1)))

    def _note_strays(self, folder: Path, listed: Iterable[str]) -> None:
        known = set(listed)
        strays = sorted(name for name in os.listdir(folder) if name not in known and os.path.isfile(folder / name))
        strays = [name for name in strays if not name.startswith(".")]
        if strays:
            self.notes.append(f"{folder}: {len(strays)} files that {self.panoptic_json} does not list: {some(strays)}")

    def __len__(self) -> int:
        return len(self.entries)

    def examine(self, index: int) -> Examined:
        """Reads an image and its PNG as far as that can be done."""
        entry = self.entries[index]
        path = Path(entry.file_name)
        if self._image_of is not None:
            path = self._image_of.get(str(entry.image_id), path)
        elif self.image_dir is not None:
            path = self.image_dir / path
        examined = Examined(path)
        sizes = {}
        if self._image_of is None and self.image_dir is None:
            pass  # all images are missing, which was told once
        elif not os.path.exists(path):
            examined.add("missing", path, f"the image of image id {entry.image_id!r} is not there")
        else:
            try:
                examined.image = read_image(path)
                sizes[path] = examined.image.shape[:2]
            except InputError as error:
                examined.faults.append(Fault.of("unreadable", path, error))
        if entry.png is not None and self.panoptic_dir is not None:
            png = self.panoptic_dir / entry.png
            self._examine_png(png, entry, examined)
            if examined.segments is not None:
                sizes[png] = tuple(examined.segments.size)
        for file, size in sizes.items():
            if any(said not in (None, side) for said, side in zip(entry.size, size, strict=True)):
                examined.add("size", file, f"height and width {size}, {self.panoptic_json} says {entry.size}")
        if len(set(sizes.values())) > 1:
            (image, one), (png, other) = sizes.items()
            examined.add("size", png, f"height and width {other}, its image {image} has {one}")
            examined.segments = None
        return examined

    def _examine_png(self, png: Path, entry: Entry, examined: Examined) -> None:
        if not os.path.exists(png):
            examined.add("missing", png, f"the segments of {examined.file.name} are not there")
            return
        try:
            words = read_words(png)
        except InputError as error:
            examined.faults.append(Fault.of("unreadable", png, error))
            return
        assert entry.ids is not None  # an entry with a PNG has its table
        assert entry.classes is not None
        assert entry.crowd is not None
        rows, unknown, absent = match_ids(words, entry.ids)
        if unknown:
            examined.add("ids", png, f"segment ids that {self.panoptic_json} lacks: {some(unknown)}")
        if absent:
            examined.add("ids", png, f"no pixel of segments that {self.panoptic_json} lists: {some(absent)}")
        if not rows.any():
            examined.add("empty", png, "no segment at all")
        examined.segments = Segments(
            torch.from_numpy(rows), torch.from_numpy(entry.classes), torch.from_numpy(entry.crowd)
        ).compact()


def survey(
    content: dict[str, Any], path: Path, labels: LabelSpace, *, withheld: bool = False
) -> tuple[list[Entry], list[Fault]]:
    """What a JSON file says of each image, and everything that is wrong with it.

    Args:
        content: of the file.
        path: of the file.
        labels: its label space.
        withheld: whether there are no annotations, as for a test split.
    """
    faults: list[Fault] = []
    entries = _images(content, path, faults)
    if withheld:
        return entries, faults
    annotations = content.get("annotations")
    if not isinstance(annotations, list):
        faults.append(Fault("malformed", str(path), "no list of 'annotations'"))
        annotations = []
    entry_of = {entry.image_id: entry for entry in entries}
    spoken_for = set()
    for annotation in annotations:
        try:
            image_id = _annotated(annotation, path)
        except InputError as error:
            faults.append(Fault.of("malformed", path, error))
            continue
        spoken_for.add(image_id)
        entry = entry_of.get(image_id)
        if entry is None:
            faults.append(Fault("missing", str(path), f"an annotation is of image id {image_id!r}, no image has it"))
        elif entry.png is not None:
            faults.append(Fault("doubled", str(path), f"image id {image_id!r} has more than one annotation"))
        else:
            table = _table(annotation, path, labels, image_id, faults)
            if table is not None:
                entry.png = table.file_names[0]
                entry.ids, entry.classes, entry.crowd, _ = table.rows(0)
    faults += [
        Fault("missing", entry.file_name, f"{path} has no annotation of it (image id {entry.image_id!r})")
        for entry in entries
        if entry.image_id not in spoken_for
    ]
    pngs = Counter(entry.png for entry in entries if entry.png is not None)
    faults += [Fault("doubled", png, f"{path} names it for {count} images") for png, count in pngs.items() if count > 1]
    return entries, faults


def _images(content: dict[str, Any], path: Path, faults: list[Fault]) -> list[Entry]:
    images = content.get("images")
    if not isinstance(images, list) or not images:
        faults.append(Fault("malformed", str(path), "no list of 'images' with any in it"))
        return []
    entries: dict[int | str, Entry] = {}
    for image in images:
        try:
            one = ImageList.parse({"images": [image]}, path)
        except InputError as error:
            faults.append(Fault.of("malformed", path, error))
            continue
        image_id = one.ids[0]
        if image_id in entries:
            faults.append(Fault("doubled", str(path), f"image id {image_id!r} is listed more than once"))
        else:
            entries[image_id] = Entry(image_id, one.file_names[0], one.sizes[0])
    names = Counter(entry.file_name for entry in entries.values())
    faults += [
        Fault("doubled", name, f"{path} lists it as {count} images") for name, count in names.items() if count > 1
    ]
    return list(entries.values())


def _annotated(annotation: Any, path: Path) -> int | str:
    """The image id of an annotation.

    Raises:
        InputError: if it has none.
    """
    image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
    if not isinstance(image_id, (int, str)) or isinstance(image_id, bool):
        raise InputError(f"{path}: annotations: expected objects with an 'image_id', got {repr(annotation)[:100]}")
    return image_id


def _table(
    annotation: dict[str, Any], path: Path, labels: LabelSpace, image_id: int | str, faults: list[Fault]
) -> SegmentTable | None:
    """The segments of one annotation that are sound; the others become faults."""

    def parsed(segments: Any) -> SegmentTable:
        one = {"annotations": [{**annotation, "segments_info": segments}]}
        return SegmentTable.parse(one, path, labels, [image_id])

    segments = annotation.get("segments_info")
    try:
        return parsed(segments)  # nearly always
    except InputError as error:
        try:
            parsed([])
        except InputError:  # not a segment's fault
            faults.append(Fault.of("malformed", path, error))
            return None
        if not isinstance(segments, list):
            faults.append(Fault.of("malformed", path, error))
            return None
    sound: dict[int, Any] = {}
    for segment in segments:
        where = f"image id {image_id!r}"
        category = segment.get("category_id") if isinstance(segment, dict) else None
        if type(category) is int and category not in labels.class_of_id:
            faults.append(
                Fault("category", str(path), f"{where}: segment {segment.get('id')} is of unknown category {category}")
            )
            continue
        try:
            parsed([segment])
        except InputError as error:
            faults.append(Fault.of("malformed", path, error))
            continue
        if segment["id"] in sound:
            faults.append(Fault("doubled", str(path), f"{where}: segment {segment['id']} is listed more than once"))
        else:
            sound[segment["id"]] = segment
    return parsed(list(sound.values()))
