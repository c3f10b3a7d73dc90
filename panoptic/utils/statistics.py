"""The statistics that studies report: correlations and paired differences, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

CONFIDENCE = 0.95
"""Of every interval."""


class Estimate(NamedTuple):
    """A value with its interval; NaN where there is too little to say.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Estimate:
    """Spearman's rank correlation, with the interval of Fisher's z and the variance of Bonett and Wright (2000).

    NaN below two pairs or where one of the two does not vary; without an interval below four pairs.
    """
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return NOTHING
    rho = float(stats.spearmanr(x, y).statistic)
    if len(x) < 4:
        return Estimate(rho, math.nan, math.nan)
    if abs(rho) >= 1 - 1e-12:
        return Estimate(rho, rho, rho)
    reach = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return Estimate(rho, math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach))


def bootstrap_spearman(
    xs: Sequence[Float[np.ndarray, " n"]], y: Float[np.ndarray, " n"], replicates: int
) -> Float[np.ndarray, " r"]:
    """Replicates of the mean rank correlation of several samples with one, as of several runs over the same images.

    Places (the same for all) and samples are drawn anew. Ranks are those of what was drawn, ties at their mean.

    Args:
        xs: the samples.
        y: what they are correlated with, place by place.
        replicates: how many.

    Returns:
        NaN for a replicate in which something does not vary.
    """
    rng = np.random.default_rng(0)
    places = rng.integers(0, len(y), (replicates, len(y)))

    def standardized(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "r n"]:
        ranks = stats.rankdata(values[places], axis=1)
        ranks -= ranks.mean(1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return ranks / np.sqrt((ranks**2).sum(1, keepdims=True))

    common = standardized(y)
    rhos = np.stack([(standardized(x) * common).sum(1) for x in xs])
    return rhos[rng.integers(0, len(xs), rhos.shape), np.arange(replicates)].mean(0)


def mean_with_interval(values: Float[np.ndarray, " n"]) -> Estimate:
    """The mean with Student's t interval; of paired differences, that of the paired t test.

    NaN for no value; without an interval for one.
    """
    if len(values) == 0:
        return NOTHING
    mean = float(np.mean(values))
    if len(values) == 1:
        return Estimate(mean, math.nan, math.nan)
    error = float(stats.sem(values))
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * error
    return Estimate(mean, mean - reach, mean + reach)


def percentiles(value: float, replicates: Float[np.ndarray, " r"]) -> Estimate:
    """A value with the percentile interval of its bootstrap replicates (Efron 1979)."""
    if len(replicates) == 0 or np.isnan(replicates).all():
        return Estimate(value, math.nan, math.nan)
    low, high = np.nanquantile(replicates, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Estimate(value, float(low), float(high))


def r_squared(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """The share of the variance of the truth that a prediction explains: 1 at best, 0 for the mean of the truth.

    NaN where the truth does not vary.
    """
    spread = float(((true - true.mean()) ** 2).sum()) if len(true) else 0.0
    return 1.0 - float(((predicted - true) ** 2).sum()) / spread if spread > 0 else math.nan
