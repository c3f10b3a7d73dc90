"""Figures of a comparison."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from panoptic.comparison.differences import Comparison
from panoptic.comparison.images import TRUTH
from panoptic.comparison.report import NAMES, PERCENT
from panoptic.comparison.variants import Variant
from panoptic.comparison.weights import varies
from panoptic.utils.statistics import Estimate
from panoptic.visualization.plots import save_figure


def write_plots(folder: Path, comparison: Comparison) -> list[str]:
    """Write the figures for which there are data, and return their file names."""
    figures: dict[str, Figure | None] = {
        "differences.png": _plot_differences(comparison),
        "categories.png": _plot_categories(comparison),
        "quartiles.png": _plot_quartiles(comparison),
        "alpha.png": _plot_alpha(comparison),
    }
    available = {name: figure for name, figure in figures.items() if figure is not None}
    for name, figure in available.items():
        save_figure(figure, folder / name, dpi=120)
    return list(available)


def _plot_differences(comparison: Comparison) -> Figure | None:
    """Plot the difference in PQ with both intervals, one row per variant."""
    rows = [d for d in comparison.differences if d.score == "pq" and d.points.count]
    if not rows:
        return None
    figure = Figure(figsize=(8, 1.6 + 0.6 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for y, row in enumerate(rows):
        for shift, estimate, color, label in (
            (-0.12, row.interval, "C0", "paired t"),
            (0.12, row.bootstrap, "C1", f"bootstrap of {'seeds and images' if row.over_images else 'seeds'}"),
        ):
            _draw_interval(axis, estimate, y + shift, color, label if y == 0 else None)
    axis.set_yticks(range(len(rows)), [f"{_wrap(row.variant)}\n{row.points.count} pairs" for row in rows])
    _format_difference_axis(axis, comparison, len(rows))
    return figure


def _plot_categories(comparison: Comparison) -> Figure | None:
    """Plot the differences in PQ, one row per category and one color per variant."""
    rows, variants = comparison.category_rows, comparison.others
    if not rows or not variants:
        return None
    figure = Figure(figsize=(8, 1.6 + 0.22 * len(rows) * max(len(variants), 1)), layout="constrained")
    axis = figure.subplots()
    for i, variant in enumerate(variants):
        for y, row in enumerate(rows):
            shift = 0.7 * ((i + 0.5) / len(variants) - 0.5)
            label = _wrap(variant.name) if y == 0 else None
            _draw_interval(axis, row.differences[variant.name], y + shift, _color(comparison, variant), label)
    axis.set_yticks(range(len(rows)), [row.category for row in rows])
    _format_difference_axis(axis, comparison, len(rows))
    return figure


def _color(comparison: Comparison, variant: Variant) -> str:
    """Return the color of a variant, the same in all figures."""
    return f"C{comparison.variants.index(variant)}"


def _wrap(name: str) -> str:
    """Wrap a name to lines that fit a figure."""
    return textwrap.fill(name, 40)


def _draw_interval(axis: Axes, estimate: Estimate, y: float, color: str, label: str | None) -> None:
    axis.plot([estimate.value], [y], "o", color=color, label=label, markersize=4)
    if not math.isnan(estimate.low):
        axis.plot([estimate.low, estimate.high], [y, y], color=color)


def _format_difference_axis(axis: Axes, comparison: Comparison, rows: int) -> None:
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(
        xlabel=f"points of PQ more than {_wrap(comparison.baseline.name)}, with {PERCENT} intervals",
        ylim=(rows - 0.5, -0.5),
    )
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)


def _plot_quartiles(comparison: Comparison) -> Figure | None:
    """Plot PQ of each variant by quartile, with the differences to the baseline below."""
    if not comparison.quartile_rows:
        return None
    num_rows = 2 if comparison.others else 1
    figure = Figure(figsize=(11, 3.6 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, 2, squeeze=False)
    for column, measure in enumerate(TRUTH):
        rows = [row for row in comparison.quartile_rows if row.measure == measure]
        quartiles = np.array([row.quartile for row in rows], float)
        for i, variant in enumerate(comparison.variants):
            color = _color(comparison, variant)
            shifted = quartiles + 0.08 * (i - (len(comparison.variants) - 1) / 2)
            scores = [row.scores[variant.name] for row in rows]
            errors = np.nan_to_num([score.std for score in scores])
            means = [score.mean for score in scores]
            axes[0, column].errorbar(
                shifted, means, errors, fmt="o-", capsize=3, label=_wrap(variant.name), color=color
            )
            if variant is comparison.baseline:
                continue
            for x, row in zip(shifted, rows, strict=True):
                estimate = row.differences[variant.name]
                axes[1, column].plot([x], [estimate.value], "o", color=color)
                axes[1, column].plot([x, x], [estimate.low, estimate.high], color=color)
        axes[0, column].set(ylabel="PQ, points", title="mean ± standard deviation over runs")
        for axis in axes[:, column]:
            axis.set_xticks(quartiles, [f"{row.low:.2g} to {row.high:.2g}\n{row.images} images" for row in rows])
            axis.set(xlabel=f"quartile of {NAMES[measure]}")
            axis.grid(alpha=0.3)
        if comparison.others:
            axes[1, column].axhline(0, color="black", linewidth=0.8)
            axes[1, column].set(
                ylabel="points of PQ", title=f"difference to {_wrap(comparison.baseline.name)}, {PERCENT} interval"
            )
    axes[0, 0].legend(fontsize="small")
    return figure


def _plot_alpha(comparison: Comparison) -> Figure | None:
    """Plot α against both complexity measures, images of all runs pooled; one row per variant whose α varies."""
    varying = {row.variant: row for row in comparison.alpha_rows if row.correlations}
    variants = [variant for variant in comparison.variants if variant.name in varying]
    if not variants:
        return None
    figure = Figure(figsize=(12, 3.8 * len(variants)), layout="constrained")
    axes = figure.subplots(len(variants), 2, squeeze=False)
    for row, variant in zip(axes, variants, strict=True):
        correlations = varying[variant.name].correlations
        for axis, (column, measure) in zip(row, enumerate(TRUTH), strict=True):
            for i, level in enumerate(varying[variant.name].means):
                x, y = _pool_images(variant, level, column)
                axis.plot(x, y, ".", color=f"C{i}", alpha=0.3, label=level, markersize=4)
            rhos = [f"{level} {correlations[level, measure].value:+.2f}" for level in varying[variant.name].means]
            axis.set(title=f"{_wrap(variant.name)}: ρ {', '.join(rhos)}", xlabel=NAMES[measure], ylabel="α")
            axis.grid(alpha=0.3)
        row[0].legend(fontsize="small")
    return figure


def _pool_images(variant: Variant, level: str, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a complexity measure and α of a level over the images of all runs."""
    tables = [run.images for run in variant.runs if run.images is not None and level in run.images.levels]
    tables = [images for images in tables if varies(images)]
    alphas = [images.alpha[:, images.levels.index(level)] for images in tables]
    return np.concatenate([images.truth[:, column] for images in tables]), np.concatenate(alphas)
