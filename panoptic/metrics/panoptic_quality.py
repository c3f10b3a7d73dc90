"""Panoptic quality and Boundary PQ metrics.

The states are counts, so the scores do not depend on the batch size or the number of ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from panoptic.labels import LabelSpace, is_cityscapes
from panoptic.metrics import functional
from panoptic.metrics.base import SegmentsMetric
from panoptic.segments import Segments


class PanopticQuality(SegmentsMetric):
    """Panoptic, segmentation and recognition quality (Kirillov et al. 2019), as the official evaluators define them.

    See :func:`panoptic.metrics.functional.panoptic_counts` for the matching rules.

    Args:
        labels: Label space of predictions and targets.
        **kwargs: Keyword arguments of :class:`torchmetrics.Metric`.

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
        self._add_class_states("iou_sum", dtype=torch.float64)
        self._add_class_states("tp", "fp", "fn")

    def _counts(self, prediction: Segments, target: Segments) -> functional.PanopticCounts:
        return functional.panoptic_counts(prediction, target, self.labels.num_classes)

    def _add(self, prediction: Segments, target: Segments) -> None:
        for name, count in self._counts(prediction, target).total()._asdict().items():
            self._accumulate(name, count)

    def compute(self) -> dict[str, Tensor]:
        """Compute the current scores, scalars in 0..1 by name.

        ``pq``, ``sq`` and ``rq`` are averaged separately over the classes that occur; ``pq_things``, ``pq_stuff`` and
        so on are the means over things and over stuff. A mean over no class is 0. ``pq/<name>`` and so on are the
        scores of a category, NaN if it does not occur. The keys are always the same.
        """
        counts = functional.PanopticCounts(self.iou_sum, self.tp, self.fp, self.fn)
        return self._zero_empty_means(functional.quality_scores(counts, self.labels, self.prefix))


class BoundaryPanopticQuality(PanopticQuality):
    """Boundary PQ (Cheng et al. 2021): the IoU of a pair is the smaller of mask IoU and boundary IoU.

    Large segments with coarse contours have a high PQ and a low Boundary PQ. ``compute`` returns the keys of
    :class:`PanopticQuality` with the prefix ``boundary_``.

    Args:
        labels: Label space of predictions and targets.
        dilation_ratio: Width of the boundaries as a share of the diagonal in (0, 1). By default 0.005 for the label
            space of Cityscapes and 0.02 for all others, as in the paper.
        **kwargs: Keyword arguments of :class:`torchmetrics.Metric`.

    Raises:
        ValueError: If the ratio is out of range.
    """

    prefix = "boundary_"

    setting: Tensor
    images: Tensor
    narrow: Tensor

    def __init__(self, labels: LabelSpace, dilation_ratio: float | None = None, **kwargs) -> None:
        super().__init__(labels, **kwargs)
        functional.check_shares(dilation_ratio)
        self.dilation_ratio = default_dilation_ratio(labels) if dilation_ratio is None else dilation_ratio
        self._add_setting_state(self.dilation_ratio)
        for name in ("images", "narrow"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def _counts(self, prediction: Segments, target: Segments) -> functional.PanopticCounts:
        return functional.boundary_panoptic_counts(prediction, target, self.labels.num_classes, self.dilation_ratio)

    def _add(self, prediction: Segments, target: Segments) -> None:
        super()._add(prediction, target)
        images = len(target.ids) if target.is_batch else 1
        self.images = self.images + images
        if functional.boundary_width(target.size, self.dilation_ratio) == 1:
            self.narrow = self.narrow + images

    def compute(self) -> dict[str, Tensor]:
        """Compute the current scores; see :meth:`PanopticQuality.compute`.

        ``boundary_narrow`` is the share of images at whose size the boundaries are one pixel wide: too narrow for most
        contours to match.
        """
        return super().compute() | {"boundary_narrow": self.narrow.double() / self.images.clamp(min=1)}


def default_dilation_ratio(labels: LabelSpace) -> float:
    """Return the default width of the boundaries of Boundary PQ as a share of the diagonal."""
    return 0.005 if is_cityscapes(labels) else 0.02
