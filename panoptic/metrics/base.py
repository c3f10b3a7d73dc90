"""Base class of the metrics: takes segments, returns scalars by name, and shows them as a table or a plot."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
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
    """Base class for scores of predicted segments against true ones.

    The states are counts per class, summed over images and ranks.

    Args:
        labels: Label space of predictions and targets.
        **kwargs: Keyword arguments of :class:`torchmetrics.Metric`.
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
        """Update the counts with one image or a batch.

        Args:
            prediction: Predicted segments.
            target: True segments of the same size.
            sizes: Height and width of each image of a padded batch. By default the whole map: predictions on the
                padding then count as area on void, and shares of the diagonal refer to the padded size.

        Raises:
            TypeError: If either is something else than segments.
            ValueError: If prediction and target differ in size or, on a CPU, have an id without a row or a class out of
                range; if a size does not fit its image, or sizes are given for a single image.
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
        """Add the counts of a pair without padding."""

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> Any:
        def move(state: Tensor) -> Tensor:
            try:
                return fn(state)
            except TypeError:  # of a device without float64, such as Apple's MPS
                return fn(state.float())

        return super()._apply(move, *args, **kwargs)

    def _accumulate(self, name: str, values: Tensor) -> None:
        # Out of place: casting a module to half precision casts its states too, and this sum restores float64.
        setattr(self, name, getattr(self, name) + values.to(self.device))

    def _add_setting_state(self, value: float) -> None:
        # MetricCollection groups metrics with equal states; this state keeps metrics with different settings apart.
        self.add_state("setting", torch.tensor(value, dtype=torch.float64), dist_reduce_fx="max")

    def _zero_empty_means(self, scores: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace NaN by 0 in means over no class; scores of categories that do not occur stay NaN."""
        return {name: value if "/" in name else value.nan_to_num(0.0) for name, value in scores.items()}

    def _add_class_states(self, *names: str, dtype: torch.dtype = torch.int64) -> None:
        for name in names:
            self.add_state(name, torch.zeros(self.labels.num_classes, dtype=dtype), dist_reduce_fx="sum")

    def table(self) -> str:
        """Return the current scores as text, with rows for all classes, things, stuff and each category that occurs."""
        return text_table(type(self).__name__, score_rows(self.compute(), self.labels))

    def plot(self, val: dict[str, Tensor] | Iterable[dict[str, Tensor]] | None = None, ax: Any = None):
        """Plot the scores as bars by class, or the means as lines over steps.

        Args:
            val: Result of ``compute`` or ``forward``, or a sequence of results. By default the current scores.
            ax: Matplotlib axes to draw on. By default new ones.

        Returns:
            Figure and axes. For a sequence drawn on given axes, torchmetrics returns ``None`` as the figure.
        """
        val = self.compute() if val is None else val
        if isinstance(val, dict):
            return plot_rows(type(self).__name__, score_rows(val, self.labels), ax)
        means = {f"{mean}{group}" for mean, _ in COLUMNS.values() for group in ("", "_things", "_stuff")}
        return self._plot([{k: v for k, v in step.items() if k in means} for step in val], ax)
