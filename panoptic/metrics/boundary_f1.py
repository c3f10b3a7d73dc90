"""Boundary F1 as a metric: how well the contours of each class agree, whatever the size of its area."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor
from torchmetrics import Metric

from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.segments import Segments


class BoundaryF1(Metric):
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

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    score_sum: Tensor
    images: Tensor

    def __init__(self, labels: LabelSpace, tolerance: float = 0.0075, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance: expected a share of the diagonal, at least 0 and below 1, got {tolerance}")
        self.labels = labels
        self.tolerance = tolerance
        self.add_state("score_sum", torch.zeros(labels.num_classes, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(labels.num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self,
        prediction: Segments,
        target: Segments,
        sizes: Int[Tensor, "B 2"] | Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Adds one image or a batch.

        Args:
            prediction: predicted segments.
            target: true segments of the same size.
            sizes: height and width of each image of a padded batch; the tolerance follows from the image's own size
                then, and without it from the batch's.

        Raises:
            ValueError: if the two differ in size or, on a CPU, have an id without a row or a class out of range; if
                sizes come with a single image.
        """
        functional.check_pair(prediction, target, self.labels.num_classes)
        if sizes is not None and not target.is_batch:
            raise ValueError(f"sizes: expected none with a single image, got {sizes}")
        pairs = [(prediction, target)]
        if sizes is not None:
            pairs = zip(prediction.unstack(sizes), target.unstack(sizes), strict=True)
        for pair in pairs:
            scores = functional.boundary_f1(*pair, self.labels.num_classes, self.tolerance).to(self.device)
            # Not in place: a module cast to half precision casts this state too, and the sum restores float64.
            self.score_sum = self.score_sum + scores.nansum(0)
            self.images = self.images + (~scores.isnan()).sum(0)

    def compute(self) -> dict[str, Tensor]:
        """The scores so far, scalars in 0..1 by name.

        ``boundary_f1`` is the mean over the classes that occur, 0 if there is none; ``boundary_f1/<name>`` the score
        of each category, NaN where it does not occur. The keys never change.
        """
        scores = self.score_sum / self.images
        each = {f"boundary_f1/{n}": s for n, s in zip(self.labels.names, scores.unbind(), strict=True)}
        return {"boundary_f1": scores.nanmean().nan_to_num(0.0)} | each
