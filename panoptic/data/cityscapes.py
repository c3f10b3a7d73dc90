"""Reader for Cityscapes in the layout of its archives (Cordts et al. 2016, https://www.cityscapes-dataset.com).

Images are ``leftImg8bit/<split>/<city>/*_leftImg8bit.png``, ground truth is
``gtFine/<split>/<city>/*_gtFine_instanceIds.png``. The value of a pixel is ``labelId * 1000 + number`` on individual
things and ``labelId`` elsewhere; on a thing class, a plain ``labelId`` marks a group of things that are not
distinguished. Labels that the benchmark does not evaluate become void.

If only the panoptic version of the ground truth exists, it is read instead: ``cityscapes_panoptic_<split>.json`` and
the folder of the same name with PNG files, in ``gtFine``, ``gtFine_panoptic`` or the root, as written by
``csCreatePanopticImgs`` with label ids or train ids.
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
    """One split of Cityscapes, with the 19 evaluated classes.

    The ground truth of ``test`` is withheld: its archive contains placeholders without any label. In that split,
    missing or entirely void annotations are read as ``None``. In other splits a missing file is an error, and an
    entirely void annotation gives an image without segments.

    Args:
        split: ``train``, ``val`` or ``test``.
        root: Folder that contains ``leftImg8bit`` and ``gtFine``.

    Raises:
        InputError: If the root, the split or an annotation is missing.
    """

    def __init__(self, split: str, *, root: str | os.PathLike | None) -> None:
        self.labels = CITYSCAPES
        self.withheld = split == "test"
        self.images = find_street_images(split, root)
        assert root is not None  # find_street_images raises if it is None
        truth_of = dict(find_truths(split, root))
        self.truths = [truth_of.get(stem_of(path)) for path in self.images]
        self._annotated = [truth is not None for truth in self.truths]
        self._panoptic: CocoPanopticSource | None = None
        panoptic_json = None if any(self._annotated) else find_panoptic(split, root)
        if panoptic_json is not None:
            self._panoptic = CocoPanopticSource(split, panoptic_json=panoptic_json)
            self._class_of = torch.tensor(matching_classes(self._panoptic.labels, panoptic_json), dtype=torch.int64)
            rows = {str(image_id): row for row, image_id in enumerate(self._panoptic.image_ids)}
            self._rows = [rows.get(stem_of(path)) for path in self.images]
            self._annotated = [row is not None for row in self._rows]
        missing = self._annotated.count(False)
        if missing and not self.withheld:
            first = self.images[self._annotated.index(False)]
            truth = Path(root).expanduser() / "gtFine" / split / first.parent.name / f"{stem_of(first)}{_TRUTH}"
            raise InputError(
                f"{panoptic_json or truth}: expected the annotation of {first.name}, got none "
                f"({missing} of {len(self.images)} are missing). {_LAYOUT}"
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @property
    def image_ids(self) -> range:
        """Indices of the images; the evaluator of Cityscapes identifies images by name."""
        return range(len(self.images))

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """Read an image and its segments.

        Args:
            index: Index of the image.
            strength: Ignored.

        Raises:
            InputError: If a file cannot be read, or the sizes of image and annotation differ.
        """
        image = read_image(self.images[index])
        segments = self.read_segments(index)
        if segments is not None and tuple(segments.size) != image.shape[:2]:
            truth = self._truth(index) if self._panoptic is None else self._panoptic.png(self._row(index))
            raise InputError(
                f"{truth}: expected the height and width of its image, {image.shape[:2]}, got {tuple(segments.size)}"
            )
        return Sample(image, segments, stem_of(self.images[index]))

    def origin(self, index: int) -> Origin:
        """Return everything that the content of a sample depends on."""
        image = self.images[index]
        if not self._annotated[index]:
            return Origin(stem_of(image), [image])
        if self._panoptic is None:
            return Origin(stem_of(image), [image, self._truth(index)])
        truth = self._panoptic.origin(self._row(index))
        return Origin(stem_of(image), [image, *truth.files[-1:]], truth.table)

    def read_segments(self, index: int) -> Segments | None:
        """Read the segments of an image without the image itself.

        Args:
            index: Index of the image.

        Returns:
            Segments, or ``None`` if they are withheld.

        Raises:
            InputError: If the annotation cannot be read.
        """
        if not self._annotated[index]:
            return None
        if self._panoptic is not None:
            segments = self._panoptic.read_segments(self._row(index))
            return segments and replace(segments, classes=self._class_of[segments.classes], scores=None)
        segments = segments_from_instance_ids(read_instance_ids(self._truth(index)))
        return None if self.withheld and not len(segments.classes) else segments

    def _truth(self, index: int) -> Path:
        """Return the ``instanceIds`` file of an annotated image."""
        truth = self.truths[index]
        assert truth is not None
        return truth

    def _row(self, index: int) -> int:
        """Return the index of an annotated image in the panoptic version."""
        row = self._rows[index]
        assert row is not None
        return row


def segments_from_instance_ids(stored: np.ndarray) -> Segments:
    """Convert the values of an ``instanceIds`` file to segments.

    Each individual thing is a segment, the pixels of a thing class without a number are one crowd segment, and each
    stuff class is one segment. Labels that are not evaluated are void, among them the license plate, whose -1 is stored
    as 65535.

    Args:
        stored: Values of the pixels ``[H W]``.

    Returns:
        Segments in ascending order of their values.
    """
    # All values fit in 16 bits, so a table over all of them is much faster than sorting the pixels.
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
    """Find the images of a split, in sorted order.

    Args:
        split: ``train``, ``val`` or ``test``.
        root: Folder that contains ``leftImg8bit``.

    Raises:
        InputError: If the root is ``None``, or the split is missing or has no images.
    """
    if root is None:
        raise InputError(f"data.root: expected a folder, got none. {_LAYOUT}")
    folder = Path(root).expanduser() / "leftImg8bit" / split
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, got a path that is not there. {_LAYOUT}")
    images = sorted(p for p in folder.glob(f"*/*{_IMAGE}") if not p.name.startswith("."))
    if not images:
        raise InputError(f"{folder}: expected images named <city>/*{_IMAGE}, got none. {_LAYOUT}")
    return images


def find_truths(split: str, root: str | os.PathLike) -> list[tuple[str, Path]]:
    """Find the ``instanceIds`` files of a split, each with the stem that it shares with its image."""
    truths = (Path(root).expanduser() / "gtFine" / split).glob(f"*/*{_TRUTH}")
    return sorted((p.name.removesuffix(_TRUTH), p) for p in truths if not p.name.startswith("."))


def find_panoptic(split: str, root: str | os.PathLike) -> Path | None:
    """Find the JSON file of the panoptic version of a split; ``None`` if it does not exist."""
    candidates = (Path(root).expanduser() / pattern.format(split=split) for pattern in _PANOPTIC)
    return next((path for path in candidates if path.is_file()), None)


def read_instance_ids(path: Path) -> Shaped[np.ndarray, "H W"]:
    """Read the values of an ``instanceIds`` file.

    Args:
        path: Path of the PNG.

    Raises:
        InputError: If the file cannot be read, or is not a PNG with one channel.
    """
    # Older releases of Pillow read 16-bit images as "I", with 32 bits.
    return read_stored(path, ("I;16", "I;16B", "I", "L"), "a PNG with one channel of 16 bits")


def matching_classes(labels: LabelSpace, panoptic_json: Path) -> list[int]:
    """Map the classes of a panoptic version to :data:`~panoptic.labels.CITYSCAPES`, matching categories by name.

    Names are the same for both kinds of category ids, label ids and train ids.

    Args:
        labels: Label space of the panoptic version.
        panoptic_json: JSON file of the panoptic version, for the error message.

    Returns:
        Class in :data:`~panoptic.labels.CITYSCAPES` of each class in ``labels``.

    Raises:
        InputError: If the categories are not the evaluated ones.
    """
    class_of = {(c.name, c.isthing): i for i, c in enumerate(CITYSCAPES.categories)}
    categories = [(c.name, c.isthing) for c in labels.categories]
    if set(categories) != set(class_of):
        differing = sorted({name for name, _ in set(class_of) ^ set(categories)})
        raise InputError(
            f"{panoptic_json}: expected the {len(class_of)} categories that Cityscapes evaluates, got others, or "
            f"other things: {', '.join(differing)}; data=coco_panoptic reads any categories"
        )
    return [class_of[category] for category in categories]


def stem_of(image: Path) -> str:
    """Return the part of an image's name that it shares with its annotation."""
    return image.name.removesuffix(_IMAGE)


_LAYOUT = (
    "data=cityscapes expects the archives leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip unzipped in "
    f"data.root: leftImg8bit/<split>/<city>/*{_IMAGE} and gtFine/<split>/<city>/*{_TRUTH} "
    "(or gtFine/cityscapes_panoptic_<split>.json with its PNG files). "
    "data=synthetic needs no files"
)
