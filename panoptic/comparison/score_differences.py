"""Paired differences between models from their per-image scores, with a bootstrap over images. Scores are in points.

PQ of a set of images is no mean over images: it follows from their summed counts (Kirillov et al. 2019). So each
replicate draws images with replacement, the same ones for all models, and sums their counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from panoptic.comparison.differences import bootstrap_differences, quality_by_category
from panoptic.comparison.images import TRUTH
from panoptic.comparison.score_files import BOUNDARY_F1, BOUNDARY_QUALITY, QUALITY, ScoreFile, compared_kinds
from panoptic.utils.statistics import Estimate, percentiles, quartile_of

SCORES = {
    QUALITY: ("pq", "sq", "rq"),
    BOUNDARY_QUALITY: ("boundary_pq", "boundary_sq", "boundary_rq"),
    BOUNDARY_F1: ("boundary_f1",),
}
"""Names of the scores that follow from each kind of numbers."""


class Row(NamedTuple):
    """A score of some categories over some images, in points.

    Attributes:
        score: Name of the score.
        images: Number of images in which one of the categories is true or predicted.
        scores: Score by name of the model.
        differences: Differences to the baseline by name of the model, with bootstrap intervals over images.
    """

    score: str
    images: int
    scores: dict[str, float]
    differences: dict[str, Estimate]


class Quartile(NamedTuple):
    """Images of a quartile of complexity.

    Attributes:
        measure: Complexity measure by which images are sorted.
        quartile: Index from 1 to 4.
        low: Smallest value of the measure in the quartile.
        high: Largest value of the measure in the quartile.
        images: Number of images.
        groups: Rows by group of categories.
    """

    measure: str
    quartile: int
    low: float
    high: float
    images: int
    groups: dict[str, list[Row]]


@dataclass(frozen=True)
class ScoreComparison:
    """Results of comparing models by their per-image scores.

    Attributes:
        files: Tables of the models.
        baseline: Table of the model with which the others are compared.
        groups: Rows over all images, by ``all``, ``things`` and ``stuff``; without the latter two if unknown.
        categories: The same by category.
        quartiles: The same by quartile of each complexity measure of the true segments.
    """

    files: tuple[ScoreFile, ...]
    baseline: ScoreFile
    groups: dict[str, list[Row]]
    categories: dict[str, list[Row]]
    quartiles: tuple[Quartile, ...]

    @property
    def others(self) -> list[ScoreFile]:
        """All tables except the baseline's."""
        return [file for file in self.files if file is not self.baseline]

    @property
    def things(self) -> frozenset[str] | None:
        """Names of the thing categories, or ``None`` if unknown."""
        return next((file.things for file in self.files if file.things is not None), None)


def compare_score_files(files: Sequence[ScoreFile], baseline: ScoreFile) -> ScoreComparison:
    """Compare models with a baseline, image by image.

    Args:
        files: Tables of all models, of the same images and categories.
        baseline: One of them.
    """
    names = baseline.images.categories
    things = next((file.things for file in files if file.things is not None), None)
    groups: dict[str, Bool[np.ndarray, " C"]] = {"all": np.ones(len(names), bool)}
    if things is not None:
        groups["things"] = np.array([name in things for name in names], bool)
        groups["stuff"] = ~groups["things"]
    single = np.eye(len(names), dtype=bool)
    everything = np.ones(len(baseline.images.ids), bool)
    whole = _compare(files, baseline, np.concatenate([np.stack(list(groups.values())), single]), everything)
    quartiles = [quartile for measure in TRUTH for quartile in _quartiles(files, baseline, groups, measure)]
    return ScoreComparison(
        tuple(files),
        baseline,
        dict(zip(groups, whole, strict=False)),
        dict(zip(names, whole[len(groups) :], strict=True)),
        tuple(quartiles),
    )


def _quartiles(
    files: Sequence[ScoreFile], baseline: ScoreFile, groups: Mapping[str, Bool[np.ndarray, " C"]], measure: str
) -> Iterator[Quartile]:
    values = baseline.images.truth[:, TRUTH.index(measure)]
    quartiles = quartile_of(values)
    for quartile in range(4):
        inside = quartiles == quartile
        if inside.any():
            rows = _compare(files, baseline, np.stack(list(groups.values())), inside)
            low, high = float(values[inside].min()), float(values[inside].max())
            yield Quartile(measure, quartile + 1, low, high, int(inside.sum()), dict(zip(groups, rows, strict=True)))


def _compare(
    files: Sequence[ScoreFile], baseline: ScoreFile, groups: Bool[np.ndarray, "G C"], inside: Bool[np.ndarray, " I"]
) -> list[list[Row]]:
    """Return the rows of each group of categories over some images, one row for each score."""
    rows: list[list[Row]] = [[] for _ in groups]
    for kind in compared_kinds(files):
        sums = {file.name: file.sums[kind][inside] for file in files}
        score = partial(group_scores, kind=kind, groups=groups)
        values = {name: score(part.sum(0)) for name, part in sums.items()}
        occurs = np.stack([part.any(-1) for part in sums.values()]).any(0)  # [I C]
        images = (occurs.astype(np.int64) @ groups.T.astype(np.int64) > 0).sum(0)  # [G]
        replicates = {
            file.name: bootstrap_differences([(sums[file.name], sums[baseline.name])], score=score)  # [R S G]
            for file in files
            if file is not baseline
        }
        for s, name in enumerate(SCORES[kind]):
            for g, row in enumerate(rows):
                found = {model: float(scores[s, g]) for model, scores in values.items()}
                differences = {
                    model: _estimate(found[model] - found[baseline.name], drawn[:, s, g], int(images[g]))
                    for model, drawn in replicates.items()
                }
                row.append(Row(name, int(images[g]), found, differences))
    return rows


def _estimate(difference: float, replicates: Float64[np.ndarray, " R"], images: int) -> Estimate:
    """Return a difference with its interval, which a single image does not give."""
    if images < 2 or math.isnan(difference):
        return Estimate(difference, math.nan, math.nan)
    return percentiles(difference, replicates)


def group_scores(
    sums: Float64[np.ndarray, "*n C K"], kind: str, groups: Bool[np.ndarray, "G C"]
) -> Float64[np.ndarray, "*n S G"]:
    """Compute the scores of groups of categories, in points: means over the categories that occur, NaN if none does.

    Args:
        sums: Numbers of a kind, summed over images.
        kind: Kind of numbers, which has the scores in :data:`SCORES`.
        groups: Categories of each group.
    """
    values = BY_CATEGORY[kind](sums)
    sizes = (~np.isnan(values)).astype(np.float64) @ groups.T
    totals = np.nan_to_num(values) @ groups.T.astype(np.float64)
    return np.where(sizes > 0, totals / np.maximum(sizes, 1), np.nan)


def _qualities(counts: Float64[np.ndarray, "*n C 4"]) -> Float64[np.ndarray, "*n 3 C"]:
    """Compute PQ, SQ and RQ of each category; SQ is 0 for categories without a match."""
    iou_sum, tp, _, _ = np.moveaxis(counts, -1, 0)
    pq = quality_by_category(counts)
    sq = np.where(np.isnan(pq), np.nan, 100 * iou_sum / np.maximum(tp, 1))
    rq = quality_by_category(np.concatenate([counts[..., 1:2], counts[..., 1:]], -1))
    return np.stack([pq, sq, rq], -2)


def _mean_f1(sums: Float64[np.ndarray, "*n C 2"]) -> Float64[np.ndarray, "*n 1 C"]:
    """Compute boundary F1 of each category, the mean over the images in which it occurs."""
    total, images = np.moveaxis(sums, -1, 0)
    return np.where(images > 0, 100 * total / np.maximum(images, 1), np.nan)[..., None, :]


BY_CATEGORY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    QUALITY: _qualities,
    BOUNDARY_QUALITY: _qualities,
    BOUNDARY_F1: _mean_f1,
}
"""Function from sums to the scores of each category."""
