"""What a data set holds: every image examined in parallel, its faults, its numbers, and pictures to look at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from panoptic.complexity import COMPLEXITY_NAMES, complexity_of_areas
from panoptic.data.checks.faults import Examined, Examiner, Fault
from panoptic.data.datamodule import DataModule
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.metrics.functional import as_batch
from panoptic.utils.processes import in_processes
from panoptic.visualization.overlay import overlay

THUMBNAIL = 320
"""Width in pixels of an image in a contact sheet; its height is at most the same."""


@dataclass
class ImageNumbers:
    """What is kept of one image.

    Attributes:
        file: of the image.
        faults: of the image and its truth.
        size: height and width; ``None`` if the image cannot be read.
        digest: of the file's content; ``None`` if there is none.
        classes: of its segments; ``None`` if they are not known.
        areas: of its segments, in pixels.
        crowd: whether each is a crowd.
        complexity: object density and scale variance.
        thumbnail: the image with its segments, where one was asked for.
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


def examine_split(examiner: Examiner, shown: Sequence[int], workers: int | None = None) -> Iterator[ImageNumbers]:
    """Every image of a split, in order.

    Args:
        examiner: of the split.
        shown: indices of the images to make thumbnails of.
        workers: see :func:`panoptic.utils.processes.in_processes`.
    """
    yield from in_processes(_examine, (examiner, frozenset(shown)), len(examiner), workers)


def _examine(context: tuple[Examiner, frozenset[int]], index: int) -> ImageNumbers:
    examiner, shown = context
    examined = examiner.examine(index)
    numbers = ImageNumbers(str(examined.file), examined.faults)
    with suppress(OSError, ValueError):  # that it cannot be read is among the faults
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
        numbers.complexity = complexity_of_areas(as_batch(segments), areas[None], examiner.labels.is_thing)[0].numpy()
    return numbers


def _thumbnail(examined: Examined, labels: LabelSpace) -> UInt8[np.ndarray, "h w 3"]:
    """The image, and beside it the image with its segments, small."""
    image = examined.image
    assert image is not None  # a thumbnail is made of images that can be read
    factor = min(THUMBNAIL / max(image.shape[:2]), 1.0)
    drawn = image if examined.segments is None else overlay(image, examined.segments, labels)
    size = (max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1))
    return np.concatenate([cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (image, drawn)], axis=1)


@dataclass
class SplitNumbers:
    """The numbers of a split, added up image by image.

    Attributes:
        labels: its label space.
        images: how many there are.
        with_truth: how many have segments that are known.
        sizes: how many images have each height and width.
        segments: number of segments by class, crowd among them.
        crowd: number of crowd segments by class.
        images_with: number of images by class.
        pixels: by class; the last is void.
        complexity: of each image with truth.
        thing_areas: of all things but crowd, in pixels.
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
        """Counts an image."""
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
        """Plain containers."""
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
            "thing_area": _spread(self.areas()),
            **{name: _spread(complexity[:, i]) for i, name in enumerate(COMPLEXITY_NAMES)},
            "per_class": per_class,
        }

    def areas(self) -> np.ndarray:
        """Of all things but crowd."""
        return np.concatenate([*self.thing_areas, np.zeros(0, np.int64)])


def _spread(values: np.ndarray) -> dict[str, float]:
    """Least, median, mean and greatest; nothing if there is no value."""
    if not len(values):
        return {}
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "max": float(values.max()),
    }


class SameContents:
    """Finds image files that have the same contents, within a split and across splits."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str]] = {}

    def fault(self, split: str, image: ImageNumbers) -> Fault | None:
        """What is wrong with an image that came before."""
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
        notes: Remarks that are no faults.
        numbers: Numbers of each split that can be read.
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
        data: The data set.
        splits: Splits to read, each with all that its files serve.
        required: Splits that must be there.
        sheet: Number of thumbnails, about.
        workers: Number of processes; by default one for each processor.
        progress: Shows how far it is.
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
        examined = examine_split(examiner, shown, workers)
        for image in progress(examined, f"inspecting {split}, images", len(examiner)):
            numbers.add(image)
            duplicate = contents.fault(split, image)
            inspection.faults += [(split, fault) for fault in [*image.faults, *([duplicate] if duplicate else [])]]
            if image.thumbnail is not None:
                inspection.thumbnails.append((f"{split}: {Path(image.file).name}", image.thumbnail))
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
    """At most ``most`` of ``count`` indices, evenly spread."""
    return [*dict.fromkeys(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())] if count else []


def contact_sheet(thumbnails: Sequence[tuple[str, np.ndarray]], columns: int = 4) -> UInt8[np.ndarray, "H W 3"]:
    """Thumbnails in a grid, each below its name.

    Args:
        thumbnails: names with pictures.
        columns: of the grid.
    """
    caption, gap = 22, 8
    width = max(picture.shape[1] for _, picture in thumbnails) + gap
    columns = min(columns, len(thumbnails))
    rows = []
    for start in range(0, len(thumbnails), columns):
        some = thumbnails[start : start + columns]
        row = np.full((max(p.shape[0] for _, p in some) + caption + gap, width * columns, 3), 255, np.uint8)
        for i, (name, picture) in enumerate(some):
            fitting = name if len(name) <= width // 8 else f"...{name[3 - width // 8 :]}"
            plain = fitting.encode("ascii", "replace").decode()
            cv2.putText(row, plain, (i * width + 4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
            row[caption : caption + picture.shape[0], i * width : i * width + picture.shape[1]] = picture
        rows.append(row)
    return np.concatenate(rows)


def write_histograms(path: Path, splits: dict[str, SplitNumbers], most_classes: int = 40) -> None:
    """Draws how the numbers of each split are spread.

    Args:
        path: of the PNG file.
        splits: by name.
        most_classes: that get a bar, by falling share of pixels.
    """
    from matplotlib.figure import Figure

    from panoptic.visualization.plots import save_figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    axes = figure.subplots(2, 3).flat
    complexity = {name: np.array(s.complexity, np.float64).reshape(-1, 2) for name, s in splits.items()}
    _histogram(axes[0], {name: values[:, 0] for name, values in complexity.items()}, "object density, log(1 + things)")
    _histogram(axes[1], {name: values[:, 1] for name, values in complexity.items()}, "scale variance of the things")
    areas = {name: np.log10(s.areas().clip(min=1)) for name, s in splits.items()}
    _histogram(axes[2], areas, "area of a thing, log10 of pixels")
    sides = {name: np.repeat([max(size) for size in s.sizes], [*s.sizes.values()]) for name, s in splits.items()}
    _histogram(axes[3], sides, "longer side of an image, pixels")
    labels = next(iter(splits.values())).labels
    order = np.argsort(-sum(s.pixels[:-1] for s in splits.values()), kind="stable")[:most_classes]
    names = [labels.names[c] for c in order]
    for axis, what in ((axes[4], "pixels"), (axes[5], "segments")):
        for name, split in splits.items():
            values = getattr(split, what)[: len(labels)]
            shares = values / max(values.sum(), 1)
            axis.plot(shares[order], np.arange(len(order)), "o", label=name, markersize=4)
        axis.set_yticks(np.arange(len(order)), names, fontsize=7)
        axis.invert_yaxis()
        axis.set(title=f"share of the {what} by category", xlim=(0, None))
        axis.grid(axis="x", alpha=0.3)
    axes[0].legend()
    save_figure(figure, path)


def _histogram(axis: Any, values: dict[str, np.ndarray], title: str) -> None:
    """One outline for each split, over the same bins, as shares of the split."""
    together = np.concatenate([*values.values()])
    if len(together):
        low, high = float(together.min()), float(together.max())
        bins = np.linspace(low - 0.5, high + 0.5, 2) if low == high else np.linspace(low, high, 31)
        for name, own in values.items():
            if len(own):
                axis.hist(own, bins=bins, weights=np.full(len(own), 1 / len(own)), histtype="step", label=name)
    axis.set(title=title, ylabel="share")
