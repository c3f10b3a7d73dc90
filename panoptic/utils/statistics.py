"""Statistics of studies: quartiles, correlations and paired differences, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

CONFIDENCE = 0.95
"""Confidence level of all intervals."""

QUARTILES = (0.25, 0.5, 0.75)
"""Quantiles between quartiles."""


class Estimate(NamedTuple):
    """Value with a confidence interval; NaN where there are too few data.

    Attributes:
        value: Point estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)
"""Estimate without a value."""


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Estimate:
    """Compute Spearman's rank correlation.

    The interval is that of Fisher's z with the variance of Bonett and Wright (2000).

    Args:
        x: First variable.
        y: Second variable.

    Returns:
        Correlation. NaN for fewer than two pairs or a constant variable, without an interval for fewer than four pairs.
    """
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return NOTHING
    rho = float(stats.spearmanr(x, y).statistic)
    if len(x) < 4:
        return Estimate(rho, math.nan, math.nan)
    if abs(rho) >= 1 - 1e-12:
        return Estimate(rho, rho, rho)
    margin = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return Estimate(rho, math.tanh(math.atanh(rho) - margin), math.tanh(math.atanh(rho) + margin))


def bootstrap_spearman(
    xs: Sequence[Float[np.ndarray, " n"]], y: Float[np.ndarray, " n"], replicates: int
) -> Float[np.ndarray, " r"]:
    """Bootstrap the mean rank correlation of several samples with one variable, such as runs on the same images.

    Observations (the same ones for all samples) and samples are resampled with replacement. Ranks are those within a
    replicate, with the average rank for ties.

    Args:
        xs: Samples.
        y: Variable to correlate the samples with, one value per observation.
        replicates: Number of replicates.

    Returns:
        Mean correlation of each replicate; NaN if a variable is constant in it.
    """
    rng = np.random.default_rng(0)
    observations = rng.integers(0, len(y), (replicates, len(y)))

    def standardize_ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, "r n"]:
        ranks = stats.rankdata(values[observations], axis=1)
        ranks -= ranks.mean(1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return ranks / np.sqrt((ranks**2).sum(1, keepdims=True))

    y_ranks = standardize_ranks(y)
    rhos = np.stack([(standardize_ranks(x) * y_ranks).sum(1) for x in xs])
    return rhos[rng.integers(0, len(xs), rhos.shape), np.arange(replicates)].mean(0)


def mean_with_interval(values: Float[np.ndarray, " n"]) -> Estimate:
    """Compute the mean with Student's t interval, for paired differences that of the paired t test.

    Args:
        values: Observations or paired differences.

    Returns:
        Mean. NaN without values, without an interval for one value.
    """
    if len(values) == 0:
        return NOTHING
    mean = float(np.mean(values))
    if len(values) == 1:
        return Estimate(mean, math.nan, math.nan)
    error = float(stats.sem(values))
    margin = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * error
    return Estimate(mean, mean - margin, mean + margin)


def percentiles(value: float, replicates: Float[np.ndarray, " r"]) -> Estimate:
    """Return a value with the percentile interval of its bootstrap replicates (Efron 1979)."""
    if len(replicates) == 0 or np.isnan(replicates).all():
        return Estimate(value, math.nan, math.nan)
    low, high = np.nanquantile(replicates, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
    return Estimate(value, float(low), float(high))


def quartile_of(values: Float[np.ndarray, " n"]) -> np.ndarray:
    """Return the quartile of each value, 0 to 3.

    A value equal to a boundary belongs to the lower quartile, so ties can leave a quartile empty.
    """
    return np.searchsorted(np.quantile(values, QUARTILES), values, side="left")


def r_squared(predicted: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """Compute the coefficient of determination R²: at most 1, and 0 for predicting the mean of the true values.

    Args:
        predicted: Predicted values.
        true: True values.

    Returns:
        Fraction of the variance of the true values that is explained; NaN if they are constant.
    """
    total = float(((true - true.mean()) ** 2).sum()) if len(true) else 0.0
    return 1.0 - float(((predicted - true) ** 2).sum()) / total if total > 0 else math.nan
