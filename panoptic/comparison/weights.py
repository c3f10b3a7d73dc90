"""Fusion weights α and predicted complexity of the variants of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from panoptic.comparison.images import TRUTH, Images
from panoptic.comparison.runs import shuffled_change
from panoptic.comparison.spread import REPLICATES, Spread, spread
from panoptic.comparison.variants import Variant
from panoptic.utils.statistics import (
    NOTHING,
    Estimate,
    bootstrap_spearman,
    mean_with_interval,
    percentiles,
    r_squared,
    spearman,
)

VARIES = 1e-5
"""Smallest range of α over images that counts as variation; above rounding error."""


class AlphaRow(NamedTuple):
    """Fusion weights α of a variant, over its runs.

    Attributes:
        variant: Name of the variant.
        means: Mean over images, by level.
        correlations: Spearman correlations with each complexity measure, by level and measure: the mean over runs with
            the bootstrap interval over seeds and images, or Student's t interval if the images of the runs differ; for
            a single run, its own interval. Empty if α does not vary.
    """

    variant: str
    means: dict[str, Spread]
    correlations: dict[tuple[str, str], Estimate]


def tables_of(variant: Variant) -> list[Images]:
    """Return the results by image of each run that has them."""
    return [run.images for run in variant.runs if run.images is not None]


def varies(images: Images) -> bool:
    """Return whether α varies over the images."""
    return bool(images.levels) and bool((np.ptp(images.alpha, axis=0) > VARIES).any())


def alpha_row(variant: Variant, by_image: bool) -> AlphaRow:
    """Summarize the fusion weights of a variant.

    Args:
        variant: Variant with results by image.
        by_image: Whether its runs were evaluated on the same images.
    """
    tables = [images for images in tables_of(variant) if images.levels]
    levels = tables[0].levels
    tables = [images for images in tables if images.levels == levels]
    means = {level: spread(float(images.alpha[:, i].mean()) for images in tables) for i, level in enumerate(levels)}
    varying = [images for images in tables if varies(images)]
    correlations = {
        (level, measure): _rank_correlation([(table.alpha[:, i], table.truth[:, j]) for table in varying], by_image)
        for i, level in enumerate(levels)
        for j, measure in enumerate(TRUTH)
        if varying
    }
    return AlphaRow(variant.name, means, correlations)


def _rank_correlation(runs: Sequence[tuple[np.ndarray, np.ndarray]], by_image: bool) -> Estimate:
    """Correlate α with a complexity measure: mean of Spearman's ρ over runs, or ρ of a single run, with interval."""
    correlations = [(spearman(alpha, truth), alpha, truth) for alpha, truth in runs]
    defined = [(rho, alpha, truth) for rho, alpha, truth in correlations if not math.isnan(rho.value)]
    if len(defined) < 2:
        return defined[0][0] if defined else NOTHING
    mean = mean_with_interval(np.array([rho.value for rho, _, _ in defined], np.float64))
    if not by_image:
        return mean
    return percentiles(mean.value, bootstrap_spearman([alpha for _, alpha, _ in defined], defined[0][2], REPLICATES))


def explained_complexity(variant: Variant) -> tuple[Spread, Spread]:
    """Return R² of the predicted object density and scale variance, over the runs of a variant."""
    tables = [images for images in tables_of(variant) if images.predicted is not None]
    density, variance = (
        spread(
            r2
            for images in tables
            if images.predicted is not None
            and not math.isnan(r2 := r_squared(images.predicted[:, j], images.truth[:, j]))
        )
        for j in range(2)
    )
    return density, variance


def shuffled_changes(variant: Variant) -> Float64[np.ndarray, " n"]:
    """Return the change of PQ with shuffled complexity, in points, for each run that has it."""
    changes = [shuffled_change(run.evaluation) for run in variant.runs]
    return np.array([change for change in changes if change is not None], np.float64)
