"""Examiner for Cityscapes, which collects all faults instead of raising at the first."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from panoptic.data.checks.coco import CocoExaminer
from panoptic.data.checks.faults import Examined, Fault
from panoptic.data.cityscapes import (
    find_panoptic,
    find_street_images,
    find_truths,
    matching_classes,
    read_instance_ids,
    segments_from_instance_ids,
    stem_of,
)
from panoptic.data.coco.json import some
from panoptic.data.images import read_image
from panoptic.errors import InputError
from panoptic.labels import CITYSCAPES

LABEL_IDS = range(34)
"""Label ids of Cityscapes, except -1, which is stored as 65535."""


class CityscapesExaminer:
    """Examiner of one split of Cityscapes; see :class:`panoptic.data.cityscapes.CityscapesSource` for the format.

    Args:
        split: ``train``, ``val`` or ``test``.
        root: Folder that contains ``leftImg8bit`` and ``gtFine``.

    Attributes:
        labels: Label space.
        withheld: Whether missing and empty ground truth is expected, as in ``test``.
        faults: Faults known before any image is read.
        notes: Remarks that are not faults.
        images: Image file of each stem.
        truths: ``instanceIds`` file of each stem.
        stems: Stems of the images, in order.

    Raises:
        InputError: If the root is ``None``, the split is missing or has no images, or the JSON file of its panoptic
            version cannot be used.
    """

    labels = CITYSCAPES

    def __init__(self, split: str, *, root: str | os.PathLike | None) -> None:
        self.withheld = split == "test"
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.images: dict[str, Path] = {}
        for path in find_street_images(split, root):
            first = self.images.setdefault(stem_of(path), path)
            if first != path:
                self.faults.append(Fault("doubled", str(path), f"has the name of {first}"))
        assert root is not None  # find_street_images raises if it is None
        truths = find_truths(split, root)
        self.truths: dict[str, Path] = {}
        for stem, path in truths:
            first = self.truths.setdefault(stem, path)
            if first != path:
                self.faults.append(Fault("doubled", str(path), f"has the name of {first}"))
        self._panoptic: CocoExaminer | None = None
        panoptic_json = None if truths else find_panoptic(split, root)
        if panoptic_json is not None:
            self._examine_json(split, panoptic_json)
        annotated = self.truths if self._panoptic is None else self._rows
        unannotated = [path for stem, path in self.images.items() if stem not in annotated]
        if not self.withheld:
            self.faults += [Fault("missing", str(path), "its annotation is not there") for path in unannotated]
        self.faults += [
            Fault("missing", str(path), "its image is not there")
            for stem, path in self.truths.items()
            if stem not in self.images
        ]
        self.stems = list(self.images)

    def _examine_json(self, split: str, panoptic_json: Path) -> None:
        """Examine the JSON file of the panoptic version."""
        self._panoptic = CocoExaminer(split, panoptic_json=panoptic_json, image_of=self.images)
        self._class_of = torch.tensor(matching_classes(self._panoptic.labels, panoptic_json), dtype=torch.int64)
        self._rows = {str(entry.image_id): row for row, entry in enumerate(self._panoptic.entries)}
        self.faults += self._panoptic.faults
        self.notes += self._panoptic.notes
        self.faults += [
            Fault("missing", str(panoptic_json), f"the image of image id {image_id!r} is not there")
            for image_id in self._rows
            if image_id not in self.images
        ]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.stems)

    def examine(self, index: int) -> Examined:
        """Read an image and its ground truth as far as possible, and collect their faults."""
        stem = self.stems[index]
        if self._panoptic is not None and stem in self._rows:
            examined = self._panoptic.examine(self._rows[stem])
            if examined.segments is not None:
                examined.segments = replace(
                    examined.segments, classes=self._class_of[examined.segments.classes], scores=None
                )
            return examined
        path = self.images[stem]
        examined = Examined(path)
        try:
            examined.image = read_image(path)
        except InputError as error:
            examined.faults.append(Fault.of("unreadable", path, error))
        truth = self.truths.get(stem)
        if truth is not None:
            self._examine_truth(truth, examined)
        return examined

    def _examine_truth(self, truth: Path, examined: Examined) -> None:
        """Read an ``instanceIds`` file, and add its segments and faults."""
        try:
            stored = read_instance_ids(truth)
        except InputError as error:
            examined.faults.append(Fault.of("unreadable", truth, error))
            return
        values = np.unique(stored.astype(np.uint16))
        label_ids = np.where(values < 1000, values, values // 1000)
        unknown = values[(label_ids >= len(LABEL_IDS)) & (values != 65535)].tolist()
        if unknown:
            examined.add("ids", truth, f"numbers of no label of Cityscapes: {some(unknown)}")
        segments = segments_from_instance_ids(stored)
        if not len(segments.classes):
            if not self.withheld:
                examined.add("empty", truth, "no segment at all")
            return
        if examined.image is not None and examined.image.shape[:2] != tuple(segments.size):
            sizes = f"{tuple(segments.size)}, its image {examined.file} has {examined.image.shape[:2]}"
            examined.add("size", truth, f"height and width {sizes}")
            return
        examined.segments = segments
