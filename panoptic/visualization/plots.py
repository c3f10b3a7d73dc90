"""Figures of numbers per image, drawn without a window and without global Matplotlib state."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from PIL import Image

from panoptic.complexity import COMPLEXITY_NAMES
from panoptic.utils.statistics import spearman
from panoptic.visualization.overlay import LEVEL_COLORS


@runtime_checkable
class Outcomes(Protocol):
    """Segments by score, in bins of equal width; see :class:`panoptic.metrics.functional.Reliability`."""

    @property
    def segments(self) -> Any:
        """Number of segments in each bin."""

    @property
    def confidence(self) -> Any:
        """Mean score in each bin."""

    @property
    def accuracy(self) -> Any:
        """Share of segments that are right in each bin."""


def save_figure(figure: Figure, path: Path, *, dpi: int = 100) -> None:
    """Save a figure as a PNG file with a palette of 256 colors, a third of the size of an RGB file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def figure_picture(figure: Figure) -> UInt8[np.ndarray, "H W 3"]:
    """Draw a figure as an RGB picture."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi="figure")
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))


def complexity_figure(predicted: Float[np.ndarray, "n 2"], true: Float[np.ndarray, "n 2"]) -> Figure:
    """Plot predicted against true complexity, with a scatter plot and the diagonal for each of the two numbers.

    Args:
        predicted: Predicted object density and scale variance of each image.
        true: True object density and scale variance of each image.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    for i, (axes, name) in enumerate(zip(figure.subplots(1, 2), COMPLEXITY_NAMES, strict=True)):
        top = max(float(predicted[:, i].max()), float(true[:, i].max()), 1e-3)
        axes.plot([0, top], [0, top], color="0.7", linewidth=1)
        axes.scatter(true[:, i], predicted[:, i], s=8)
        axes.set(title=name.replace("_", " "), xlabel="true", ylabel="predicted")
    return figure


def alpha_figure(alpha: Float[np.ndarray, "n L"], complexity: Float[np.ndarray, "n 2"]) -> Figure:
    """Plot each level's α against each of the two complexity numbers, with Spearman's ρ in the legend.

    Args:
        alpha: Fusion weights of each image, fine to coarse; the mean over places if they are local.
        complexity: True object density and scale variance of each image.
    """
    figure = Figure(figsize=(9, 4), layout="constrained")
    for i, (axes, name) in enumerate(zip(figure.subplots(1, 2, sharey=True), COMPLEXITY_NAMES, strict=True)):
        for level in range(alpha.shape[1]):
            rho = spearman(complexity[:, i], alpha[:, level])
            label = f"P{level + 2}" if np.isnan(rho.value) else f"P{level + 2}, ρ = {rho.value:.2f}"
            color = LEVEL_COLORS[level % len(LEVEL_COLORS)] / 255
            axes.scatter(complexity[:, i], alpha[:, level], s=8, color=color, alpha=0.7, label=label)
        axes.set(xlabel=f"true {name.replace('_', ' ')}", ylim=(0, 1))
        axes.legend(loc="best")
    figure.axes[0].set_ylabel("α")
    return figure


def reliability_figure(found: Mapping[str, Outcomes]) -> Figure:
    """Plot the share of segments that are right against their score, with a panel for each kind, and their numbers.

    Args:
        found: Outcomes by score of each kind.
    """
    figure = Figure(figsize=(4 * len(found), 4), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (kind, outcomes) in zip(panels, found.items(), strict=True):
        count = np.asarray(outcomes.segments)
        filled = count > 0
        bins = len(count)
        axes.bar((np.arange(bins) + 0.5) / bins, count / max(count.max(), 1), width=1 / bins, color="0.88")
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        axes.plot(np.asarray(outcomes.confidence)[filled], np.asarray(outcomes.accuracy)[filled], "o-", markersize=4)
        axes.set(title=f"{kind}, {count.sum()} segments", xlabel="score", xlim=(0, 1), ylim=(0, 1))
    panels[0].set_ylabel("share that is right")
    return figure
