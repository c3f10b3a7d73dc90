"""Scores of single images, for per-image tables, bootstraps and breakdowns.

:func:`score_image` computes all scores of an image in one comparison. :class:`Evaluation` accumulates images; its
scores equal those of the metrics of this package, since the same functions compute them from the same counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from panoptic.complexity import COMPLEXITY_NAMES, image_complexity
from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.metrics.display import narrow_remark
from panoptic.metrics.functional import FALSE_KINDS, MISSED_KINDS, ErrorCounts, PanopticCounts
from panoptic.metrics.panoptic_quality import default_dilation_ratio
from panoptic.segments import Segments


@dataclass(frozen=True)
class Settings:
    """Settings of the scores.

    Attributes:
        boundaries: Whether to compute Boundary PQ and boundary F1.
        dilation_ratio: Dilation ratio of Boundary PQ; see :class:`panoptic.metrics.BoundaryPanopticQuality`.
        tolerance: Tolerance of boundary F1; see :class:`panoptic.metrics.BoundaryF1`.
    """

    boundaries: bool = True
    dilation_ratio: float | None = None
    tolerance: float = 0.0075

    def __post_init__(self) -> None:
        functional.check_shares(self.dilation_ratio, self.tolerance)

    def ratio(self, labels: LabelSpace) -> float:
        """Return the dilation ratio, by default that of the label space."""
        return default_dilation_ratio(labels) if self.dilation_ratio is None else self.dilation_ratio

    def note(self, labels: LabelSpace) -> str | None:
        """Return a sentence on what boundary scores depend on; ``None`` if they are not computed."""
        if not self.boundaries:
            return None
        return f"boundaries: dilation_ratio={self.ratio(labels):g} for PQ, tolerance={self.tolerance:g} for F1"


class ImageScores(NamedTuple):
    """Counts and scores of one image.

    Attributes:
        quality: Counts of panoptic quality.
        confusion: Number of pixels by true and predicted class. The last column is predicted void.
        complexity: Object density and scale variance of the ground truth.
        errors: Counts of what went wrong.
        boundary_quality: Counts of Boundary PQ; ``None`` if boundaries are not scored.
        boundary_f1: Boundary F1 by class, NaN for classes that do not occur; ``None`` if boundaries are not scored.
        boundary_width: Width of the boundaries of Boundary PQ in pixels; ``None`` if boundaries are not scored.
    """

    quality: PanopticCounts
    confusion: Int64[Tensor, "C C1"]
    complexity: Float[Tensor, " 2"]
    errors: ErrorCounts
    boundary_quality: PanopticCounts | None = None
    boundary_f1: Float64[Tensor, " C"] | None = None
    boundary_width: int | None = None


def score_image(
    prediction: Segments, target: Segments, labels: LabelSpace, settings: Settings | None = None
) -> ImageScores:
    """Score a predicted image against its ground truth, on the device of the inputs.

    Args:
        prediction: Predicted segments of one image.
        target: True segments of the same size.
        labels: Label space of both.
        settings: Settings of the scores. By default those of :class:`Settings`.

    Raises:
        ValueError: If prediction and target differ in size or, on a CPU, have an id without a row or a class out of
            range.
    """
    settings = settings or Settings()
    functional.check_pair(prediction, target, labels.num_classes)
    prediction, target, c = functional.as_batch(prediction), functional.as_batch(target), labels.num_classes
    boundary_quality = boundary_f1 = None
    if settings.boundaries:
        split = functional.boundary_intersections(prediction, target, settings.ratio(labels))
        boundary_quality = functional.boundary_counts_from_intersections(split, prediction, target, c).total()
        boundary_f1 = functional.boundary_f1(prediction, target, c, settings.tolerance, split)[0]
        shared: functional.Intersections = split
    else:
        shared = functional.intersections(prediction, target)
    return ImageScores(
        functional.counts_from_intersections(shared, prediction, target, c).total(),
        functional.confusion_from_intersections(shared, prediction, target, c)[0],
        image_complexity(target, labels.is_thing, shared.true_areas)[0],
        functional.errors_from_intersections(shared, prediction, target, c).total(),
        boundary_quality,
        boundary_f1,
        functional.boundary_width(target.size, settings.ratio(labels)) if settings.boundaries else None,
    )


def image_row(scores: ImageScores, labels: LabelSpace) -> dict[str, int | float | None]:
    """Return the scores and counts of one image by column.

    The columns depend on the label space and on the settings only: means over classes, the complexity of the ground
    truth, errors of all classes by kind (``fn_merged``), then counts by category (``tp/car``). The scores of any set of
    images follow from the sums of their counts, through :func:`panoptic.metrics.functional.panoptic_quality`. A value
    is ``None`` if there is no class to average over, or if the image does not have the class.
    """
    flat = functional.quality_scores(scores.quality, labels)
    columns = {name: flat[name] for name in ("pq", "sq", "rq", "pq_things", "pq_stuff")}
    columns["mean_iou"] = functional.iou_scores(scores.confusion, labels)["mean_iou"]
    if scores.boundary_quality is not None and scores.boundary_f1 is not None:
        columns["boundary_pq"] = functional.quality_scores(scores.boundary_quality, labels)["pq"]
        columns["boundary_f1"] = scores.boundary_f1.nanmean()
    columns |= dict(zip(COMPLEXITY_NAMES, scores.complexity, strict=True))
    for name, kinds, errors in _by_kind(scores.errors):
        columns |= {f"{name}_{kind}": count for kind, count in zip(kinds, errors.sum(0), strict=True)}
    for prefix, counts in (("", scores.quality), ("boundary_", scores.boundary_quality)):
        for name, values in counts._asdict().items() if counts is not None else ():
            columns |= functional.class_values(f"{prefix}{name}", values, labels)
    if scores.boundary_f1 is not None:
        columns |= functional.class_values("boundary_f1", scores.boundary_f1, labels)
    row = {name: value.item() for name, value in columns.items()}
    return {name: _number(value) for name, value in row.items()}


class Evaluation:
    """Accumulator of the scores of a set of images; its memory does not grow with their number.

    Args:
        labels: Label space of the images.
        settings: Settings that the images were scored with. By default those of :class:`Settings`.
    """

    def __init__(self, labels: LabelSpace, settings: Settings | None = None) -> None:
        self.labels = labels
        self.settings = settings or Settings()
        self.images = self.narrow = 0
        c = labels.num_classes
        self.quality, self.boundary_quality = _zero_counts(c), _zero_counts(c)
        self.confusion = torch.zeros(c, c + 1, dtype=torch.int64)
        kinds = (MISSED_KINDS, FALSE_KINDS)
        self.errors = ErrorCounts(*(torch.zeros(c, len(names), dtype=torch.int64) for names in kinds))
        self.f1_sum, self.f1_images = torch.zeros(c, dtype=torch.float64), torch.zeros(c, dtype=torch.int64)

    def add(self, scores: ImageScores) -> None:
        """Add the scores of an image."""
        self.images += 1
        self.quality = _add_counts(self.quality, scores.quality)
        self.confusion += scores.confusion.cpu()
        self.errors = ErrorCounts(*(a + b.cpu() for a, b in zip(self.errors, scores.errors, strict=True)))
        if scores.boundary_quality is not None and scores.boundary_f1 is not None:
            self.boundary_quality = _add_counts(self.boundary_quality, scores.boundary_quality)
            f1 = scores.boundary_f1.cpu()
            self.f1_sum += f1.nan_to_num(0.0)
            self.f1_images += ~f1.isnan()
            self.narrow += scores.boundary_width == 1

    def scores(self) -> dict[str, float]:
        """Return all scores as a flat dict, with the keys of the metrics; NaN if there is nothing to score."""
        flat = functional.quality_scores(self.quality, self.labels)
        flat |= functional.iou_scores(self.confusion, self.labels)
        if self.settings.boundaries:
            flat |= functional.quality_scores(self.boundary_quality, self.labels, "boundary_")
            flat |= functional.boundary_f1_scores(self.f1_sum, self.f1_images, self.labels)
            flat["boundary_narrow"] = torch.tensor(self.narrow / max(self.images, 1), dtype=torch.float64)
        return {name: value.item() for name, value in flat.items()}

    def result(self) -> dict[str, Any]:
        """Return all scores as plain nested containers without NaN, for a JSON file.

        ``all``, ``things`` and ``stuff`` hold ``pq``, ``sq``, ``rq`` and ``n``, the number of averaged classes; all are
        0 if no class occurs. ``per_class`` holds the scores and counts of the categories that occur, with ``None`` for
        undefined scores. ``boundary_pq`` holds the same for Boundary PQ, and a ``remark``
        if it says little at the size of the images. ``boundary_f1`` and ``mean_iou`` are means
        over classes. ``errors`` holds the false negatives and positives by kind, for the same groups and categories.
        """
        flat = self.scores()
        result: dict[str, Any] = {"images": self.images}
        result |= self._quality(flat, "", self.quality, ("iou", "boundary_f1"))
        if self.settings.boundaries:
            result["boundary_pq"] = self._quality(flat, "boundary_", self.boundary_quality)
            result["boundary_pq"]["remark"] = narrow_remark(flat)
            result["boundary_f1"] = _number(flat["boundary_f1"]) or 0.0
            result["dilation_ratio"] = self.settings.ratio(self.labels)
            result["tolerance"] = self.settings.tolerance
        return result | {"mean_iou": _number(flat["mean_iou"]) or 0.0, "errors": self._errors(result["per_class"])}

    def _errors(self, occurring: Collection[str]) -> dict[str, Any]:
        def of(classes: Sequence[int]) -> dict[str, dict[str, int]]:
            return {
                name: dict(zip(kinds, counts[list(classes)].sum(0).tolist(), strict=True))
                for name, kinds, counts in _by_kind(self.errors)
            }

        groups = {"all": range(len(self.labels)), "things": self.labels.things, "stuff": self.labels.stuff}
        per_class = {name: of([c]) for c, name in enumerate(self.labels.names) if name in occurring}
        return {group: of(classes) for group, classes in groups.items()} | {"per_class": per_class}

    def _quality(
        self, flat: dict[str, float], prefix: str, counts: PanopticCounts, extra: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        names, result = self.labels.names, {}
        occurs = [flat[f"{prefix}pq/{name}"] >= 0 for name in names]
        groups = {"all": range(len(names)), "things": self.labels.things, "stuff": self.labels.stuff}
        for group, classes in groups.items():
            suffix = "" if group == "all" else f"_{group}"
            means = {score: _number(flat[f"{prefix}{score}{suffix}"]) or 0.0 for score in ("pq", "sq", "rq")}
            result[group] = means | {"n": sum(occurs[c] for c in classes)}
        per_class = {}
        for c, name in enumerate(names):
            row = {score: _number(flat[f"{prefix}{score}/{name}"]) for score in ("pq", "sq", "rq")}
            row |= {score: _number(flat[f"{score}/{name}"]) for score in extra if f"{score}/{name}" in flat}
            if any(value is not None for value in row.values()):
                per_class[name] = row | {count: values[c].item() for count, values in counts._asdict().items()}
        return result | {"per_class": per_class}


def _by_kind(errors: ErrorCounts) -> Iterator[tuple[str, tuple[str, ...], Int64[Tensor, "C 5"]]]:
    """Yield the name of each count of errors, with its kinds and numbers."""
    yield "fn", MISSED_KINDS, errors.fn
    yield "fp", FALSE_KINDS, errors.fp


def _number(value: float) -> float | None:
    """Replace NaN by ``None``."""
    return None if math.isnan(value) else value


def _zero_counts(num_classes: int) -> PanopticCounts:
    zeros = torch.zeros(num_classes, dtype=torch.int64)
    return PanopticCounts(zeros.double(), zeros, zeros, zeros)


def _add_counts(total: PanopticCounts, counts: PanopticCounts) -> PanopticCounts:
    return PanopticCounts(*(a + b.cpu() for a, b in zip(total, counts, strict=True)))
