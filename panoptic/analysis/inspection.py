"""Inspection of data sets: faults of all images, examined in parallel, statistics, thumbnails and histograms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from panoptic.codec import Codec
from panoptic.complexity import COMPLEXITY_NAMES, image_complexity
from panoptic.data.checks.faults import Examined, Examiner, Fault
from panoptic.data.datamodule import DataModule
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.metrics.functional import as_batch
from panoptic.utils.processes import in_processes
from panoptic.visualization.overlay import overlay

THUMBNAIL = 320
"""Maximum width and height of an image in a contact sheet, in pixels."""


@dataclass
class ImageNumbers:
    """Results of the examination of one image.

    Attributes:
        file: File of the image.
        faults: Faults of the image and its ground truth.
        size: Height and width; ``None`` if the image cannot be read.
        digest: Hash of the file's content; ``None`` if it is empty or cannot be read.
        classes: Class of each segment; ``None`` without ground truth, as ``areas``, ``crowd`` and ``complexity``.
        areas: Area of each segment in pixels.
        crowd: Whether each segment is a crowd.
        complexity: Object density and scale variance.
        thumbnail: Image next to the image with its segments; ``None`` if not requested.
    """

    file: str
    faults: list[Fault]
    size: tuple[int, int] | None = None
    digest: str | None = None
    classes: np.ndarray | None = None
    areas: np.ndarray | None = None
    crowd: np.ndarray | None = None
    complexity: np.ndarray | None = None
    thumbnail: np.ndarray | None = None


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
    numbers = ImageNumbers(str(examined.file), examined.faults)
    with suppress(OSError, ValueError):  # an unreadable file is already a fault
        content = examined.file.read_bytes()
        numbers.digest = hashlib.blake2b(content, digest_size=16).hexdigest() if content else None
    if examined.image is not None:
        numbers.size = examined.image.shape[:2]
        if index in shown:
            numbers.thumbnail = _thumbnail(examined, examiner.labels)
    segments = examined.segments
    if segments is not None:
        areas = segments.areas()
        numbers.classes, numbers.areas, numbers.crowd = (
            part.numpy() for part in (segments.classes, areas, segments.crowd)
        )
        numbers.complexity = image_complexity(as_batch(segments), examiner.labels.is_thing, areas[None])[0].numpy()
    return numbers


def _thumbnail(examined: Examined, labels: LabelSpace) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a small version of the image next to one with its segments."""
    image = examined.image
    assert image is not None  # only readable images get a thumbnail
    factor = min(THUMBNAIL / max(image.shape[:2]), 1.0)
    drawn = image if examined.segments is None else overlay(image, examined.segments, labels)
    size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
    return np.concatenate([cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (image, drawn)], axis=1)


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

    def __post_init__(self) -> None:
        self.segments, self.crowd, self.images_with = (np.zeros(len(self.labels), np.int64) for _ in range(3))
        self.pixels = np.zeros(len(self.labels) + 1, np.int64)

    def add(self, image: ImageNumbers) -> None:
        """Add an image.

        Args:
            image: Results of the image.
        """
        self.images += 1
        if image.size is not None:
            self.sizes[image.size] = self.sizes.get(image.size, 0) + 1
        if image.classes is None or image.areas is None or image.crowd is None or image.complexity is None:
            return
        self.with_truth += 1
        count = len(self.labels)
        self.segments += np.bincount(image.classes, minlength=count)
        self.crowd += np.bincount(image.classes[image.crowd], minlength=count)
        self.images_with[np.unique(image.classes)] += 1
        self.pixels[:count] += np.bincount(image.classes, image.areas, minlength=count).astype(np.int64)
        if image.size is not None:
            self.pixels[count] += image.size[0] * image.size[1] - image.areas.sum()
        self.complexity.append(image.complexity)
        is_thing = np.array(self.labels.is_thing)[image.classes]
        self.thing_areas.append(image.areas[is_thing & ~image.crowd])

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


class SameContents:
    """Detector of image files with the same contents, within a split and across splits."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str]] = {}

    def fault(self, split: str, image: ImageNumbers) -> Fault | None:
        """Return a fault if an earlier image, in another file, has the same contents.

        Args:
            split: Split of the image.
            image: Results of the image.
        """
        if image.digest is None:
            return None
        first_split, first = self._first.setdefault(image.digest, (split, image.file))
        if first == image.file:
            return None
        return Fault("doubled", image.file, f"has the same contents as {first} of {first_split}")


@dataclass
class Inspection:
    """Results of an inspection.

    Attributes:
        faults: Faults, each with the split it is in.
        notes: Remarks that are not faults.
        numbers: Statistics of each split that can be read.
        thumbnails: Captions and pictures for the contact sheet.
    """

    faults: list[tuple[str, Fault]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, SplitNumbers] = field(default_factory=dict)
    thumbnails: list[tuple[str, np.ndarray]] = field(default_factory=list)


def inspect_data(
    data: DataModule,
    splits: Mapping[str, Sequence[str]],
    required: Sequence[str],
    sheet: int,
    workers: int | None = None,
    progress: Callable[[Iterable[ImageNumbers], str, int], Iterable[ImageNumbers]] = lambda items, *_: items,
) -> Inspection:
    """Examine every image of the splits of a data set.

    Args:
        data: Data module of the data set.
        splits: Splits to read, each with all splits that share its files, itself included.
        required: Splits that must exist.
        sheet: Approximate number of thumbnails.
        workers: Number of processes; by default one per processor.
        progress: Wrapper of an iterable that displays progress, called with the iterable, a description and the number
            of images.
    """
    inspection = Inspection()
    inspection.notes += [f"the same files serve {', '.join(served)}" for served in splits.values() if len(served) > 1]
    served = {name for names in splits.values() for name in names}
    inspection.faults += [(split, _absent(data, split)) for split in required if split not in served]
    contents = SameContents()
    for split in splits:
        try:
            examiner = data.examiner(split)
        except InputError as error:
            inspection.faults.append((split, _unreadable(error)))
            continue
        inspection.notes += examiner.notes
        inspection.faults += [(split, fault) for fault in examiner.faults]
        numbers = inspection.numbers[split] = SplitNumbers(examiner.labels)
        shown = evenly(len(examiner), -(-sheet // len(splits)))
        with closing(examine_split(examiner, shown, workers)) as examined:
            for image in progress(examined, f"inspecting {split}, images", len(examiner)):
                numbers.add(image)
                duplicate = contents.fault(split, image)
                inspection.faults += [(split, fault) for fault in [*image.faults, *([duplicate] if duplicate else [])]]
                if image.thumbnail is not None:
                    inspection.thumbnails.append((f"{split}: {Path(image.file).name}", image.thumbnail))
        most = max(map(len, numbers.thing_areas), default=0)
        if most > Codec.max_things:
            inspection.notes.append(
                f"{split}: an image holds {most} things, more than the {Codec.max_things} that an image can have by "
                f"default; train with codec.max_things={2 * most}"
            )
    inspection.faults += _differing_categories(inspection.numbers, str(getattr(data, "root", None) or ""))
    return inspection


def _absent(data: DataModule, split: str) -> Fault:
    """Return a split's absence as a fault that names the files looked for."""
    try:
        data.source(split)
    except InputError as error:
        return Fault("missing", *str(error).split(": ", 1))
    return Fault("missing", split, "the split cannot be found")


def _unreadable(error: InputError) -> Fault:
    """Return the error of a split that cannot be examined as a fault of its file."""
    file, what = str(error).split(": ", 1)
    kind = "malformed" if what.startswith("categories") else "unreadable" if Path(file).exists() else "missing"
    return Fault(kind, file, what)


def _differing_categories(splits: Mapping[str, SplitNumbers], root: str) -> list[tuple[str, Fault]]:
    """Compare the categories of all splits with those of the first."""
    faults = []
    for split, numbers in splits.items():
        first, expected = next((name, s.labels) for name, s in splits.items())
        if not numbers.labels.has_categories_of(expected):
            what = f"expected the categories of {first}, {expected.difference(numbers.labels)}"
            faults.append((split, Fault("category", root or split, what)))
    return faults


def evenly(count: int, most: int) -> list[int]:
    """Return evenly spaced indices.

    Args:
        count: Number of items to choose from.
        most: Maximum number of indices.

    Returns:
        Distinct indices in 0..``count - 1``, in ascending order.
    """
    return [*dict.fromkeys(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())] if count else []


def contact_sheet(thumbnails: Sequence[tuple[str, np.ndarray]], columns: int = 4) -> UInt8[np.ndarray, "H W 3"]:
    """Arrange thumbnails in a grid, each below its caption.

    Args:
        thumbnails: Captions and pictures; at least one.
        columns: Maximum number of columns.

    Returns:
        Contact sheet.
    """
    caption_height, gap = 22, 8
    width = max(picture.shape[1] for _, picture in thumbnails) + gap
    columns = min(columns, len(thumbnails))
    rows = []
    for start in range(0, len(thumbnails), columns):
        in_row = thumbnails[start : start + columns]
        height = max(picture.shape[0] for _, picture in in_row)
        row = np.full((height + caption_height + gap, width * columns, 3), 255, np.uint8)
        for i, (caption, picture) in enumerate(in_row):
            shortened = caption if len(caption) <= width // 8 else f"...{caption[3 - width // 8 :]}"
            text = shortened.encode("ascii", "replace").decode()
            cv2.putText(row, text, (i * width + 4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
            row[caption_height : caption_height + picture.shape[0], i * width : i * width + picture.shape[1]] = picture
        rows.append(row)
    return np.concatenate(rows)


def write_histograms(path: Path, splits: dict[str, SplitNumbers], most_classes: int = 40) -> None:
    """Draw histograms of the statistics of each split, and the shares of the categories.

    Args:
        path: Path of the PNG to write.
        splits: Statistics of each split, by name.
        most_classes: Maximum number of categories to draw, those with the most pixels.
    """
    from matplotlib.figure import Figure

    from panoptic.visualization.plots import save_figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    axes = figure.subplots(2, 3).flat
    complexity = {name: np.array(s.complexity, np.float64).reshape(-1, 2) for name, s in splits.items()}
    _histogram(
        axes[0],
        {name: values[:, 0] for name, values in complexity.items()},
        "object density, log(1 + things per 256x256)",
    )
    _histogram(axes[1], {name: values[:, 1] for name, values in complexity.items()}, "scale variance of the things")
    areas = {name: np.log10(s.areas().clip(min=1)) for name, s in splits.items()}
    _histogram(axes[2], areas, "area of a thing, log10 of pixels")
    sides = {name: np.repeat([max(size) for size in s.sizes], [*s.sizes.values()]) for name, s in splits.items()}
    _histogram(axes[3], sides, "longer side of an image, pixels")
    labels = next(iter(splits.values())).labels
    order = np.argsort(-sum(s.pixels[:-1] for s in splits.values()), kind="stable")[:most_classes]
    names = [labels.names[c] for c in order]
    for axis, quantity in ((axes[4], "pixels"), (axes[5], "segments")):
        for name, split in splits.items():
            values = getattr(split, quantity)[: len(labels)]
            shares = values / max(values.sum(), 1)
            axis.plot(shares[order], np.arange(len(order)), "o", label=name, markersize=4)
        axis.set_yticks(np.arange(len(order)), names, fontsize=7)
        axis.invert_yaxis()
        axis.set(title=f"share of the {quantity} by category", xlim=(0, None))
        axis.grid(axis="x", alpha=0.3)
    axes[0].legend()
    save_figure(figure, path)


def _histogram(axis: Any, values: dict[str, np.ndarray], title: str) -> None:
    """Draw the outline of a histogram for each split, with the same bins, as shares of the split."""
    all_values = np.concatenate([*values.values()])
    if len(all_values):
        low, high = float(all_values.min()), float(all_values.max())
        bins = np.linspace(low - 0.5, high + 0.5, 2) if low == high else np.linspace(low, high, 31)
        for name, split_values in values.items():
            count = len(split_values)
            if count:
                axis.hist(split_values, bins=bins, weights=np.full(count, 1 / count), histtype="step", label=name)
    axis.set(title=title, ylabel="share")
