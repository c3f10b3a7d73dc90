"""From counts per class to scalars by name, ready to be logged."""

from __future__ import annotations

from jaxtyping import Float64, Int64, Shaped
from torch import Tensor

from panoptic.labels import LabelSpace
from panoptic.metrics.functional.panoptic_quality import PanopticCounts, panoptic_quality
from panoptic.metrics.functional.semantic import intersection_over_union


def class_means(name: str, values: Float64[Tensor, " C"], labels: LabelSpace) -> dict[str, Tensor]:
    """Means of a score over the classes that are not NaN: all, the things and the stuff; NaN over no class.

    The keys are ``<name>``, ``<name>_things`` and ``<name>_stuff``.
    """
    groups = {"": range(len(labels)), "_things": labels.things, "_stuff": labels.stuff}
    on_cpu = values.cpu()  # where sums of a few numbers have one order: every device gives the same bits
    means = {f"{name}{group}": on_cpu[list(classes)].nanmean() for group, classes in groups.items()}
    return {key: mean.to(values.device) for key, mean in means.items()}


def class_values(name: str, values: Shaped[Tensor, " C"], labels: LabelSpace) -> dict[str, Tensor]:
    """A score or a count by category, under ``<name>/<category>``."""
    return {f"{name}/{category}": value for category, value in zip(labels.names, values.unbind(), strict=True)}


def quality_scores(counts: PanopticCounts, labels: LabelSpace, prefix: str = "") -> dict[str, Tensor]:
    """``pq``, ``sq`` and ``rq``, each averaged over classes on its own, then each by category."""
    scores = {f"{prefix}{name}": values for name, values in panoptic_quality(counts).items()}
    means = {key: mean for name, values in scores.items() for key, mean in class_means(name, values, labels).items()}
    each = {key: value for name, values in scores.items() for key, value in class_values(name, values, labels).items()}
    return means | each


def boundary_f1_scores(
    score_sum: Float64[Tensor, " C"], images: Int64[Tensor, " C"], labels: LabelSpace
) -> dict[str, Tensor]:
    """``boundary_f1``, from the sum of each class's scores over images and their number."""
    scores = score_sum / images
    return class_means("boundary_f1", scores, labels) | class_values("boundary_f1", scores, labels)


def iou_scores(confusion: Int64[Tensor, "C C1"], labels: LabelSpace) -> dict[str, Tensor]:
    """``mean_iou`` over classes, and ``iou/<category>``."""
    iou = intersection_over_union(confusion)
    return class_means("mean_iou", iou, labels) | class_values("iou", iou, labels)
