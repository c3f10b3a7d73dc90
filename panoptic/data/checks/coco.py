"""Examiner for the COCO panoptic format, which collects all faults instead of raising at the first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from panoptic.data.bands import Reading, remarks, turn_note
from panoptic.data.checks.faults import Examined, Fault
from panoptic.data.coco.json import ImageList, SegmentTable, load, read_labels, some, without_unannotated
from panoptic.data.coco.layout import find_image_dir, find_json, find_panoptic_dir, labels_of_any_split
from panoptic.data.coco.reader import match_ids
from panoptic.data.images import find_images, read_words
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.segments import Segments


@dataclass
class Entry:
    """Valid entries of a JSON file for one image.

    Attributes:
        image_id: Image id; ``None`` without a JSON file.
        file_name: File name of the image.
        size: Height and width; ``None`` where not given.
        png: File name of the PNG with its segments; ``None`` without a valid annotation.
        ids: Id of each segment in the PNG; ``None`` without a valid annotation, as ``classes`` and ``crowd``.
        classes: Class of each segment.
        crowd: Whether each segment is a crowd.
    """

    image_id: int | str | None
    file_name: str
    size: tuple[int | None, int | None] = (None, None)
    png: str | None = None
    ids: np.ndarray | None = None
    classes: np.ndarray | None = None
    crowd: np.ndarray | None = None


class CocoExaminer:
    """Examiner of one split in COCO panoptic format.

    Files are searched as by :class:`panoptic.data.coco.reader.CocoPanopticSource`.

    Args:
        split: ``train``, ``val`` or ``test``.
        root: Folder of the data set.
        image_dir: Folder that the file names of images are relative to; required without a root or ``image_of``.
        panoptic_dir: Folder that the file names of annotations are relative to.
        panoptic_json: Path of the JSON file.
        image_of: Image file of each image id, replacing ``image_dir``, for data sets whose JSON file does not contain
            the paths of images.
        reading: How image files are read.
        skip_unannotated: Whether images without an annotation are left out, rather than faults.

    Attributes:
        labels: Label space.
        faults: Faults known before any image is read.
        notes: Remarks that are not faults.
        entries: Entries of the images.
        panoptic_json: Path of the JSON file; ``None`` if there is none.
        image_dir: Folder of the images; ``None`` if it is missing or replaced by ``image_of``.
        panoptic_dir: Folder of the PNG files; ``None`` if it is missing or the ground truth is withheld.

    Raises:
        InputError: If the JSON file or its categories cannot be used at all.
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
        reading: Reading = Reading(),  # noqa: B008  # frozen
        skip_unannotated: bool = False,
    ) -> None:
        self.reading = reading
        base = Path(root).expanduser() if root is not None else Path()
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.panoptic_json = find_json(split, root, panoptic_json)
        self._image_of = image_of
        self.image_dir: Path | None = None
        self.panoptic_dir: Path | None = None
        if self.panoptic_json is None:
            self.image_dir = find_image_dir(split, root, image_dir, None)
            assert self.image_dir is not None  # find_json raises if neither a JSON file nor a root is given
            self.labels = labels_of_any_split(base)
            self.entries = [Entry(None, path.name) for path in find_images(self.image_dir)]
            return
        content = load(self.panoptic_json)
        if skip_unannotated and content.get("annotations"):
            content, left_out = without_unannotated(content)
            if left_out:
                self.notes.append(f"{self.panoptic_json}: {left_out} images without an annotation are left out")
        self.labels = read_labels(content, self.panoptic_json)
        withheld = split == "test" and not content.get("annotations")
        self.entries, self.faults = survey(content, self.panoptic_json, self.labels, withheld=withheld)
        # A missing folder is a fault rather than an error, so that the faults of the JSON file are reported too.
        if image_of is None:
            try:
                self.image_dir = find_image_dir(split, root, image_dir, self.panoptic_json)
                assert self.image_dir is not None  # a root or image_dir is required
                self._note_unlisted(self.image_dir, (entry.file_name for entry in self.entries))
            except InputError as error:
                self.faults.append(Fault("missing", *str(error).split(": ", 1)))
        if withheld:
            return
        given = None if panoptic_dir is None else base / Path(panoptic_dir).expanduser()
        try:
            self.panoptic_dir = find_panoptic_dir(self.panoptic_json, given)
            self._note_unlisted(self.panoptic_dir, (entry.png for entry in self.entries if entry.png is not None))
        except InputError as error:
            self.faults.append(Fault("missing", *str(error).split(": ", 1)))

    def _note_unlisted(self, folder: Path, listed: Iterable[str]) -> None:
        """Note the files of a folder that the JSON file does not list, except hidden ones."""
        known = set(listed)
        unlisted = sorted(name for name in os.listdir(folder) if name not in known and os.path.isfile(folder / name))
        unlisted = [name for name in unlisted if not name.startswith(".")]
        if unlisted:
            self.notes.append(
                f"{folder}: {len(unlisted)} files that {self.panoptic_json} does not list: {some(unlisted)}"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.entries)

    def examine(self, index: int) -> Examined:
        """Read an image and its PNG as far as possible, and collect their faults."""
        entry = self.entries[index]
        path = Path(entry.file_name)
        if self._image_of is not None:
            path = self._image_of.get(str(entry.image_id), path)
        elif self.image_dir is not None:
            path = self.image_dir / path
        examined = Examined(path)
        sizes = {}
        if self._image_of is None and self.image_dir is None:
            pass  # all images are missing, which is already a fault of the split
        elif not os.path.exists(path):
            examined.add("missing", path, f"the image of image id {entry.image_id!r} is not there")
        else:
            try:
                examined.image = self.reading.read(path)
                examined.remarks = remarks(path) if self.reading.is_ordinary else []
                sizes[path] = examined.image.shape[:2]
            except InputError as error:
                examined.faults.append(Fault.of("unreadable", path, error))
        if entry.png is not None and self.panoptic_dir is not None:
            png = self.panoptic_dir / entry.png
            self._examine_png(png, entry, examined)
            if examined.segments is not None:
                sizes[png] = tuple(examined.segments.size)
        for file, size in sizes.items():
            if any(expected not in (None, side) for expected, side in zip(entry.size, size, strict=True)):
                note = turn_note(file, size, entry.size)
                examined.add("size", file, f"height and width {size}, {self.panoptic_json} says {entry.size}{note}")
        if len(set(sizes.values())) > 1:
            (image, image_size), (png, png_size) = sizes.items()
            note = turn_note(image, image_size, png_size)
            examined.add("size", png, f"height and width {png_size}, its image {image} has {image_size}{note}")
            examined.segments = None
        return examined

    def _examine_png(self, png: Path, entry: Entry, examined: Examined) -> None:
        """Read a PNG, and add its segments and faults."""
        if not os.path.exists(png):
            examined.add("missing", png, f"the segments of {examined.file.name} are not there")
            return
        try:
            words = read_words(png)
        except InputError as error:
            examined.faults.append(Fault.of("unreadable", png, error))
            return
        assert entry.ids is not None  # an entry with a PNG has all columns
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
    """Parse the entries of a JSON file for each image, and collect its faults.

    Args:
        content: Content of the JSON file.
        path: Path of the JSON file.
        labels: Label space of the JSON file.
        withheld: Whether the annotations are withheld, as for a test split; if so, they are not expected.

    Returns:
        Valid entries of each image, and faults.
    """
    faults: list[Fault] = []
    entries = _parse_images(content, path, faults)
    if withheld:
        return entries, faults
    annotations = content.get("annotations")
    if not isinstance(annotations, list):
        faults.append(Fault("malformed", str(path), "no list of 'annotations'"))
        annotations = []
    entry_of = {entry.image_id: entry for entry in entries}
    annotated = set()
    for annotation in annotations:
        try:
            image_id = _image_id(annotation, path)
        except InputError as error:
            faults.append(Fault.of("malformed", path, error))
            continue
        annotated.add(image_id)
        entry = entry_of.get(image_id)
        if entry is None:
            faults.append(Fault("missing", str(path), f"an annotation is of image id {image_id!r}, no image has it"))
        elif entry.png is not None:
            faults.append(Fault("doubled", str(path), f"image id {image_id!r} has more than one annotation"))
        else:
            table = _parse_segments(annotation, path, labels, image_id, faults)
            if table is not None:
                entry.png = table.file_names[0]
                entry.ids, entry.classes, entry.crowd, _ = table.rows(0)
    faults += [
        Fault("missing", entry.file_name, f"{path} has no annotation of it (image id {entry.image_id!r})")
        for entry in entries
        if entry.image_id not in annotated
    ]
    pngs = Counter(entry.png for entry in entries if entry.png is not None)
    faults += [Fault("doubled", png, f"{path} names it for {count} images") for png, count in pngs.items() if count > 1]
    return entries, faults


def _parse_images(content: dict[str, Any], path: Path, faults: list[Fault]) -> list[Entry]:
    """Parse ``images``, and add its faults."""
    images = content.get("images")
    if not isinstance(images, list) or not images:
        faults.append(Fault("malformed", str(path), "no list of 'images' with any in it"))
        return []
    entries: dict[int | str, Entry] = {}
    for image in images:
        try:
            parsed = ImageList.parse({"images": [image]}, path)
        except InputError as error:
            faults.append(Fault.of("malformed", path, error))
            continue
        image_id = parsed.ids[0]
        if image_id in entries:
            faults.append(Fault("doubled", str(path), f"image id {image_id!r} is listed more than once"))
        else:
            entries[image_id] = Entry(image_id, parsed.file_names[0], parsed.sizes[0])
    names = Counter(entry.file_name for entry in entries.values())
    faults += [
        Fault("doubled", name, f"{path} lists it as {count} images") for name, count in names.items() if count > 1
    ]
    return list(entries.values())


def _image_id(annotation: Any, path: Path) -> int | str:
    """Return the image id of an annotation.

    Raises:
        InputError: If it has none.
    """
    image_id = annotation.get("image_id") if isinstance(annotation, dict) else None
    if not isinstance(image_id, (int, str)) or isinstance(image_id, bool):
        raise InputError(f"{path}: annotations: expected objects with an 'image_id', got {repr(annotation)[:100]}")
    return image_id


def _parse_segments(
    annotation: dict[str, Any], path: Path, labels: LabelSpace, image_id: int | str, faults: list[Fault]
) -> SegmentTable | None:
    """Parse the valid segments of one annotation, and add the faults of the others."""

    def parse(segments: Any) -> SegmentTable:
        content = {"annotations": [{**annotation, "segments_info": segments}]}
        return SegmentTable.parse(content, path, labels, [image_id])

    segments = annotation.get("segments_info")
    try:
        return parse(segments)  # the common case
    except InputError as error:
        try:
            parse([])
        except InputError:  # the fault is not in the segments
            faults.append(Fault.of("malformed", path, error))
            return None
        if not isinstance(segments, list):
            faults.append(Fault.of("malformed", path, error))
            return None
    valid: dict[int, Any] = {}
    for segment in segments:
        where = f"image id {image_id!r}"
        category = segment.get("category_id") if isinstance(segment, dict) else None
        if type(category) is int and category not in labels.class_of_id:
            faults.append(
                Fault("category", str(path), f"{where}: segment {segment.get('id')} is of unknown category {category}")
            )
            continue
        try:
            parse([segment])
        except InputError as error:
            faults.append(Fault.of("malformed", path, error))
            continue
        if segment["id"] in valid:
            faults.append(Fault("doubled", str(path), f"{where}: segment {segment['id']} is listed more than once"))
        else:
            valid[segment["id"]] = segment
    return parse(list(valid.values()))
