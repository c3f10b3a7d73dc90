"""Intervals against values worked out by hand and against SciPy's own, and what happens where there is too little."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from panoptic.utils.statistics import (
    bootstrap_spearman,
    mean_with_interval,
    percentiles,
    quartile_of,
    r_squared,
    spearman,
)


def test_quartiles_hold_each_value_once_whatever_the_ties():
    assert quartile_of(np.arange(8.0)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert quartile_of(np.array([0.0, 0, 0, 0, 0, 5, 6, 7])).tolist() == [0, 0, 0, 0, 0, 2, 3, 3]
    assert quartile_of(np.ones(5)).tolist() == [0] * 5


def test_interval_of_a_mean_by_hand():
    # Differences 1, 2, 3: mean 2, standard deviation 1, standard error 1 / sqrt(3); t with 2 degrees is 4.30265.
    value, low, high = mean_with_interval(np.array([1.0, 2.0, 3.0]))
    assert value == 2.0
    assert (low, high) == pytest.approx((2 - 4.30265 / math.sqrt(3), 2 + 4.30265 / math.sqrt(3)), abs=1e-4)


def test_interval_is_that_of_the_paired_t_test():
    one, other = np.random.default_rng(0).normal(size=(2, 8))
    expected = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert mean_with_interval(one - other)[1:] == pytest.approx((expected.low, expected.high))


def test_equal_differences_have_an_interval_of_no_width():
    assert mean_with_interval(np.array([0.5, 0.5, 0.5])) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("values", "mean"), [([], math.nan), ([3.0], 3.0)])
def test_one_value_has_no_interval(values, mean):
    value, low, high = mean_with_interval(np.array(values))
    assert value == mean or math.isnan(mean)
    assert math.isnan(low)
    assert math.isnan(high)


def test_rank_correlation_by_hand():
    # Ranks 1 2 3 4 5 against 2 1 4 3 5: squared differences 1 1 1 1 0, rho = 1 - 6 * 4 / (5 * 24) = 0.8.
    rho, low, high = spearman(np.arange(5.0), np.array([20.0, 10.0, 40.0, 30.0, 50.0]))
    assert rho == pytest.approx(0.8)
    reach = 1.959964 * math.sqrt((1 + 0.32) / 2)
    assert (low, high) == pytest.approx((math.tanh(math.atanh(0.8) - reach), math.tanh(math.atanh(0.8) + reach)))


def test_the_interval_of_a_rank_correlation_covers():
    """Of samples of a normal distribution with a known rank correlation, about 95% of the intervals hold it."""
    generator, rho = np.random.default_rng(1), 0.6
    true = 6 / math.pi * math.asin(rho / 2)
    x = generator.normal(size=(400, 100))
    y = rho * x + math.sqrt(1 - rho**2) * generator.normal(size=x.shape)
    covered = [low <= true <= high for _, low, high in map(spearman, x, y)]
    assert 0.92 <= np.mean(covered) <= 0.98


@pytest.mark.parametrize(("x", "y"), [([1.0], [2.0]), ([1.0, 2.0, 3.0], [5.0, 5.0, 5.0]), ([], [])])
def test_what_does_not_vary_has_no_correlation(x, y):
    assert all(map(math.isnan, spearman(np.array(x), np.array(y))))


def test_few_pairs_have_no_interval_and_perfect_ones_no_width():
    value, low, _ = spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]))
    assert value == pytest.approx(-1.0)
    assert math.isnan(low)
    assert spearman(np.arange(6.0), np.arange(6.0)) == pytest.approx((1.0, 1.0, 1.0))


def test_percentiles_of_replicates():
    value, low, high = percentiles(0.3, np.arange(1001) / 1000)
    assert (value, low, high) == pytest.approx((0.3, 0.025, 0.975))
    assert percentiles(1.0, np.array([1.0, math.nan, 1.0])) == (1.0, 1.0, 1.0)
    assert math.isnan(percentiles(1.0, np.array([]))[1])


def test_r_squared_by_hand():
    true = np.array([1.0, 2.0, 3.0])
    assert r_squared(true, true) == 1.0
    assert r_squared(np.full(3, 2.0), true) == 0.0
    assert r_squared(np.array([1.0, 2.0, 4.0]), true) == 0.5
    assert math.isnan(r_squared(true, np.full(3, 2.0)))


def test_the_bootstrap_of_rank_correlations_is_what_drawing_one_by_one_gives() -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 5, 12).astype(float)  # with ties
    xs = [rng.normal(size=12) for _ in range(3)]
    found = bootstrap_spearman(xs, y, 25)
    same = np.random.default_rng(0)
    places, samples = same.integers(0, 12, (25, 12)), same.integers(0, 3, (3, 25))
    for r in range(25):
        rhos = [stats.spearmanr(xs[i][places[r]], y[places[r]]).statistic for i in samples[:, r]]
        assert found[r] == pytest.approx(np.mean(rhos))


def test_intervals_of_rank_correlation_hold_nothing_for_something_seldom() -> None:
    """Runs whose α is alike, over the same images, and independent of what it is correlated with."""
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(100):
        y, common = rng.normal(size=(2, 60))
        xs = [common + 0.3 * rng.normal(size=60) for _ in range(4)]
        low, high = np.quantile(bootstrap_spearman(xs, y, 200), [0.025, 0.975])
        missed += low > 0 or high < 0
    assert missed <= 12  # 5 are expected; 36 with the t interval over runs alone
