"""Analysis of adaptive fusion over a set of images: fusion weights α, complexity, their correlation, and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from panoptic.codec import Outputs
from panoptic.complexity import COMPLEXITY_NAMES
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.pictures import shown_bands
from panoptic.utils.statistics import r_squared, spearman
from panoptic.visualization.overlay import alpha_picture, overlay, side_by_side
from panoptic.visualization.plots import alpha_figure, save_figure

PICTURES = 6
"""Maximum number of images in the figure of local α."""


class FusionRecord:
    """Collects α and complexity of each image.

    Args:
        labels: Label space, used in the figures.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        self.alpha: list[np.ndarray] = []
        self.predicted: list[np.ndarray] = []
        self.true: list[np.ndarray] = []
        self.pictures: list[UInt8[np.ndarray, "H W 3"]] = []

    def add(
        self, outputs: Outputs, complexity: Float[Tensor, " 2"], image: UInt8[Tensor, "bands H W"], truth: Segments
    ) -> dict[str, float]:
        """Add an image.

        Args:
            outputs: Network outputs for the image, a batch of one.
            complexity: True object density and scale variance.
            image: Image in 0..255.
            truth: True segments.

        Returns:
            Predicted complexity and α of each level, by column of the per-image table.
        """
        alpha, predicted = outputs.alpha_of_image[0].float().cpu().numpy(), outputs.complexity[0].float().cpu().numpy()
        self.alpha.append(alpha)
        self.predicted.append(predicted)
        self.true.append(complexity.float().cpu().numpy())
        if outputs.alpha.ndim > 2 and len(self.pictures) < PICTURES:
            size, pixels = (image.shape[1], image.shape[2]), shown_bands(image.permute(1, 2, 0).cpu().numpy())
            drawn = overlay(pixels, truth.to("cpu").compact(), self.labels)
            self.pictures.append(side_by_side([pixels, drawn, alpha_picture(outputs.alpha[0].float().cpu(), size)]))
        named = {f"predicted_{name}": value for name, value in zip(COMPLEXITY_NAMES, predicted, strict=True)}
        return {name: float(value) for name, value in (named | level_names(alpha)).items()}

    def result(self) -> dict[str, Any]:
        """Summarize all images as plain containers for a JSON file, with ``None`` for undefined values.

        Returns:
            ``complexity``: R² and mean absolute error of the prediction, by measure. ``alpha``: mean and standard
            deviation over images, and Spearman's ρ with each measure of the true complexity including its 95%
            interval, by level.
        """
        alpha, predicted, true = (np.stack(values) for values in (self.alpha, self.predicted, self.true))
        complexity = {
            name: {
                "r2": _number(r_squared(predicted[:, i], true[:, i])),
                "mean_absolute_error": _number(float(np.abs(predicted[:, i] - true[:, i]).mean())),
            }
            for i, name in enumerate(COMPLEXITY_NAMES)
        }
        levels = {}
        for level, values in level_names(alpha.T).items():
            rhos = {name: spearman(true[:, i], values)._asdict() for i, name in enumerate(COMPLEXITY_NAMES)}
            levels[level.removeprefix("alpha_")] = {
                "mean": _number(float(values.mean())),
                "std": _number(float(values.std())),
                "spearman": {name: {k: _number(v) for k, v in rho.items()} for name, rho in rhos.items()},
            }
        return {"complexity": complexity, "alpha": levels}

    def write(self, folder: Path) -> None:
        """Plot α against complexity to ``alpha.png``, and maps of local α, if any, to ``alpha_maps.png``."""
        save_figure(alpha_figure(np.stack(self.alpha), np.stack(self.true)), folder / "alpha.png")
        if self.pictures:
            width = max(picture.shape[1] for picture in self.pictures)
            rows = [np.pad(p, ((0, 4), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in self.pictures]
            Image.fromarray(np.concatenate(rows)[:-4]).save(folder / "alpha_maps.png")


def level_names(levels: np.ndarray) -> dict[str, Any]:
    """Name values of levels, fine to coarse, by column of the per-image table: ``alpha_P2``, ``alpha_P3``, ..."""
    return {f"alpha_P{i + 2}": value for i, value in enumerate(levels)}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
