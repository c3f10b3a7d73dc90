"""Choosing fusion weights from the counts of images under each weighting, and what a choice gains.

Counts are those of :mod:`panoptic.metrics`, ``[W I C]`` over weightings, images and classes. Where weights are chosen
and scored on the same images, noise counts as gain. Two folds avoid that: the weights of the images in one half are
chosen on the other half.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from panoptic.metrics.functional import PanopticCounts, panoptic_quality
from panoptic.utils.statistics import Estimate, percentiles, quartile_of

REPLICATES = 2000
"""Number of bootstrap replicates."""


def total(counts: PanopticCounts, images: Bool[Tensor, " I"] | None = None) -> PanopticCounts:
    """Sum counts ``[... I C]`` over all or some images."""
    return PanopticCounts(*((c if images is None else c[..., images, :]).sum(-2) for c in counts))


def quality(counts: PanopticCounts) -> Float64[Tensor, " *n"]:
    """Compute PQ from the counts ``[... C]`` of sets of images, the mean over classes that occur; NaN if none does."""
    return panoptic_quality(counts)["pq"].nanmean(-1)


def points(counts: PanopticCounts) -> Float64[Tensor, " *n"]:
    """Compute PQ in points, 0 if no class occurs."""
    return 100 * quality(counts).nan_to_num(0.0)


def choose(
    counts: PanopticCounts, groups: Int64[Tensor, " I"], folds: Int64[Tensor, " I"] | None = None
) -> Int64[Tensor, " I"]:
    """Choose the weighting of each image: that with the highest PQ of its group.

    Of ties, and for a group without images to choose on, it is the best of all images to choose on.

    Args:
        counts: Counts ``[W I C]``.
        groups: Group of each image.
        folds: Fold of each image; its weighting is chosen on images of other folds. By default on all images.
    """
    chosen = torch.zeros_like(groups)
    everywhere = torch.ones_like(groups, dtype=torch.bool)
    halves = [(everywhere, everywhere)] if folds is None else [(folds == f, folds != f) for f in folds.unique()]
    for inside, known in halves:
        fixed = _best(quality(total(counts, known)), torch.tensor(0))
        for group in groups[inside].unique():
            pq = quality(total(counts, known & (groups == group)))
            chosen[inside & (groups == group)] = _best(pq, fixed)
    return chosen


def choose_each(counts: PanopticCounts, default: Int64[Tensor, " I"]) -> Int64[Tensor, " I"]:
    """Choose for each image the weighting with its highest own PQ, and the default of ties.

    Args:
        counts: Counts ``[W I C]``.
        default: Weighting that another has to be better than.
    """
    return _best(quality(counts), default)


def _best(pq: Float64[Tensor, "W ..."], default: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """Return the index of the highest PQ; the default of ties."""
    pq = pq.nan_to_num(1.0)  # no class occurs: nothing was there, and nothing was found
    is_best = pq.gather(0, default[None]).squeeze(0) >= pq.amax(0)
    return torch.where(is_best, default, pq.argmax(0))


def take(counts: PanopticCounts, chosen: Int64[Tensor, " I"]) -> PanopticCounts:
    """Return the counts ``[I C]`` of each image under the weighting chosen for it."""
    return PanopticCounts(*(c[chosen, torch.arange(len(chosen))] for c in counts))


def two_folds(images: int) -> Int64[Tensor, " I"]:
    """Divide images into halves, 0 and 1, at random with a fixed seed; sizes differ by at most one."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(0)) % 2


def quartiles_of(values: Float64[Tensor, " I"]) -> Int64[Tensor, " I"]:
    """Return the quartile of each value, 0 to 3, and 4 for NaN."""
    quartiles = torch.full_like(values, 4, dtype=torch.int64)
    known = ~values.isnan()
    if known.any():
        quartiles[known] = torch.from_numpy(quartile_of(values[known].numpy()))
    return quartiles


def resample(images: int, replicates: int = REPLICATES) -> Float64[Tensor, "R I"]:
    """Return how often each image is in each bootstrap sample, drawn with a fixed seed."""
    drawn = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=replicates)
    return torch.from_numpy(drawn).double()


def gain(counts: PanopticCounts, baseline: PanopticCounts, resampled: Float64[Tensor, "R I"]) -> Estimate:
    """Compute the difference in PQ, in points, with its bootstrap interval over images.

    The weights that were chosen stay in each replicate.

    Args:
        counts: Counts ``[I C]``.
        baseline: Counts ``[I C]`` of the same images to compare with.
        resampled: Result of :func:`resample`.
    """
    replicates = points(_weighted(counts, resampled)) - points(_weighted(baseline, resampled))
    return percentiles(float(points(total(counts)) - points(total(baseline))), replicates.numpy())


def _weighted(counts: PanopticCounts, resampled: Float64[Tensor, "R I"]) -> PanopticCounts:
    iou_sum, *numbers = (resampled @ c.double() for c in counts)
    return PanopticCounts(iou_sum, *(number.long() for number in numbers))
