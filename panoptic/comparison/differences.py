"""Statistics of a comparison of variants with a baseline, runs paired by seed. Scores are in points: 100 x PQ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from panoptic.comparison.images import TRUTH
from panoptic.comparison.runs import Run
from panoptic.comparison.spread import REPLICATES, Spread, spread
from panoptic.comparison.variants import Variant, paired
from panoptic.comparison.weights import AlphaRow, alpha_row, explained_complexity, shuffled_changes, tables_of
from panoptic.utils.statistics import (
    Estimate,
    mean_with_interval,
    percentiles,
    quartile_of,
)

COMPARED = ("pq", "pq_things", "pq_stuff", "boundary_f1")
"""Scores whose differences are tested."""


class Difference(NamedTuple):
    """Score of a variant minus that of the baseline, over pairs of runs.

    Attributes:
        variant: Name of the variant.
        score: Name of the score.
        points: Mean and standard deviation of the differences, in points.
        interval: Mean with the confidence interval of the paired t test.
        bootstrap: Mean with its bootstrap interval.
        over_images: Whether the bootstrap resamples images as well as seeds.
    """

    variant: str
    score: str
    points: Spread
    interval: Estimate
    bootstrap: Estimate
    over_images: bool

    @property
    def shown(self) -> bool | None:
        """Whether neither interval includes 0; ``None`` without intervals."""
        if math.isnan(self.interval.low):
            return None
        return excludes_zero(self.interval) and excludes_zero(self.bootstrap)


class CategoryRow(NamedTuple):
    """PQ of a category, in points.

    Attributes:
        category: Name of the category.
        baseline: Mean over the runs of the baseline.
        differences: Differences to the baseline by name of the variant. Intervals are bootstrap intervals over seeds
            and images, or those of the paired t test if images are not compared.
    """

    category: str
    baseline: float
    differences: dict[str, Estimate]


class QuartileRow(NamedTuple):
    """PQ over the images of a quartile, in points.

    Attributes:
        measure: Complexity measure by which images are sorted.
        quartile: Index from 1 to 4.
        low: Smallest value of the measure in the quartile.
        high: Largest value of the measure in the quartile.
        images: Number of images.
        scores: PQ over runs, by name of the variant.
        differences: Differences to the baseline by name of the variant, with bootstrap intervals over seeds and images.
    """

    measure: str
    quartile: int
    low: float
    high: float
    images: int
    scores: dict[str, Spread]
    differences: dict[str, Estimate]


@dataclass(frozen=True)
class Comparison:
    """Results of comparing variants, as shown in a report.

    Attributes:
        split: Split of the scores.
        variants: All variants, sorted by name.
        baseline: Variant with which the others are compared.
        categories: Names of the categories; those of the per-image tables if images are compared.
        by_image: Whether per-image results are available for all runs.
        things_known: Whether the thing categories are known.
        differences: Differences to the baseline, by variant and score.
        category_rows: PQ by category, in the order of the categories.
        quartile_rows: PQ by quartile of complexity; empty if images are not compared.
        alpha_rows: Fusion weights of the variants that have them.
        explained: R² of the predicted object density and scale variance, by variant.
        shuffled: Change of PQ if the complexity is shuffled among the images, by variant.
    """

    split: str
    variants: tuple[Variant, ...]
    baseline: Variant
    categories: tuple[str, ...]
    by_image: bool
    things_known: bool
    differences: tuple[Difference, ...]
    category_rows: tuple[CategoryRow, ...]
    quartile_rows: tuple[QuartileRow, ...]
    alpha_rows: tuple[AlphaRow, ...]
    explained: dict[str, tuple[Spread, Spread]]
    shuffled: dict[str, Estimate]

    @property
    def others(self) -> list[Variant]:
        """All variants except the baseline."""
        return [variant for variant in self.variants if variant is not self.baseline]

    @property
    def images(self) -> int | None:
        """Number of images, if the runs that record it agree."""
        counts = {run.evaluation.get("images") for variant in self.variants for run in variant.runs} - {None}
        return counts.pop() if len(counts) == 1 else None


def compare_variants(
    variants: Sequence[Variant], baseline: Variant, split: str, by_image: bool, things: frozenset[str] | None
) -> Comparison:
    """Compare variants with a baseline.

    Args:
        variants: All variants, including the baseline.
        baseline: Variant with which the others are compared.
        split: Split of the scores.
        by_image: Whether all runs were evaluated on the same images, so that images can be compared.
        things: Names of the thing categories, or ``None`` if unknown.
    """
    non_baseline = [variant for variant in variants if variant is not baseline]
    runs = [run for variant in variants for run in variant.runs]
    scored = dict.fromkeys(name.removeprefix("pq/") for run in runs for name in run.scores if name.startswith("pq/"))
    categories = runs[0].images.categories if by_image and runs[0].images is not None else tuple(scored)
    masks = _category_masks(categories, things) if by_image else {}
    return Comparison(
        split,
        tuple(variants),
        baseline,
        categories,
        by_image,
        things is not None,
        tuple(
            _difference(variant, baseline, score, masks.get(score))
            for variant in non_baseline
            for score in COMPARED
            if any(score in run.scores for run in runs)
        ),
        _category_rows([name for name in categories if name in scored], categories, baseline, non_baseline, by_image),
        tuple(row for measure in TRUTH for row in _quartile_rows(variants, baseline, measure)) if by_image else (),
        tuple(alpha_row(v, by_image) for v in variants if any(images.levels for images in tables_of(v))),
        {
            v.name: explained_complexity(v)
            for v in variants
            if any(images.predicted is not None for images in tables_of(v))
        },
        {v.name: mean_with_interval(changes) for v in variants if len(changes := shuffled_changes(v))},
    )


def points(runs: Iterable[Run], score: str) -> list[float]:
    """Return a score in points for each run that has it."""
    return [100 * run.scores[score] for run in runs if score in run.scores]


def excludes_zero(estimate: Estimate) -> bool:
    """Return whether an interval lies entirely above or below 0."""
    return estimate.low > 0 or estimate.high < 0


def quality_by_category(counts: Float64[np.ndarray, "*n C 4"]) -> Float64[np.ndarray, "*n C"]:
    """Compute PQ of each category, in points; NaN for categories that do not occur.

    Args:
        counts: Sum of IoU, true positives, false positives and false negatives by category.
    """
    iou_sum, tp, fp, fn = np.moveaxis(counts, -1, 0)
    size = tp + fp / 2 + fn / 2
    return np.where(size > 0, 100 * iou_sum / np.where(size > 0, size, 1.0), np.nan)


def quality(counts: Float64[np.ndarray, "*n C 4"]) -> Float64[np.ndarray, " *n"]:
    """Compute PQ in points, the mean over categories that occur; NaN if none does.

    Args:
        counts: Sum of IoU, true positives, false positives and false negatives by category.
    """
    values = quality_by_category(counts)
    num_categories = (~np.isnan(values)).sum(-1)
    return np.where(num_categories > 0, np.nansum(values, axis=-1) / np.maximum(num_categories, 1), np.nan)


def bootstrap_differences(
    pairs: Sequence[tuple[Float64[np.ndarray, "I C K"], Float64[np.ndarray, "I C K"]]],
    replicates: int = REPLICATES,
    score: Callable[[np.ndarray], np.ndarray] = quality,
) -> Float64[np.ndarray, "R ..."]:
    """Bootstrap the mean difference in a score over images and pairs of runs; all runs share the resampled images.

    Args:
        pairs: Counts of a run of the variant and of the baseline's run with the same seed, or other numbers that add
            up over images.
        replicates: Number of replicates.
        score: Function from counts to scores in points, by default PQ.

    Returns:
        Mean difference of each replicate, in points.
    """
    rng = np.random.default_rng(0)
    images = len(pairs[0][0])
    weights = rng.multinomial(images, np.full(images, 1 / images), size=replicates).astype(np.float64)

    def resampled_score(counts: Float64[np.ndarray, "I C K"]) -> np.ndarray:
        return score((weights @ counts.reshape(images, -1)).reshape(replicates, *counts.shape[1:]))

    differences = np.stack([resampled_score(run) - resampled_score(base) for run, base in pairs])  # [n R], [n R C]
    return differences[rng.integers(0, len(pairs), (len(pairs), replicates)), np.arange(replicates)].mean(0)


def bootstrap_means(values: Float64[np.ndarray, " n"], replicates: int = REPLICATES) -> Float64[np.ndarray, " R"]:
    """Bootstrap the mean of some values."""
    return values[np.random.default_rng(0).integers(0, len(values), (replicates, len(values)))].mean(1)


def _category_masks(categories: Sequence[str], things: frozenset[str] | None) -> dict[str, Bool[np.ndarray, " C"]]:
    """Return the categories that are averaged, for each score that follows from counts."""
    masks = {"pq": np.ones(len(categories), bool)}
    if things is not None:
        masks["pq_things"] = np.array([name in things for name in categories], bool)
        masks["pq_stuff"] = ~masks["pq_things"]
    return masks


def _difference(
    variant: Variant, baseline: Variant, score: str, categories: Bool[np.ndarray, " C"] | None
) -> Difference:
    """Compare a score; the bootstrap resamples images only if ``categories`` selects some."""
    pairs = [(run, base) for run, base in paired(variant, baseline) if score in run.scores and score in base.scores]
    differences = _paired_points(pairs, score)
    interval = mean_with_interval(differences)
    over_images = categories is not None and bool(categories.any())
    if len(pairs) < 2:
        bootstrap = Estimate(interval.value, math.nan, math.nan)
    elif over_images:
        counts = [(_counts(run)[:, categories], _counts(base)[:, categories]) for run, base in pairs]
        bootstrap = percentiles(interval.value, bootstrap_differences(counts))
    else:
        bootstrap = percentiles(interval.value, bootstrap_means(differences))
    return Difference(variant.name, score, spread(differences), interval, bootstrap, over_images)


def _paired_points(pairs: Iterable[tuple[Run, Run]], score: str) -> Float64[np.ndarray, " n"]:
    return np.array([100 * (run.scores[score] - base.scores[score]) for run, base in pairs], np.float64)


def _counts(run: Run) -> Float64[np.ndarray, "I C 4"]:
    assert run.images is not None
    return run.images.counts


def _category_rows(
    names: Sequence[str], categories: Sequence[str], baseline: Variant, variants: Sequence[Variant], by_image: bool
) -> tuple[CategoryRow, ...]:
    """Return the rows of the named categories.

    Args:
        names: Categories to include.
        categories: All categories, in the order of the counts.
        baseline: Variant with which the others are compared.
        variants: All variants except the baseline.
        by_image: Whether images can be compared.
    """
    differences: dict[str, dict[str, Estimate]] = {name: {} for name in names}
    for variant in variants:
        pairs = paired(variant, baseline)
        replicates = None
        if by_image and len(pairs) > 1:
            counts = [(_counts(run), _counts(base)) for run, base in pairs]
            replicates = bootstrap_differences(counts, score=quality_by_category)
        for name in names:
            score = f"pq/{name}"
            scored = [pair for pair in pairs if all(score in run.scores for run in pair)]
            estimate = mean_with_interval(_paired_points(scored, score))
            if replicates is not None and len(scored) > 1:
                estimate = percentiles(estimate.value, replicates[:, categories.index(name)])
            differences[name][variant.name] = estimate
    return tuple(
        CategoryRow(name, spread(points(baseline.runs, f"pq/{name}")).mean, differences[name]) for name in names
    )


def _quartile_rows(variants: Sequence[Variant], baseline: Variant, measure: str) -> list[QuartileRow]:
    values = tables_of(baseline)[0].truth[:, TRUTH.index(measure)]
    quartiles, rows = quartile_of(values), []
    for quartile in range(4):
        inside = quartiles == quartile
        if not inside.any():
            continue
        pq = {run.folder: float(quality(_counts(run)[inside].sum(0))) for v in variants for run in v.runs}
        scores = {v.name: spread(_drop_nan(pq[run.folder] for run in v.runs)) for v in variants}
        differences = {}
        for variant in (v for v in variants if v is not baseline):
            pairs = [
                (run, base)
                for run, base in paired(variant, baseline)
                if not math.isnan(pq[run.folder] - pq[base.folder])
            ]
            estimate = mean_with_interval(
                np.array([pq[run.folder] - pq[base.folder] for run, base in pairs], np.float64)
            )
            if len(pairs) > 1:
                counts = [(_counts(run)[inside], _counts(base)[inside]) for run, base in pairs]
                estimate = percentiles(estimate.value, bootstrap_differences(counts))
            differences[variant.name] = estimate
        low, high = float(values[inside].min()), float(values[inside].max())
        rows.append(QuartileRow(measure, quartile + 1, low, high, int(inside.sum()), scores, differences))
    return rows


def _drop_nan(values: Iterable[float]) -> Float64[np.ndarray, " n"]:
    """Drop NaN values; PQ is NaN for images without true and predicted segments."""
    array = np.array(list(values), np.float64)
    return array[~np.isnan(array)]
