"""Statistics of a split: its images are examined in parallel, each with its faults and a thumbnail."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from jaxtyping import Int64, UInt8
from scipy.ndimage import find_objects

from panoptic.complexity import COMPLEXITY_NAMES, image_complexity
from panoptic.data.checks.faults import Examined, Examiner, Fault
from panoptic.data.checks.near_duplicates import perceptual_hash
from panoptic.labels import LabelSpace
from panoptic.metrics.functional import as_batch
from panoptic.segments import Segments
from panoptic.utils.pictures import shown_bands
from panoptic.utils.processes import in_processes
from panoptic.visualization.overlay import overlay

THUMBNAIL = 320
"""Maximum width and height of an image in a contact sheet, in pixels."""


PICTURE = 200
"""Maximum width and height of a single picture, in pixels."""


@dataclass
class ImageNumbers:
    """Results of the examination of one image.

    Attributes:
        file: File of the image.
        faults: Faults of the image and its ground truth.
        size: Height and width; ``None`` if the image cannot be read.
        digest: Hash of the file's content; ``None`` if it is empty or cannot be read.
        perceptual: Perceptual hash; ``None`` if the image is flat or cannot be read.
        classes: Class of each segment; ``None`` without ground truth, as ``areas``, ``extents``, ``crowd`` and
            ``complexity``.
        areas: Area of each segment in pixels.
        extents: Height and width of the box around each segment.
        crowd: Whether each segment is a crowd.
        complexity: Object density and scale variance.
        thumbnail: Image next to the image with its segments; ``None`` if not requested.
        remarks: Keys of :data:`panoptic.data.bands.REMARKS`.
    """

    file: str
    faults: list[Fault]
    size: tuple[int, int] | None = None
    digest: str | None = None
    perceptual: np.ndarray | None = None
    classes: np.ndarray | None = None
    areas: np.ndarray | None = None
    extents: np.ndarray | None = None
    crowd: np.ndarray | None = None
    complexity: np.ndarray | None = None
    thumbnail: np.ndarray | None = None
    remarks: list[str] = field(default_factory=list)


def examine_split(
    examiner: Examiner, shown: Sequence[int], workers: int | None = None
) -> Generator[ImageNumbers, None, None]:
    """Examine every image of a split, in order.

    Args:
        examiner: Examiner of the split.
        shown: Indices of the images that get a thumbnail.
        workers: Number of processes; see :func:`panoptic.utils.processes.in_processes`.

    Yields:
        Results of each image.
    """
    yield from in_processes(_examine, (examiner, frozenset(shown)), len(examiner), workers)


def _examine(context: tuple[Examiner, frozenset[int]], index: int) -> ImageNumbers:
    examiner, shown = context
    examined = examiner.examine(index)
    numbers = ImageNumbers(str(examined.file), examined.faults, remarks=examined.remarks)
    with suppress(OSError, ValueError):  # an unreadable file is already a fault
        content = examined.file.read_bytes() if examined.file.is_file() else b""  # devices and pipes have no end
        numbers.digest = hashlib.blake2b(content, digest_size=16).hexdigest() if content else None
    if examined.image is not None:
        numbers.size = examined.image.shape[:2]
        numbers.perceptual = perceptual_hash(examined.image)
        if index in shown:
            numbers.thumbnail = _thumbnail(examined, examiner.labels)
    segments = examined.segments
    if segments is not None:
        areas = segments.areas()
        numbers.classes, numbers.areas, numbers.crowd = (
            part.numpy() for part in (segments.classes, areas, segments.crowd)
        )
        numbers.extents = _extents(segments)
        numbers.complexity = image_complexity(as_batch(segments), examiner.labels.is_thing, areas[None])[0].numpy()
    return numbers


def _extents(segments: Segments) -> Int64[np.ndarray, "N 2"]:
    """Return height and width of the box around each segment, 0 without a pixel."""
    boxes = find_objects(segments.ids.numpy(), len(segments.classes))
    sides = [(0, 0) if box is None else tuple(side.stop - side.start for side in box) for box in boxes]
    return np.array(sides, np.int64).reshape(-1, 2)


def _thumbnail(examined: Examined, labels: LabelSpace) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a small version of the image next to one with its segments."""
    assert examined.image is not None  # only readable images get a thumbnail
    image = shown_bands(examined.image)
    drawn = image if examined.segments is None else overlay(image, examined.segments, labels)
    return np.concatenate([_shrink(part, THUMBNAIL) for part in (image, drawn)], axis=1)


def _shrink(image: UInt8[np.ndarray, "H W 3"], most: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image whose sides are at most ``most``."""
    factor = min(most / max(image.shape[:2]), 1.0)
    size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def take_pictures(
    examiner: Examiner, indices: Sequence[int], workers: int | None = None
) -> dict[int, UInt8[np.ndarray, "h w 3"]]:
    """Return small pictures of some images of a split, of those that can be read.

    Args:
        examiner: Examiner of the split.
        indices: Indices of the images.
        workers: Number of processes; see :func:`panoptic.utils.processes.in_processes`.
    """
    pictures = in_processes(_take_picture, (examiner, indices), len(indices), workers)
    return {i: picture for i, picture in zip(indices, pictures, strict=True) if picture is not None}


def _take_picture(context: tuple[Examiner, Sequence[int]], position: int) -> UInt8[np.ndarray, "h w 3"] | None:
    examiner, indices = context
    image = examiner.examine(indices[position]).image
    return None if image is None else _shrink(shown_bands(image), PICTURE)


@dataclass
class SplitNumbers:
    """Statistics of a split, accumulated image by image.

    Attributes:
        labels: Label space.
        images: Number of images.
        with_truth: Number of images with ground truth.
        sizes: Number of images of each height and width.
        segments: Number of segments of each class, including crowds.
        crowd: Number of crowd segments of each class.
        images_with: Number of images with each class.
        pixels: Number of pixels of each class; the last entry is void.
        complexity: Object density and scale variance of each image with ground truth.
        thing_areas: Areas of the things in each image, except crowds, in pixels.
        thing_classes: Classes of these things.
        thing_extents: Heights and widths of the boxes around these things.
        split_stuff: Number of images in which a category of stuff has several segments, by class.
    """

    labels: LabelSpace
    images: int = 0
    with_truth: int = 0
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    segments: np.ndarray = field(init=False)
    crowd: np.ndarray = field(init=False)
    images_with: np.ndarray = field(init=False)
    pixels: np.ndarray = field(init=False)
    complexity: list[np.ndarray] = field(default_factory=list)
    thing_areas: list[np.ndarray] = field(default_factory=list)
    thing_classes: list[np.ndarray] = field(default_factory=list)
    thing_extents: list[np.ndarray] = field(default_factory=list)
    split_stuff: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.segments, self.crowd, self.images_with, self.split_stuff = (
            np.zeros(len(self.labels), np.int64) for _ in range(4)
        )
        self.pixels = np.zeros(len(self.labels) + 1, np.int64)

    def add(self, image: ImageNumbers) -> None:
        """Add an image.

        Args:
            image: Results of the image.
        """
        self.images += 1
        if image.size is not None:
            self.sizes[image.size] = self.sizes.get(image.size, 0) + 1
        if image.classes is None or image.areas is None or image.extents is None:
            return
        if image.crowd is None or image.complexity is None:
            return
        self.with_truth += 1
        count = len(self.labels)
        segments = np.bincount(image.classes, minlength=count)
        self.segments += segments
        self.split_stuff += (segments > 1) & ~np.array(self.labels.is_thing)
        self.crowd += np.bincount(image.classes[image.crowd], minlength=count)
        self.images_with[np.unique(image.classes)] += 1
        self.pixels[:count] += np.bincount(image.classes, image.areas, minlength=count).astype(np.int64)
        if image.size is not None:
            self.pixels[count] += image.size[0] * image.size[1] - image.areas.sum()
        self.complexity.append(image.complexity)
        things = np.array(self.labels.is_thing)[image.classes] & ~image.crowd
        self.thing_areas.append(image.areas[things])
        self.thing_classes.append(image.classes[things])
        self.thing_extents.append(image.extents[things])

    def result(self) -> dict[str, Any]:
        """Return the statistics as plain containers, for JSON; shares of pixels are in 0..1."""
        total = max(int(self.pixels.sum()), 1)
        complexity = np.array(self.complexity, np.float64).reshape(-1, 2)
        per_class = {
            name: {
                "thing": self.labels.is_thing[c],
                "segments": int(self.segments[c]),
                "crowd": int(self.crowd[c]),
                "images": int(self.images_with[c]),
                "pixels": float(self.pixels[c] / total),
            }
            for c, name in enumerate(self.labels.names)
        }
        return {
            "images": self.images,
            "with_truth": self.with_truth,
            "sizes": {f"{w}x{h}": n for (h, w), n in sorted(self.sizes.items(), key=lambda size: -size[1])},
            "void_pixels": float(self.pixels[-1] / total),
            "thing_area": _summarize(self.areas()),
            **{name: _summarize(complexity[:, i]) for i, name in enumerate(COMPLEXITY_NAMES)},
            "per_class": per_class,
        }

    def areas(self) -> np.ndarray:
        """Return the areas of all things except crowds, in pixels."""
        return np.concatenate([*self.thing_areas, np.zeros(0, np.int64)])


def _summarize(values: np.ndarray) -> dict[str, float]:
    """Return minimum, median, mean and maximum; empty if there are no values."""
    if not len(values):
        return {}
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "max": float(values.max()),
    }
