"""Cityscapes, as its archives unzip (Cordts et al. 2016, https://www.cityscapes-dataset.com).

``leftImg8bit/<split>/<city>/*_leftImg8bit.png`` holds the images and ``gtFine/<split>/<city>/*_gtFine_instanceIds.png``
the truth: a pixel is ``labelId * 1000 + number`` on things told apart and ``labelId`` elsewhere, on things too, where
that means a group that was not told apart. The labels that the benchmark does not evaluate become void.

Where only the panoptic version of the truth is there, that is read: ``cityscapes_panoptic_<split>.json`` and the folder
of that name with PNG files, in ``gtFine``, ``gtFine_panoptic`` or the root, as ``csCreatePanopticImgs`` writes them,
with either kind of ids.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped

from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.images import read_image, read_stored
from panoptic.data.sample import Origin, Sample
from panoptic.errors import InputError
from panoptic.labels import CITYSCAPES, LabelSpace
from panoptic.segments import Segments

_IMAGE = "_leftImg8bit.png"
_TRUTH = "_gtFine_instanceIds.png"
_PANOPTIC = tuple(
    f"{folder}cityscapes_panoptic_{{split}}{ids}.json"
    for folder in ("gtFine/", "gtFine_panoptic/", "")
    for ids in ("", "_trainId")
)


class CityscapesSource:
    """One split of Cityscapes, with the 19 classes that are evaluated.

    The truth of ``test`` is withheld: its archive holds placeholders in which nothing is labeled. In that split, a
    truth that is missing or all void reads as ``None``; elsewhere a missing file is an error, and an all-void one an
    image without segments.

    Args:
        split: ``train``, ``val`` or ``test``.
        root: the folder that holds ``leftImg8bit`` and ``gtFine``.

    Raises:
        InputError: if the root, the split or an annotation is missing.
    """

    def __init__(self, split: str, *, root: str | os.PathLike | None):
        self.labels = CITYSCAPES
        self.withheld = split == "test"
        self.images = find_street_images(split, root)
        truth_of = dict(find_truths(split, root))
        self.truths = [truth_of.get(stem_of(path)) for path in self.images]
        self._there = [truth is not None for truth in self.truths]
        self._panoptic = None
        panoptic_json = None if any(self._there) else find_panoptic(split, root)
        if panoptic_json is not None:
            self._panoptic = CocoPanopticSource(split, panoptic_json=panoptic_json)
            self._class_of = torch.tensor(matching_classes(self._panoptic.labels, panoptic_json), dtype=torch.int64)
            rows = {str(image_id): row for row, image_id in enumerate(self._panoptic.image_ids)}
            self._rows = [rows.get(stem_of(path)) for path in self.images]
            self._there = [row is not None for row in self._rows]
        missing = self._there.count(False)
        if missing and not self.withheld:
            first = self.images[self._there.index(False)]
            truth = Path(root).expanduser() / "gtFine" / split / first.parent.name / f"{stem_of(first)}{_TRUTH}"
            raise InputError(
                f"{panoptic_json or truth}: expected the annotation of {first.name}, got none "
                f"({missing} of {len(self.images)} are missing). {_LAYOUT}"
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    @property
    def image_ids(self) -> range:
        """The positions of the images; Cityscapes' own evaluator goes by their names."""
        return range(len(self.images))

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """The image at ``index``; ``strength`` is of no effect.

        Raises:
            InputError: if a file cannot be read, or the sizes of image and annotation differ.
        """
        image = read_image(self.images[index])
        segments = self.read_segments(index)
        if segments is not None and tuple(segments.size) != image.shape[:2]:
            truth = self.truths[index] if self._panoptic is None else self._panoptic.png(self._rows[index])
            raise InputError(
                f"{truth}: expected the height and width of its image, {image.shape[:2]}, got {tuple(segments.size)}"
            )
        return Sample(image, segments, stem_of(self.images[index]))

    def origin(self, index: int) -> Origin:
        """What a sample is made of."""
        image = self.images[index]
        if not self._there[index]:
            return Origin(stem_of(image), [image])
        if self._panoptic is None:
            return Origin(stem_of(image), [image, self.truths[index]])
        truth = self._panoptic.origin(self._rows[index])
        return Origin(stem_of(image), [image, *truth.files[-1:]], truth.table)

    def read_segments(self, index: int) -> Segments | None:
        """The truth of the image at ``index`` alone.

        Raises:
            InputError: if the annotation cannot be read.
        """
        if not self._there[index]:
            return None
        if self._panoptic is not None:
            segments = self._panoptic.read_segments(self._rows[index])
            return segments and replace(segments, classes=self._class_of[segments.classes], scores=None)
        segments = segments_from_instance_ids(read_instance_ids(self.truths[index]))
        return None if self.withheld and not len(segments.classes) else segments


def segments_from_instance_ids(stored: np.ndarray) -> Segments:
    """Segments from the numbers of an ``instanceIds`` file ``[H W]``, in ascending order of those numbers.

    Each thing told apart is a segment; what a thing class has without a number is one crowd; each stuff class is one
    segment. Labels that are not evaluated are void, among them the license plate: its -1 is stored as 65535.
    """
    # 16 bits hold any number there is, so a table over all of them beats sorting the pixels by far.
    stored = stored.astype(np.uint16)
    present = np.flatnonzero(np.bincount(stored.ravel(), minlength=1 << 16))
    label = np.where(present < 1000, present, present // 1000)
    classes = np.array([CITYSCAPES.class_of_id.get(int(i), -1) for i in label], dtype=np.int64)
    present, label, classes = (column[classes >= 0] for column in (present, label, classes))
    is_thing = np.array(CITYSCAPES.is_thing)[classes]
    keys, first, row = np.unique(np.where(is_thing, present, label), return_index=True, return_inverse=True)
    ids = np.zeros(1 << 16, dtype=np.int32)
    ids[present] = row + 1
    return Segments(
        torch.from_numpy(ids[stored]),
        torch.from_numpy(classes[first]),
        torch.from_numpy(is_thing[first] & (keys < 1000)),
    )


def find_street_images(split: str, root: str | os.PathLike | None) -> list[Path]:
    """The images of a split, in sorted order.

    Raises:
        InputError: if there is no root, no such split or no image.
    """
    if root is None:
        raise InputError(f"data.root: expected a folder, got none. {_LAYOUT}")
    folder = Path(root).expanduser() / "leftImg8bit" / split
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, got a path that is not there. {_LAYOUT}")
    found = sorted(p for p in folder.glob(f"*/*{_IMAGE}") if not p.name.startswith("."))
    if not found:
        raise InputError(f"{folder}: expected images named <city>/*{_IMAGE}, got none. {_LAYOUT}")
    return found


def find_truths(split: str, root: str | os.PathLike) -> list[tuple[str, Path]]:
    """The ``instanceIds`` files of a split, each with the name that it shares with its image."""
    found = (Path(root).expanduser() / "gtFine" / split).glob(f"*/*{_TRUTH}")
    return sorted((p.name.removesuffix(_TRUTH), p) for p in found if not p.name.startswith("."))


def find_panoptic(split: str, root: str | os.PathLike) -> Path | None:
    """The JSON file of the panoptic version of a split's truth, where it is there."""
    candidates = (Path(root).expanduser() / pattern.format(split=split) for pattern in _PANOPTIC)
    return next((path for path in candidates if path.is_file()), None)


def read_instance_ids(path: Path) -> Shaped[np.ndarray, "H W"]:
    """The numbers of an ``instanceIds`` file.

    Raises:
        InputError: if it cannot be read, or is no PNG with one channel.
    """
    # "I" holds 16 bits in 32, as older releases of Pillow read them.
    return read_stored(path, ("I;16", "I;16B", "I", "L"), "a PNG with one channel of 16 bits")


def matching_classes(labels: LabelSpace, panoptic_json: Path) -> list[int]:
    """The class here of each class of a panoptic version: the two kinds of ids have the names in common.

    Raises:
        InputError: if they are not the evaluated classes.
    """
    here = {(c.name, c.isthing): i for i, c in enumerate(CITYSCAPES.categories)}
    there = [(c.name, c.isthing) for c in labels.categories]
    if set(there) != set(here):
        strange = sorted({name for name, _ in set(here) ^ set(there)})
        raise InputError(
            f"{panoptic_json}: expected the {len(here)} categories that Cityscapes evaluates, got others, or "
            f"other things: {', '.join(strange)}; data=coco_panoptic reads any categories"
        )
    return [here[category] for category in there]


def stem_of(image: Path) -> str:
    """What an image's name shares with that of its truth."""
    return image.name.removesuffix(_IMAGE)


_LAYOUT = (
    "data=cityscapes expects the archives leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip unzipped in "
    f"data.root: leftImg8bit/<split>/<city>/*{_IMAGE} and gtFine/<split>/<city>/*{_TRUTH} "
    "(or gtFine/cityscapes_panoptic_<split>.json with its PNG files). "
    "data=synthetic needs no files"
)
