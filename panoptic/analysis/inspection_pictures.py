"""Pictures of an inspected data set: a contact sheet and histograms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from panoptic.analysis.split_numbers import SplitNumbers


def contact_sheet(thumbnails: Sequence[tuple[str, np.ndarray]], columns: int = 4) -> UInt8[np.ndarray, "H W 3"]:
    """Arrange thumbnails in a grid, each below its caption.

    Args:
        thumbnails: Captions and pictures; at least one.
        columns: Maximum number of columns.

    Returns:
        Contact sheet.
    """
    caption_height, gap = 22, 8
    width = max(picture.shape[1] for _, picture in thumbnails) + gap
    columns = min(columns, len(thumbnails))
    rows = []
    for start in range(0, len(thumbnails), columns):
        in_row = thumbnails[start : start + columns]
        height = max(picture.shape[0] for _, picture in in_row)
        row = np.full((height + caption_height + gap, width * columns, 3), 255, np.uint8)
        for i, (caption, picture) in enumerate(in_row):
            shortened = caption if len(caption) <= width // 8 else f"...{caption[3 - width // 8 :]}"
            text = shortened.encode("ascii", "replace").decode()
            cv2.putText(row, text, (i * width + 4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
            row[caption_height : caption_height + picture.shape[0], i * width : i * width + picture.shape[1]] = picture
        rows.append(row)
    return np.concatenate(rows)


def write_histograms(path: Path, splits: dict[str, SplitNumbers], most_classes: int = 40) -> None:
    """Draw histograms of the statistics of each split, and the shares of the categories.

    Args:
        path: Path of the PNG to write.
        splits: Statistics of each split, by name.
        most_classes: Maximum number of categories to draw, those with the most pixels.
    """
    from matplotlib.figure import Figure

    from panoptic.visualization.plots import save_figure

    figure = Figure(figsize=(14, 9), layout="constrained")
    axes = figure.subplots(2, 3).flat
    complexity = {name: np.array(s.complexity, np.float64).reshape(-1, 2) for name, s in splits.items()}
    _histogram(
        axes[0],
        {name: values[:, 0] for name, values in complexity.items()},
        "object density, log(1 + things per 256x256)",
    )
    _histogram(axes[1], {name: values[:, 1] for name, values in complexity.items()}, "scale variance of the things")
    areas = {name: np.log10(s.areas().clip(min=1)) for name, s in splits.items()}
    _histogram(axes[2], areas, "area of a thing, log10 of pixels")
    sides = {name: np.repeat([max(size) for size in s.sizes], [*s.sizes.values()]) for name, s in splits.items()}
    _histogram(axes[3], sides, "longer side of an image, pixels")
    labels = next(iter(splits.values())).labels
    order = np.argsort(-sum(s.pixels[:-1] for s in splits.values()), kind="stable")[:most_classes]
    names = [name if len(name) <= 30 else f"{name[:29]}…" for name in (labels.names[c] for c in order)]
    for axis, quantity in ((axes[4], "pixels"), (axes[5], "segments")):
        for name, split in splits.items():
            values = getattr(split, quantity)[: len(labels)]
            shares = values / max(values.sum(), 1)
            axis.plot(shares[order], np.arange(len(order)), "o", label=name, markersize=4)
        axis.set_yticks(np.arange(len(order)), names, fontsize=7, parse_math=False)  # a name may hold a $
        axis.invert_yaxis()
        axis.set(title=f"share of the {quantity} by category", xlim=(0, None))
        axis.grid(axis="x", alpha=0.3)
    axes[4].legend()  # the first has nothing to name where no image has a truth
    save_figure(figure, path)


def _histogram(axis: Any, values: dict[str, np.ndarray], title: str) -> None:
    """Draw the outline of a histogram for each split, with the same bins, as shares of the split."""
    all_values = np.concatenate([*values.values()])
    if len(all_values):
        low, high = float(all_values.min()), float(all_values.max())
        bins = np.linspace(low - 0.5, high + 0.5, 2) if low == high else np.linspace(low, high, 31)
        for name, split_values in values.items():
            count = len(split_values)
            if count:
                axis.hist(split_values, bins=bins, weights=np.full(count, 1 / count), histtype="step", label=name)
    axis.set(title=title, ylabel="share")
