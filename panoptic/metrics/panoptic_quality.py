"""Panoptic quality as a metric: states are counts, so batch sizes and ranks change nothing."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.segments import Segments


class PanopticQuality(Metric):
    """Panoptic, segmentation and recognition quality (Kirillov et al. 2019), as the official evaluators define them.

    The rules of matching are those of :func:`panoptic.metrics.functional.panoptic_counts`.

    Args:
        labels: the label space of predictions and targets.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    iou_sum: Tensor
    tp: Tensor
    fp: Tensor
    fn: Tensor

    def __init__(self, labels: LabelSpace, **kwargs) -> None:
        super().__init__(**kwargs)
        self.labels = labels
        self.add_state("iou_sum", torch.zeros(labels.num_classes, dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("tp", "fp", "fn"):
            self.add_state(name, torch.zeros(labels.num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, prediction: Segments, target: Segments) -> None:
        """Adds one image or a batch.

        Raises:
            ValueError: if the two differ in size or, on a CPU, have an id without a row or a class out of range.
        """
        functional.check_pair(prediction, target, self.labels.num_classes)
        counts = functional.panoptic_counts(prediction, target, self.labels.num_classes)
        for name, count in counts._asdict().items():
            # Not in place: a module cast to half precision casts this state too, and the sum restores float64.
            setattr(self, name, getattr(self, name) + count.to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """The scores so far, scalars in 0..1 by name.

        ``pq``, ``sq`` and ``rq`` are means over the classes that occur, each on its own; ``pq_things``, ``pq_stuff``
        and so on are those over the things and the stuff alone. A mean over no class is 0. ``pq/<name>`` and so on are
        the scores of each category, NaN where it does not occur. The keys never change.
        """
        scores = functional.panoptic_quality(functional.PanopticCounts(self.iou_sum, self.tp, self.fp, self.fn))
        groups = {"": range(len(self.labels)), "_things": self.labels.things, "_stuff": self.labels.stuff}
        means = {
            f"{score}{group}": values[list(classes)].nanmean().nan_to_num(0.0)
            for group, classes in groups.items()
            for score, values in scores.items()
        }
        each = {
            f"{score}/{name}": value
            for score, values in scores.items()
            for name, value in zip(self.labels.names, values.unbind(), strict=True)
        }
        return means | each
