"""Export of synthetic scenes to disk, in the layout of Cityscapes or in COCO panoptic format."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt16
from PIL import Image

from panoptic.data.coco.writer import CocoPanopticWriter, cityscapes_numbers
from panoptic.data.sample import SPLITS
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.scenes.source import SyntheticSource
from panoptic.segments import Segments
from panoptic.utils.files import writable_folder
from panoptic.utils.processes import in_processes

CITY = "synthetic"
"""City name of all scenes, for formats that need one."""


def write_cityscapes(root: Path, source: SyntheticSource, workers: int | None = None) -> Generator[str, None, None]:
    """Write a split in the layout of Cityscapes: ``leftImg8bit/<split>/synthetic``, ``gtFine/<split>/synthetic``.

    Each scene is an image with its ``instanceIds`` and ``labelIds``. The test split gets its ground truth too.

    Args:
        root: Output folder.
        source: Scenes of the split.
        workers: Number of processes, see :func:`panoptic.utils.processes.in_processes`.

    Yields:
        The name of each scene.
    """
    images, truths = (root / kind / source.split / CITY for kind in ("leftImg8bit", "gtFine"))
    for folder in (images, truths):
        writable_folder(folder)
    yield from in_processes(_write_cityscapes, (images, truths, source), len(source), workers)


def _write_cityscapes(context: tuple[Path, Path, SyntheticSource], index: int) -> str:
    images, truths, source = context
    sample = source.read(index)
    name = f"{CITY}_{SPLITS.index(source.split):06d}_{index:06d}"
    assert sample.segments is not None  # every synthetic scene has ground truth
    instances = instance_ids(sample.segments, source.labels)
    labels = np.where(instances < 1000, instances, instances // 1000).astype(np.uint8)
    _save(Image.fromarray(sample.image), images / f"{name}_leftImg8bit.png")
    _save(Image.fromarray(instances), truths / f"{name}_gtFine_instanceIds.png")
    _save(Image.fromarray(labels), truths / f"{name}_gtFine_labelIds.png")
    return name


def instance_ids(segments: Segments, labels: LabelSpace) -> UInt16[np.ndarray, "H W"]:
    """Return the map of an ``instanceIds`` file.

    Pixels of single things hold labelId x 1000 + instance number, all others the labelId; void is 0.
    """
    return np.append(0, cityscapes_numbers(segments, labels)).astype(np.uint16)[segments.ids.numpy()]


def write_coco_panoptic(root: Path, source: SyntheticSource, workers: int | None = None) -> Generator[str, None, None]:
    """Write a split in COCO panoptic format: ``<split>/*.png``, ``panoptic_<split>/*.png``, ``panoptic_<split>.json``.

    Args:
        root: Output folder.
        source: Scenes of the split.
        workers: Number of processes, see :func:`panoptic.utils.processes.in_processes`.

    Yields:
        The name of each scene.
    """
    images = root / source.split
    writable_folder(images)
    with CocoPanopticWriter(root, source.labels, name=f"panoptic_{source.split}") as writer:
        context = images, writer, source
        for index, (name, entry) in enumerate(in_processes(_write_coco, context, len(source), workers)):
            writer.note(name, entry, image_id=index)
            yield name


def _write_coco(context: tuple[Path, CocoPanopticWriter, SyntheticSource], index: int) -> tuple[str, dict[str, Any]]:
    images, writer, source = context
    sample = source.read(index)
    assert sample.segments is not None  # every synthetic scene has ground truth
    _save(Image.fromarray(sample.image), images / f"{sample.name}.png")
    return sample.name, writer.write_png(sample.name, sample.segments)


FORMATS: dict[str, Callable[..., Generator[str, None, None]]] = {
    "cityscapes": write_cityscapes,
    "coco_panoptic": write_coco_panoptic,
}
"""Functions that write a split, by name of the format."""


def _save(image: Image.Image, path: Path) -> None:
    try:
        image.save(path)
    except OSError as error:
        raise InputError(f"{path}: expected to write it, got: {error}") from None
