"""Scalar scores by name, ready for logging, from counts per class."""

from __future__ import annotations

from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from panoptic.labels import LabelSpace
from panoptic.metrics.functional.panoptic_quality import PanopticCounts, panoptic_quality
from panoptic.metrics.functional.semantic import intersection_over_union


def class_means(name: str, values: Float64[Tensor, " C"], labels: LabelSpace) -> dict[str, Tensor]:
    """Average a score over all classes, things and stuff, ignoring NaN; a mean over no class is NaN.

    The keys are ``<name>``, ``<name>_things`` and ``<name>_stuff``.
    """
    groups = {"": range(len(labels)), "_things": labels.things, "_stuff": labels.stuff}
    on_cpu = values.cpu()  # a fixed order of summation: results of all devices are bitwise equal
    means = {f"{name}{group}": on_cpu[list(classes)].nanmean() for group, classes in groups.items()}
    return {key: mean.to(values.device) for key, mean in means.items()}


def class_values(name: str, values: Shaped[Tensor, " C"], labels: LabelSpace) -> dict[str, Tensor]:
    """Return a score or a count of each class under ``<name>/<category>``."""
    return {f"{name}/{category}": value for category, value in zip(labels.names, values.unbind(), strict=True)}


def quality_scores(counts: PanopticCounts, labels: LabelSpace, prefix: str = "") -> dict[str, Tensor]:
    """Compute ``pq``, ``sq`` and ``rq``: their separate means over classes, then the scores of each category."""
    scores = {f"{prefix}{name}": values for name, values in panoptic_quality(counts).items()}
    means = {key: mean for name, values in scores.items() for key, mean in class_means(name, values, labels).items()}
    per_class = {
        key: value for name, values in scores.items() for key, value in class_values(name, values, labels).items()
    }
    return means | per_class


def boundary_f1_scores(
    score_sum: Float64[Tensor, " C"], images: Int64[Tensor, " C"], labels: LabelSpace
) -> dict[str, Tensor]:
    """Compute ``boundary_f1``: its means over classes, then the score of each category.

    Args:
        score_sum: Sum of the scores of each class over images.
        images: Number of images that each class occurs in.
        labels: Label space of the scores.
    """
    scores = score_sum / images
    return class_means("boundary_f1", scores, labels) | class_values("boundary_f1", scores, labels)


def iou_scores(confusion: Int64[Tensor, "C C1"], labels: LabelSpace) -> dict[str, Tensor]:
    """Compute ``mean_iou`` over classes, then ``iou/<category>``, from a confusion matrix."""
    iou = intersection_over_union(confusion)
    return class_means("mean_iou", iou, labels) | class_values("iou", iou, labels)
