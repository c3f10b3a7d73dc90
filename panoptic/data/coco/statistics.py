"""Statistics of a split in COCO panoptic format: sizes from its JSON file, ranges from some of its images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from panoptic.data.bands import Reading
from panoptic.data.coco.json import ImageList, load, read_labels
from panoptic.data.statistics import DataStatistics
from panoptic.errors import InputError

DECODED = 16
"""Number of images that are decoded to see which range they use."""


def read_statistics(panoptic_json: Path, image_dir: Path | None, reading: Reading | None = None) -> DataStatistics:
    """Read the statistics of a split.

    Areas are those of ``segments_info``, or of their boxes; things with neither are left out, as crowds are.

    Args:
        panoptic_json: JSON file of the split.
        image_dir: Folder of its images, whose headers tell the sizes that the file lacks.
        reading: How images are read, to see which range they use; by default none is decoded.

    Raises:
        InputError: If the file cannot be read, or has no images or categories.
    """
    content = load(panoptic_json)
    labels = read_labels(content, panoptic_json)
    images = ImageList.parse(content, panoptic_json)
    sizes = [(int(h), int(w)) for h, w in images.sizes if h and w and h > 0 and w > 0]
    if not sizes and image_dir is not None:
        sizes = list(_sizes_of_files(image_dir, images.file_names[:50]))
    things = {category for category, c in labels.class_of_id.items() if labels.is_thing[c]}
    of_images = [
        [info for info in _segments(annotation) if info.get("category_id") in things and not info.get("iscrowd")]
        for annotation in content.get("annotations") or []
    ]
    areas = [area for infos in of_images for info in infos if (area := _area(info)) > 0]
    most = max(map(len, of_images), default=0)
    used = [] if image_dir is None or reading is None else list(_used_ranges(image_dir, images.file_names, reading))
    sides = np.sqrt(np.array(areas, np.float64))
    return DataStatistics(len(images.ids), sizes, sides, most, used, labels.num_classes)


def _segments(annotation: Any) -> list[dict[str, Any]]:
    """Return the segments of an annotation that are objects; the reader says what is wrong with others."""
    segments = annotation.get("segments_info") if isinstance(annotation, dict) else None
    return [info for info in segments if isinstance(info, dict)] if isinstance(segments, list) else []


def _area(info: dict[str, Any]) -> float:
    area, box = info.get("area"), info.get("bbox")
    with suppress(TypeError, ValueError, IndexError):
        return float(area) if area is not None else float(box[2]) * float(box[3])  # type: ignore[index]
    return 0.0


def _used_ranges(folder: Path, names: list[str], reading: Reading) -> Iterator[float | None]:
    """Yield the range that some images use; the reader says which cannot be read."""
    for index in np.linspace(0, len(names) - 1, min(len(names), DECODED)).astype(int):
        with suppress(InputError):
            yield reading.used_range(folder / names[index])


def _sizes_of_files(folder: Path, names: list[str]) -> Iterator[tuple[int, int]]:
    """Yield height and width from the headers of image files; the reader says which cannot be read."""
    for name in names:
        with suppress(OSError, ValueError), Image.open(folder / name) as image:
            yield image.height, image.width
