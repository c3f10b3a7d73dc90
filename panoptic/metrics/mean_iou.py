"""Mean IoU metric, from one confusion matrix over all images."""

from __future__ import annotations

import torch
from torch import Tensor

from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.metrics.base import SegmentsMetric
from panoptic.segments import Segments


class MeanIoU(SegmentsMetric):
    """IoU of each class over the pixels of all images, and its mean, as the Cityscapes benchmark defines it.

    If no pixel is predicted as void, this equals ``torchmetrics.classification.MulticlassJaccardIndex`` with the
    target's void as ``ignore_index``. The torchmetrics class cannot represent pixels predicted as void (false negatives
    here), scores an absent class 0 where this gives NaN, and counts pixels rather than intersections of segments.

    Args:
        labels: Label space of predictions and targets.
        **kwargs: Keyword arguments of :class:`torchmetrics.Metric`.
    """

    confusion: Tensor

    def __init__(self, labels: LabelSpace, **kwargs) -> None:
        super().__init__(labels, **kwargs)
        shape = (labels.num_classes, labels.num_classes + 1)
        self.add_state("confusion", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def _add(self, prediction: Segments, target: Segments) -> None:
        counts = functional.confusion(prediction, target, self.labels.num_classes)
        self._accumulate("confusion", counts.sum(0))

    def compute(self) -> dict[str, Tensor]:
        """Compute the current scores, scalars in 0..1 by name.

        ``mean_iou`` is the mean over the classes that occur; ``mean_iou_things`` and ``mean_iou_stuff`` are the means
        over things and over stuff. A mean over no class is 0. ``iou/<name>`` is the IoU of a category, NaN if it does
        not occur. The keys are always the same.
        """
        return self._zero_empty_means(functional.iou_scores(self.confusion, self.labels))
