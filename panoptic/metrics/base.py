"""What the metrics share: segments in, scalars by name out, a table and a plot of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torchmetrics import Metric

from panoptic.labels import LabelSpace
from panoptic.metrics import functional
from panoptic.metrics.display import COLUMNS, plot_rows, score_rows, text_table
from panoptic.segments import Segments


class SegmentsMetric(Metric):
    """A score of predicted against true segments, from counts per class that add up over images and ranks.

    Args:
        labels: the label space of predictions and targets.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0

    def __init__(self, labels: LabelSpace, **kwargs) -> None:
        super().__init__(**kwargs)
        self.labels = labels

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
            sizes: height and width of each image of a padded batch. Without them, what was predicted on the padding
                counts as area on void, and shares of the diagonal are those of the batch's.

        Raises:
            ValueError: if the two differ in size or, on a CPU, have an id without a row or a class out of range; if
                sizes come with a single image.
        """
        functional.check_pair(prediction, target, self.labels.num_classes)
        if sizes is not None and not target.is_batch:
            raise ValueError(f"sizes: expected none with a single image, got {sizes}")
        if sizes is not None:
            height, width = target.size
            rows = [[int(side) for side in size] if hasattr(size, "__len__") else [] for size in sizes]
            if len(rows) != len(target.ids) or any(
                len(r) != 2 or not (0 < r[0] <= height and 0 < r[1] <= width) for r in rows
            ):
                raise ValueError(
                    f"sizes: expected a height and a width of at most {height} x {width} for each of "
                    f"{len(target.ids)} images, got {sizes}"
                )
        if sizes is None or all(tuple(int(v) for v in size) == target.size for size in sizes):
            self._add(prediction, target)
            return
        for pair in zip(prediction.unstack(sizes), target.unstack(sizes), strict=True):
            self._add(*pair)

    @abstractmethod
    def _add(self, prediction: Segments, target: Segments) -> None:
        """Adds the counts of a pair whose images fill their maps."""

    def _add_state(self, name: str, values: Tensor) -> None:
        # Not in place: a module cast to half precision casts states too, and the sum restores float64.
        setattr(self, name, getattr(self, name) + values.to(self.device))

    def _setting_state(self, value: float) -> None:
        # A setting is a state too: MetricCollection shares the counts of metrics whose first states are equal.
        self.add_state("setting", torch.tensor(value, dtype=torch.float64), dist_reduce_fx="max")

    def _numbers(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """The scores with 0 for a mean over no class; NaN stays where a category does not occur."""
        return {name: value if "/" in name else value.nan_to_num(0.0) for name, value in scores.items()}

    def _class_state(self, *names: str, dtype: torch.dtype = torch.int64) -> None:
        for name in names:
            self.add_state(name, torch.zeros(self.labels.num_classes, dtype=dtype), dist_reduce_fx="sum")

    def table(self) -> str:
        """The scores so far as text: a row for all classes, for the things, the stuff and each category that occurs."""
        return text_table(type(self).__name__, score_rows(self.compute(), self.labels))

    def plot(self, val: dict[str, Tensor] | Iterable[dict[str, Tensor]] | None = None, ax: Any = None):
        """Draws the scores: bars by class, or lines of the means over steps.

        Args:
            val: a result of ``compute`` or ``forward``, or a sequence of them; by default the scores so far.
            ax: Matplotlib axes to draw on; new ones by default.

        Returns:
            Figure and axes; with given axes and a sequence, torchmetrics has ``None`` for the figure.
        """
        val = self.compute() if val is None else val
        if isinstance(val, dict):
            return plot_rows(type(self).__name__, score_rows(val, self.labels), ax)
        means = {f"{mean}{group}" for mean, _ in COLUMNS.values() for group in ("", "_things", "_stuff")}
        return self._plot([{k: v for k, v in step.items() if k in means} for step in val], ax)
