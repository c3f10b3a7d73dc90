"""Boundary F1 metric: agreement of the contours of each class, independent of its area."""

from __future__ import annotations

import torch
from torch import Tensor

from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.metrics.base import SegmentsMetric
from panoptic.segments import Segments


class BoundaryF1(SegmentsMetric):
    """Contour F1 score (Perazzi et al. 2016) per class and image, averaged over images, then over classes.

    The score of an image is :func:`panoptic.metrics.functional.boundary_f1`. An image counts for the classes in its
    target or prediction; classes in no image are left out.

    Args:
        labels: Label space of predictions and targets.
        tolerance: Largest distance between matching boundaries, as a share of the image's diagonal in [0, 1). Rounded
            up to whole pixels.
        **kwargs: Keyword arguments of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If the tolerance is out of range.
    """

    setting: Tensor
    score_sum: Tensor
    images: Tensor

    def __init__(self, labels: LabelSpace, tolerance: float = 0.0075, **kwargs) -> None:
        super().__init__(labels, **kwargs)
        functional.check_shares(tolerance=tolerance)
        self.tolerance = tolerance
        self._add_setting_state(tolerance)
        self._add_class_states("score_sum", dtype=torch.float64)
        self._add_class_states("images")

    def _add(self, prediction: Segments, target: Segments) -> None:
        scores = functional.boundary_f1(prediction, target, self.labels.num_classes, self.tolerance)
        self._accumulate("score_sum", functional.sum_of_images(scores.nan_to_num(0.0)))
        self._accumulate("images", (~scores.isnan()).sum(0))

    def compute(self) -> dict[str, Tensor]:
        """Compute the current scores, scalars in 0..1 by name.

        ``boundary_f1`` is the mean over the classes that occur; ``boundary_f1_things`` and ``boundary_f1_stuff`` are
        the means over things and over stuff. A mean over no class is 0. ``boundary_f1/<name>`` is the score of a
        category, NaN if it does not occur. The keys are always the same.
        """
        return self._zero_empty_means(functional.boundary_f1_scores(self.score_sum, self.images, self.labels))
