"""Panoptic quality and Boundary PQ as metrics: states are counts, so batch sizes and ranks change nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from panoptic.labels import LabelSpace, is_cityscapes
from panoptic.metrics import functional
from panoptic.metrics.base import SegmentsMetric
from panoptic.segments import Segments


class PanopticQuality(SegmentsMetric):
    """Panoptic, segmentation and recognition quality (Kirillov et al. 2019), as the official evaluators define them.

    The rules of matching are those of :func:`panoptic.metrics.functional.panoptic_counts`.

    Args:
        labels: the label space of predictions and targets.

    Example:
        >>> metric = PanopticQuality(labels)
        >>> metric.update(prediction, target)  # Segments, one image or a batch
        >>> metric.compute()["pq"]
    """

    prefix = ""

    iou_sum: Tensor
    tp: Tensor
    fp: Tensor
    fn: Tensor

    def __init__(self, labels: LabelSpace, **kwargs) -> None:
        super().__init__(labels, **kwargs)
        self._class_state("iou_sum", dtype=torch.float64)
        self._class_state("tp", "fp", "fn")

    def _counts(self, prediction: Segments, target: Segments) -> functional.PanopticCounts:
        return functional.panoptic_counts(prediction, target, self.labels.num_classes)

    def _add(self, prediction: Segments, target: Segments) -> None:
        for name, count in self._counts(prediction, target).total()._asdict().items():
            self._add_state(name, count)

    def compute(self) -> dict[str, Tensor]:
        """The scores so far, scalars in 0..1 by name.

        ``pq``, ``sq`` and ``rq`` are means over the classes that occur, each on its own; ``pq_things``, ``pq_stuff``
        and so on are those over the things and the stuff alone. A mean over no class is 0. ``pq/<name>`` and so on are
        the scores of each category, NaN where it does not occur. The keys never change.
        """
        counts = functional.PanopticCounts(self.iou_sum, self.tp, self.fp, self.fn)
        return self._numbers(functional.quality_scores(counts, self.labels, self.prefix))


class BoundaryPanopticQuality(PanopticQuality):
    """Boundary PQ (Cheng et al. 2021): the IoU of a pair is the smaller of mask IoU and boundary IoU.

    Large segments with coarse contours score high in PQ and low here. ``compute`` has the keys of
    :class:`PanopticQuality`, each with ``boundary_`` before it.

    Args:
        labels: the label space of predictions and targets.
        dilation_ratio: width of the boundaries as a share of the diagonal, above 0 and below 1. By default 0.005 for
            the label space of Cityscapes and 0.02 for every other, as its authors have it.

    Raises:
        ValueError: if the ratio is out of range.
    """

    prefix = "boundary_"

    setting: Tensor

    def __init__(self, labels: LabelSpace, dilation_ratio: float | None = None, **kwargs) -> None:
        super().__init__(labels, **kwargs)
        functional.check_shares(dilation_ratio)
        self.dilation_ratio = default_dilation_ratio(labels) if dilation_ratio is None else dilation_ratio
        self._setting_state(self.dilation_ratio)

    def _counts(self, prediction: Segments, target: Segments) -> functional.PanopticCounts:
        return functional.boundary_panoptic_counts(prediction, target, self.labels.num_classes, self.dilation_ratio)


def default_dilation_ratio(labels: LabelSpace) -> float:
    """Width of the boundaries of Boundary PQ as a share of the diagonal, by data set."""
    return 0.005 if is_cityscapes(labels) else 0.02
