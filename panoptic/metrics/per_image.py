"""Scores of single images: what per-image tables, bootstraps and breakdowns are made of.

:func:`score_image` compares one image once for all scores; :class:`Evaluation` adds images up, and gives the scores of
the metrics of this package, since the same counts go through the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from panoptic.complexity import COMPLEXITY_NAMES, complexity_of_areas
from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.metrics.functional import PanopticCounts
from panoptic.metrics.panoptic_quality import default_dilation_ratio
from panoptic.segments import Segments


@dataclass(frozen=True)
class Settings:
    """What is scored, and how.

    Attributes:
        boundaries: whether Boundary PQ and boundary F1 are computed.
        dilation_ratio: of Boundary PQ; see :class:`panoptic.metrics.BoundaryPanopticQuality`.
        tolerance: of boundary F1; see :class:`panoptic.metrics.BoundaryF1`.
    """

    boundaries: bool = True
    dilation_ratio: float | None = None
    tolerance: float = 0.0075

    def __post_init__(self) -> None:
        functional.check_shares(self.dilation_ratio, self.tolerance)

    def ratio(self, labels: LabelSpace) -> float:
        """The dilation ratio, where none is set that of the label space."""
        return default_dilation_ratio(labels) if self.dilation_ratio is None else self.dilation_ratio


class ImageScores(NamedTuple):
    """What the scores of one image are made of.

    Attributes:
        quality: counts of panoptic quality.
        confusion: pixels by true and predicted class; the last column is predicted void.
        complexity: object density and scale variance of the truth.
        boundary_quality: counts of Boundary PQ, where boundaries are scored.
        boundary_f1: boundary F1 by class, NaN for those that do not occur, where boundaries are scored.
    """

    quality: PanopticCounts
    confusion: Int64[Tensor, "C C1"]
    complexity: Float[Tensor, " 2"]
    boundary_quality: PanopticCounts | None = None
    boundary_f1: Float64[Tensor, " C"] | None = None


def score_image(
    prediction: Segments, target: Segments, labels: LabelSpace, settings: Settings | None = None
) -> ImageScores:
    """Compares one image with its truth, on the device that they are on.

    Raises:
        ValueError: if the two differ in size or, on a CPU, have an id without a row or a class out of range.
    """
    settings = settings or Settings()
    functional.check_pair(prediction, target, labels.num_classes)
    prediction, target, c = functional.as_batch(prediction), functional.as_batch(target), labels.num_classes
    boundary_quality = boundary_f1 = None
    if settings.boundaries:
        split = functional.boundary_intersections(prediction, target, settings.ratio(labels))
        table = split.sum((2, 4))
        boundary_quality = functional.boundary_counts_from_table(split, prediction, target, c).total()
        boundary_f1 = functional.boundary_f1(prediction, target, c, settings.tolerance, table)[0]
    else:
        table = functional.intersections(prediction, target)
    return ImageScores(
        functional.counts_from_table(table, prediction, target, c).total(),
        functional.confusion_from_table(table, prediction, target, c)[0],
        complexity_of_areas(target, table[:, 1:].sum(2), labels.is_thing)[0],
        boundary_quality,
        boundary_f1,
    )


def image_row(scores: ImageScores, labels: LabelSpace) -> dict[str, int | float | None]:
    """One image's scores and counts by column; the columns follow from the label space and what was scored.

    First the image's own means and the complexity of its truth, then by category its counts (``tp/car``), from which
    the scores of any set of images follow: sums over their rows, through
    :func:`panoptic.metrics.functional.panoptic_quality`. ``None`` where there is no class to average over, or where
    the image does not have the class.
    """
    flat = functional.quality_scores(scores.quality, labels)
    columns = {name: flat[name] for name in ("pq", "sq", "rq", "pq_things", "pq_stuff")}
    columns["mean_iou"] = functional.iou_scores(scores.confusion, labels)["mean_iou"]
    if scores.boundary_quality is not None:
        columns["boundary_pq"] = functional.quality_scores(scores.boundary_quality, labels)["pq"]
        columns["boundary_f1"] = scores.boundary_f1.nanmean()
    columns |= dict(zip(COMPLEXITY_NAMES, scores.complexity, strict=True))
    for prefix, counts in (("", scores.quality), ("boundary_", scores.boundary_quality)):
        for name, values in counts._asdict().items() if counts is not None else ():
            columns |= functional.class_values(f"{prefix}{name}", values, labels)
    if scores.boundary_f1 is not None:
        columns |= functional.class_values("boundary_f1", scores.boundary_f1, labels)
    row = {name: value.item() for name, value in columns.items()}
    return {name: value if value == value else None for name, value in row.items()}


class Evaluation:
    """The scores of a set of images, added one by one; memory does not grow with their number.

    Args:
        labels: the label space.
        settings: with which the images were scored.
    """

    def __init__(self, labels: LabelSpace, settings: Settings | None = None) -> None:
        self.labels = labels
        self.settings = settings or Settings()
        self.images = 0
        c = labels.num_classes
        self.quality, self.boundary_quality = _no_counts(c), _no_counts(c)
        self.confusion = torch.zeros(c, c + 1, dtype=torch.int64)
        self.f1_sum, self.f1_images = torch.zeros(c, dtype=torch.float64), torch.zeros(c, dtype=torch.int64)

    def add(self, scores: ImageScores) -> None:
        """Adds an image."""
        self.images += 1
        self.quality = _plus(self.quality, scores.quality)
        self.confusion += scores.confusion.cpu()
        if scores.boundary_quality is not None:
            self.boundary_quality = _plus(self.boundary_quality, scores.boundary_quality)
            f1 = scores.boundary_f1.cpu()
            self.f1_sum += f1.nan_to_num(0.0)
            self.f1_images += ~f1.isnan()

    def scores(self) -> dict[str, float]:
        """All scores as a flat dict, as the metrics compute them; NaN where there is nothing to score."""
        flat = functional.quality_scores(self.quality, self.labels)
        flat |= functional.iou_scores(self.confusion, self.labels)
        if self.settings.boundaries:
            flat |= functional.quality_scores(self.boundary_quality, self.labels, "boundary_")
            flat |= functional.boundary_f1_scores(self.f1_sum, self.f1_images, self.labels)
        return {name: value.item() for name, value in flat.items()}

    def result(self) -> dict[str, Any]:
        """All scores as plain nested containers without NaN, for a JSON file.

        ``all``, ``things`` and ``stuff`` hold ``pq``, ``sq``, ``rq`` and ``n``, the number of classes averaged (0 with
        scores of 0 where none occurs); ``per_class`` the scores and counts of the categories that occur, ``None`` for
        a score that has nothing to count; ``boundary_pq`` the same for Boundary PQ; ``boundary_f1`` and ``mean_iou``
        are means over classes.
        """
        flat = self.scores()
        result: dict[str, Any] = {"images": self.images}
        result |= self._quality(flat, "", self.quality, ("iou", "boundary_f1"))
        if self.settings.boundaries:
            result["boundary_pq"] = self._quality(flat, "boundary_", self.boundary_quality)
            result["boundary_f1"] = _number(flat["boundary_f1"]) or 0.0
            result["dilation_ratio"] = self.settings.ratio(self.labels)
            result["tolerance"] = self.settings.tolerance
        return result | {"mean_iou": _number(flat["mean_iou"]) or 0.0}

    def _quality(
        self, flat: dict[str, float], prefix: str, counts: PanopticCounts, others: tuple[str, ...] = ()
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
            row |= {other: _number(flat[f"{other}/{name}"]) for other in others if f"{other}/{name}" in flat}
            if any(value is not None for value in row.values()):
                per_class[name] = row | {count: values[c].item() for count, values in counts._asdict().items()}
        return result | {"per_class": per_class}


def _number(value: float) -> float | None:
    return value if value == value else None


def _no_counts(num_classes: int) -> PanopticCounts:
    zeros = torch.zeros(num_classes, dtype=torch.int64)
    return PanopticCounts(zeros.double(), zeros, zeros, zeros)


def _plus(one: PanopticCounts, other: PanopticCounts) -> PanopticCounts:
    return PanopticCounts(*(a + b.cpu() for a, b in zip(one, other, strict=True)))
