"""The semantic score: mean IoU over classes, from one confusion matrix over all images."""

from __future__ import annotations

import torch
from torch import Tensor

from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.metrics.base import SegmentsMetric
from panoptic.segments import Segments


class MeanIoU(SegmentsMetric):
    """IoU of each class over the pixels of all images, and its mean, as the Cityscapes benchmark defines it.

    Where everything is predicted as some class this is ``torchmetrics.classification.MulticlassJaccardIndex`` with
    the target's void as ``ignore_index``. That has no place for pixels predicted as void (they are missed here),
    scores absent classes 0 one by one, and counts pixels, where this counts the segments' intersections.

    Args:
        labels: the label space of predictions and targets.
    """

    confusion: Tensor

    def __init__(self, labels: LabelSpace, **kwargs) -> None:
        super().__init__(labels, **kwargs)
        shape = (labels.num_classes, labels.num_classes + 1)
        self.add_state("confusion", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")

    def _add(self, prediction: Segments, target: Segments) -> None:
        counts = functional.confusion(prediction, target, self.labels.num_classes)
        self._add_state("confusion", counts.sum(0))

    def compute(self) -> dict[str, Tensor]:
        """The scores so far, scalars in 0..1 by name.

        ``mean_iou`` is the mean over the classes that occur, ``mean_iou_things`` and ``mean_iou_stuff`` those over the
        things and the stuff alone, 0 if there is none; ``iou/<name>`` the IoU of each category, NaN where it does not
        occur. The keys never change.
        """
        return self._numbers(functional.iou_scores(self.confusion, self.labels))
