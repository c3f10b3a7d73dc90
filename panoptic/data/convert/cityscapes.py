"""Cityscapes, whose reader trains on it as it is; as COCO panoptic it can be joined with other data."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from panoptic.data.cityscapes import CityscapesSource
from panoptic.data.convert.files import folder_at
from panoptic.data.convert.records import Listing, Record, Truth
from panoptic.data.sample import SPLITS
from panoptic.errors import InputError
from panoptic.labels import CITYSCAPES


def listing(root: Path, images: Path | None) -> Listing:
    """List the images of all splits whose truth is not withheld.

    Args:
        root: Folder with ``leftImg8bit`` and ``gtFine``.
        images: Not used.

    Raises:
        InputError: If something is missing.
    """
    folder = folder_at(root / "leftImg8bit", "the images of Cityscapes")
    records = []
    notes = []
    for split in (split for split in SPLITS if (folder / split).is_dir()):
        source = CityscapesSource(split, root=root)
        if source.withheld and source.read_segments(0) is None:
            notes.append(f"{folder / split}: the truth of these images is withheld; they were left out")
            continue
        for i, image in enumerate(source.images):
            name = image.relative_to(folder).as_posix()
            records.append(Record(image, name, split, partial(_load, source, i)))
    if not records:
        raise InputError(f"{folder}: expected folders {', '.join(SPLITS)}, got none")
    return Listing(records, CITYSCAPES, tuple(notes))


def _load(source: CityscapesSource, index: int, size: tuple[int, int]) -> Truth:
    """Return the segments of an image."""
    segments = source.read(index).segments  # the image too, whose size is compared
    if segments is None:
        raise InputError(f"{source.images[index]}: expected a truth, got none")
    return Truth(segments.ids.numpy(), segments.classes.tolist(), segments.crowd.tolist())
