"""The numbers of a comparison: variants beside a baseline, with runs paired by seed. Scores are in points, 100 x PQ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from panoptic.comparison.runs import TRUTH, Images, Run, shuffled_change
from panoptic.comparison.variants import Variant, paired
from panoptic.utils.statistics import (
    NOTHING,
    Estimate,
    bootstrap_spearman,
    mean_with_interval,
    percentiles,
    r_squared,
    spearman,
)

COMPARED = ("pq", "pq_things", "pq_stuff", "boundary_f1")
"""Scores whose differences are tested."""

REPLICATES = 2000
"""Of the bootstrap."""

QUARTILES = (0.25, 0.5, 0.75)
VARIES = 1e-5
"""How far α has to spread over images to be said to vary: more than rounding makes."""


class Spread(NamedTuple):
    """Mean and standard deviation (of the sample; NaN for one) of ``count`` values; NaN for none."""

    mean: float
    std: float
    count: int


class Difference(NamedTuple):
    """A score of a variant less that of the baseline, over pairs of runs.

    Attributes:
        variant: its name.
        score: which.
        points: mean and standard deviation of the differences.
        interval: the mean with the interval of the paired t test.
        bootstrap: the mean with its bootstrap interval.
        over_images: whether the bootstrap draws images too, beside seeds.
    """

    variant: str
    score: str
    points: Spread
    interval: Estimate
    bootstrap: Estimate
    over_images: bool

    @property
    def shown(self) -> bool | None:
        """Whether neither interval includes 0; ``None`` where there are none."""
        if math.isnan(self.interval.low):
            return None
        return excludes_zero(self.interval) and excludes_zero(self.bootstrap)


class CategoryRow(NamedTuple):
    """PQ of a category: the baseline's mean over runs, and the difference of each other variant by name.

    The interval is the bootstrap's over seeds and images, that of the paired t test where images are not compared.
    """

    category: str
    baseline: float
    differences: dict[str, Estimate]


class QuartileRow(NamedTuple):
    """PQ over the images of a quartile.

    Attributes:
        measure: what the images are sorted by.
        quartile: 1 to 4.
        low: the least value of its images.
        high: the greatest.
        images: how many it has.
        scores: by variant, over its runs.
        differences: by variant other than the baseline, with the bootstrap's interval over seeds and images.
    """

    measure: str
    quartile: int
    low: float
    high: float
    images: int
    scores: dict[str, Spread]
    differences: dict[str, Estimate]


class AlphaRow(NamedTuple):
    """α of a variant, over its runs.

    Attributes:
        variant: its name.
        means: mean over images by level.
        correlations: Spearman's with each measure of complexity, by level and measure: the mean over runs with the
            bootstrap's interval over seeds and images, that of Student's t where images differ; of one run, its own.
            Empty where α does not vary.
    """

    variant: str
    means: dict[str, Spread]
    correlations: dict[tuple[str, str], Estimate]


@dataclass(frozen=True)
class Comparison:
    """All that a report says of some variants.

    Attributes:
        split: whose scores they are.
        variants: by name.
        baseline: that the others are compared with.
        categories: names, where images are compared those of their table.
        by_image: whether what is computed image by image is there.
        things_known: whether it is known which categories are things.
        differences: of each variant other than the baseline and each score.
        category_rows: in the order of the categories.
        quartile_rows: none where images are not compared.
        alpha_rows: of the variants whose α was written.
        explained: R² of predicted object density and scale variance, by variant.
        shuffled: change of PQ when images get the complexity of others, by variant.
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
        """The variants but for the baseline."""
        return [variant for variant in self.variants if variant is not self.baseline]

    @property
    def images(self) -> int | None:
        """How many images there are, if all runs that say so agree."""
        counts = {run.evaluation.get("images") for variant in self.variants for run in variant.runs} - {None}
        return counts.pop() if len(counts) == 1 else None


def compare_variants(
    variants: Sequence[Variant], baseline: Variant, split: str, by_image: bool, things: frozenset[str] | None
) -> Comparison:
    """Compares.

    Args:
        variants: all, the baseline among them.
        baseline: with which the others are compared.
        split: whose scores they have.
        by_image: whether all runs have the same images, so that these can be compared.
        things: names of the categories that are things, where that is known.
    """
    others = [variant for variant in variants if variant is not baseline]
    runs = [run for variant in variants for run in variant.runs]
    named = dict.fromkeys(name.removeprefix("pq/") for run in runs for name in run.scores if name.startswith("pq/"))
    categories = runs[0].images.categories if by_image and runs[0].images is not None else tuple(named)
    groups = _groups(categories, things) if by_image else {}
    return Comparison(
        split,
        tuple(variants),
        baseline,
        categories,
        by_image,
        things is not None,
        tuple(
            _difference(variant, baseline, score, groups.get(score))
            for variant in others
            for score in COMPARED
            if any(score in run.scores for run in runs)
        ),
        _categories([name for name in categories if name in named], categories, baseline, others, by_image),
        tuple(row for measure in TRUTH for row in _quartiles(variants, baseline, measure)) if by_image else (),
        tuple(_alpha(variant, by_image) for variant in variants if any(images.levels for images in _tables(variant))),
        {v.name: _explained(v) for v in variants if any(images.predicted is not None for images in _tables(v))},
        {v.name: mean_with_interval(changes) for v in variants if len(changes := _shuffled(v))},
    )


def spread(values: Iterable[float]) -> Spread:
    """Mean and standard deviation."""
    found = np.array(list(values), np.float64)
    if not len(found):
        return Spread(math.nan, math.nan, 0)
    return Spread(float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else math.nan, len(found))


def points(runs: Iterable[Run], score: str) -> list[float]:
    """A score of runs in points, of those that have it."""
    return [100 * run.scores[score] for run in runs if score in run.scores]


def excludes_zero(estimate: Estimate) -> bool:
    """Whether an interval lies above or below 0."""
    return estimate.low > 0 or estimate.high < 0


def quality_by_category(counts: Float64[np.ndarray, "*n C 4"]) -> Float64[np.ndarray, "*n C"]:
    """PQ of each category in points from counts; NaN for one that does not occur."""
    iou_sum, tp, fp, fn = np.moveaxis(counts, -1, 0)
    size = tp + fp / 2 + fn / 2
    return np.where(size > 0, 100 * iou_sum / np.where(size > 0, size, 1.0), np.nan)


def quality(counts: Float64[np.ndarray, "*n C 4"]) -> Float64[np.ndarray, " *n"]:
    """PQ in points from counts: the mean over categories that occur; NaN where none does."""
    values = quality_by_category(counts)
    number = (~np.isnan(values)).sum(-1)
    return np.where(number > 0, np.nansum(values, axis=-1) / np.maximum(number, 1), np.nan)


def bootstrap_differences(
    pairs: Sequence[tuple[Float64[np.ndarray, "I C 4"], Float64[np.ndarray, "I C 4"]]],
    replicates: int = REPLICATES,
    score: Callable[[np.ndarray], np.ndarray] = quality,
) -> Float64[np.ndarray, "R ..."]:
    """Replicates of the mean difference in PQ, with images and pairs of runs drawn anew: the same images for all runs.

    Args:
        pairs: counts of a variant's run and of the baseline's, by pair.
        replicates: how many.
        score: from counts to PQ, or to PQ of each category.
    """
    rng = np.random.default_rng(0)
    images = len(pairs[0][0])
    weights = rng.multinomial(images, np.full(images, 1 / images), size=replicates).astype(np.float64)

    def drawn(counts: Float64[np.ndarray, "I C 4"]) -> np.ndarray:
        return score((weights @ counts.reshape(images, -1)).reshape(replicates, *counts.shape[1:]))

    differences = np.stack([drawn(own) - drawn(other) for own, other in pairs])  # [n R], [n R C]
    return differences[rng.integers(0, len(pairs), (len(pairs), replicates)), np.arange(replicates)].mean(0)


def bootstrap_means(values: Float64[np.ndarray, " n"], replicates: int = REPLICATES) -> Float64[np.ndarray, " R"]:
    """Replicates of the mean with values drawn anew."""
    return values[np.random.default_rng(0).integers(0, len(values), (replicates, len(values)))].mean(1)


def _groups(categories: Sequence[str], things: frozenset[str] | None) -> dict[str, Bool[np.ndarray, " C"]]:
    """Which categories each of the scores averages over that counts give."""
    groups = {"pq": np.ones(len(categories), bool)}
    if things is not None:
        groups["pq_things"] = np.array([name in things for name in categories], bool)
        groups["pq_stuff"] = ~groups["pq_things"]
    return groups


def _difference(
    variant: Variant, baseline: Variant, score: str, categories: Bool[np.ndarray, " C"] | None
) -> Difference:
    pairs = [(own, other) for own, other in paired(variant, baseline) if score in own.scores and score in other.scores]
    differences = _paired_points(pairs, score)
    interval = mean_with_interval(differences)
    over_images = categories is not None and bool(categories.any())
    if len(pairs) < 2:
        bootstrap = Estimate(interval.value, math.nan, math.nan)
    elif over_images:
        counts = [tuple(_counts(run)[:, categories] for run in pair) for pair in pairs]
        bootstrap = percentiles(interval.value, bootstrap_differences(counts))
    else:
        bootstrap = percentiles(interval.value, bootstrap_means(differences))
    return Difference(variant.name, score, spread(differences), interval, bootstrap, over_images)


def _paired_points(pairs: Iterable[tuple[Run, Run]], score: str) -> Float64[np.ndarray, " n"]:
    return np.array([100 * (own.scores[score] - other.scores[score]) for own, other in pairs], np.float64)


def _counts(run: Run) -> Float64[np.ndarray, "I C 4"]:
    assert run.images is not None
    return run.images.counts


def _categories(
    names: Sequence[str], categories: Sequence[str], baseline: Variant, others: Sequence[Variant], by_image: bool
) -> tuple[CategoryRow, ...]:
    """The rows of some categories; counts are in the order of ``categories``."""
    differences: dict[str, dict[str, Estimate]] = {name: {} for name in names}
    for variant in others:
        pairs = paired(variant, baseline)
        replicates = None
        if by_image and len(pairs) > 1:
            counts = [(_counts(own), _counts(other)) for own, other in pairs]
            replicates = bootstrap_differences(counts, score=quality_by_category)
        for name in names:
            score = f"pq/{name}"
            known = [pair for pair in pairs if all(score in run.scores for run in pair)]
            found = mean_with_interval(_paired_points(known, score))
            if replicates is not None and len(known) > 1:
                found = percentiles(found.value, replicates[:, categories.index(name)])
            differences[name][variant.name] = found
    return tuple(
        CategoryRow(name, spread(points(baseline.runs, f"pq/{name}")).mean, differences[name]) for name in names
    )


def quartile_of(values: Float64[np.ndarray, " I"]) -> np.ndarray:
    """The quartile of each value, 0 to 3. A value at an edge belongs below it, so that ties can leave one empty."""
    return np.searchsorted(np.quantile(values, QUARTILES), values, side="left")


def _quartiles(variants: Sequence[Variant], baseline: Variant, measure: str) -> list[QuartileRow]:
    values = _tables(baseline)[0].truth[:, TRUTH.index(measure)]
    quartiles, rows = quartile_of(values), []
    for quartile in range(4):
        inside = quartiles == quartile
        if not inside.any():
            continue
        by_folder = {r.folder: float(quality(_counts(r)[inside].sum(0))) for v in variants for r in v.runs}
        scores = {v.name: spread(_known(by_folder[run.folder] for run in v.runs)) for v in variants}
        differences = {}
        for variant in (v for v in variants if v is not baseline):
            pairs = [
                (a, b)
                for a, b in paired(variant, baseline)
                if not math.isnan(by_folder[a.folder] - by_folder[b.folder])
            ]
            found = mean_with_interval(
                np.array([by_folder[a.folder] - by_folder[b.folder] for a, b in pairs], np.float64)
            )
            if len(pairs) > 1:
                counts = [(_counts(a)[inside], _counts(b)[inside]) for a, b in pairs]
                found = percentiles(found.value, bootstrap_differences(counts))
            differences[variant.name] = found
        low, high = float(values[inside].min()), float(values[inside].max())
        rows.append(QuartileRow(measure, quartile + 1, low, high, int(inside.sum()), scores, differences))
    return rows


def _known(values: Iterable[float]) -> Float64[np.ndarray, " n"]:
    """Those that are not NaN, as PQ is of images without a segment, true or predicted."""
    found = np.array(list(values), np.float64)
    return found[~np.isnan(found)]


def _tables(variant: Variant) -> list[Images]:
    return [run.images for run in variant.runs if run.images is not None]


def varies(images: Images) -> bool:
    """Whether α differs among the images."""
    return bool(images.levels) and bool((np.ptp(images.alpha, axis=0) > VARIES).any())


def _alpha(variant: Variant, by_image: bool) -> AlphaRow:
    tables = [images for images in _tables(variant) if images.levels]
    levels = tables[0].levels
    tables = [images for images in tables if images.levels == levels]
    means = {level: spread(float(images.alpha[:, i].mean()) for images in tables) for i, level in enumerate(levels)}
    moving = [images for images in tables if varies(images)]
    correlations = {
        (level, measure): _rank_correlation([(m.alpha[:, i], m.truth[:, j]) for m in moving], by_image)
        for i, level in enumerate(levels)
        for j, measure in enumerate(TRUTH)
        if moving
    }
    return AlphaRow(variant.name, means, correlations)


def _rank_correlation(runs: Sequence[tuple[np.ndarray, np.ndarray]], by_image: bool) -> Estimate:
    """Spearman's ρ of α and a measure of complexity: the mean over runs with its interval; of one run, its own."""
    found = [(spearman(alpha, truth), alpha, truth) for alpha, truth in runs]
    known = [(rho, alpha, truth) for rho, alpha, truth in found if not math.isnan(rho.value)]
    if len(known) < 2:
        return known[0][0] if known else NOTHING
    mean = mean_with_interval(np.array([rho.value for rho, _, _ in known], np.float64))
    if not by_image:
        return mean
    return percentiles(mean.value, bootstrap_spearman([alpha for _, alpha, _ in known], known[0][2], REPLICATES))


def _explained(variant: Variant) -> tuple[Spread, Spread]:
    tables = [images for images in _tables(variant) if images.predicted is not None]
    density, variance = (
        spread(
            share
            for images in tables
            if images.predicted is not None
            and not math.isnan(share := r_squared(images.predicted[:, j], images.truth[:, j]))
        )
        for j in range(2)
    )
    return density, variance


def _shuffled(variant: Variant) -> Float64[np.ndarray, " n"]:
    """By run that has it, the change of PQ in points."""
    changes = [shuffled_change(run.evaluation) for run in variant.runs]
    return np.array([change for change in changes if change is not None], np.float64)
