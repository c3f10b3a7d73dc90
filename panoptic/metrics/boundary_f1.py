"""Boundary F1 as a metric: how well the contours of each class agree, whatever the size of its area."""

from __future__ import annotations

import torch
from torch import Tensor

from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.metrics.base import SegmentsMetric
from panoptic.segments import Segments


class BoundaryF1(SegmentsMetric):
    """Contour F1 score (Perazzi et al. 2016) per class and image, averaged over images, then over classes.

    The score of an image is that of :func:`panoptic.metrics.functional.boundary_f1`. An image counts for the classes
    that it has in the target or the prediction; a class that no image has is left out.

    Args:
        labels: the label space of predictions and targets.
        tolerance: the largest distance between boundaries that agree, as a share of the image's diagonal, at least 0
            and below 1; in pixels it is rounded up.

    Raises:
        ValueError: if the tolerance is out of range.
    """

    setting: Tensor
    score_sum: Tensor
    images: Tensor

    def __init__(self, labels: LabelSpace, tolerance: float = 0.0075, **kwargs) -> None:
        super().__init__(labels, **kwargs)
        functional.check_shares(tolerance=tolerance)
        self.tolerance = tolerance
        self._setting_state(tolerance)
        self._class_state("score_sum", dtype=torch.float64)
        self._class_state("images")

    def _add(self, prediction: Segments, target: Segments) -> None:
        scores = functional.boundary_f1(prediction, target, self.labels.num_classes, self.tolerance)
        self._add_state("score_sum", functional.sum_of_images(scores.nan_to_num(0.0)))
        self._add_state("images", (~scores.isnan()).sum(0))

    def compute(self) -> dict[str, Tensor]:
        """The scores so far, scalars in 0..1 by name.

        ``boundary_f1`` is the mean over the classes that occur, ``boundary_f1_things`` and ``boundary_f1_stuff`` those
        over the things and the stuff alone, 0 if there is none; ``boundary_f1/<name>`` the score of each category, NaN
        where it does not occur. The keys never change.
        """
        return self._numbers(functional.boundary_f1_scores(self.score_sum, self.images, self.labels))
