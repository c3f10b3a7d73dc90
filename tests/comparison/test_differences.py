"""Differences between variants, with numbers worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from panoptic.comparison.differences import (
    bootstrap_differences,
    quality,
)
from tests.comparison.made_runs import T2, compared, evaluated, made, rows_of, run, warned


def test_paired_differences_by_hand(three_pairs: None) -> None:
    comparison = compared()
    assert (comparison.split, comparison.baseline.name, comparison.by_image) == ("val", "uniform", False)
    assert [d.score for d in comparison.differences] == ["pq", "pq_things", "pq_stuff", "boundary_f1"]
    pq = comparison.differences[0]
    assert pq.points == pytest.approx((2.0, 1.0, 3))
    assert pq.interval == pytest.approx((2.0, 2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)))
    # Of 27 draws of three, one takes the least each time: more than 2.5% of them.
    assert pq.bootstrap == pytest.approx((2.0, 1.0, 3.0))
    assert (pq.shown, pq.over_images) == (False, False)
    f1 = comparison.differences[3]
    assert (f1.points, f1.interval, f1.bootstrap) == ((0, 0, 3), (0, 0, 0), (0, 0, 0))
    assert f1.shown is False
    assert [row.category for row in comparison.category_rows] == ["car", "road"]
    assert comparison.category_rows[0].baseline == pytest.approx(31.0)
    assert comparison.category_rows[0].differences["adaptive"] == pytest.approx(pq.interval)
    assert (comparison.quartile_rows, comparison.alpha_rows, comparison.explained) == ((), (), {})


def test_a_difference_is_shown_where_no_interval_includes_zero() -> None:
    for seed, difference in enumerate((0.019, 0.020, 0.021)):
        made("runs", seed, 0.4)
        made("runs", seed, 0.4 + difference, "static")
        made("runs", seed, 0.4 - difference, "local")
    pq = {d.variant: d for d in compared().differences if d.score == "pq"}
    assert (pq["static"].shown, pq["local"].shown) == (True, True)
    assert pq["static"].interval.low == pytest.approx(2 - T2 * 0.1 / math.sqrt(3))


def test_one_pair_has_no_interval_and_other_seeds_are_dropped() -> None:
    made("runs", 0, 0.40), made("runs", 1, 0.50)
    made("runs", 1, 0.53, "adaptive"), made("runs", 2, 0.90, "adaptive")
    pq = compared().differences[0]
    assert pq.interval[0] == pytest.approx(3.0)
    assert all(math.isnan(end) for end in (*pq.interval[1:], *pq.bootstrap[1:]))
    assert (pq.points.count, pq.shown) == (1, None)
    assert warned() == [
        "seeds of adaptive that uniform lacks are left out of the pairs: 2",
        "seeds of uniform that adaptive lacks are left out of the pairs: 0",
        "adaptive and uniform have 1 pair of runs with the same seed: too few for an interval",
    ]


def test_quality_by_hand() -> None:
    # 1.2 / (2 + 1/2 + 2/2), nothing to count, 0 / (1/2).
    counts = np.array([[1.2, 2, 1, 2], [0, 0, 0, 0], [0, 0, 0, 1]])
    assert float(quality(counts)) == pytest.approx(100 * (1.2 / 3.5 + 0) / 2)
    assert math.isnan(float(quality(np.zeros((3, 4)))))


def test_scores_of_images_and_their_quartiles_by_hand() -> None:
    # Cars: PQ of the baseline 60, of the other 60 but for the last image, that with most objects, with 90.
    for seed in range(2):
        evaluated(made("runs", seed), [0.6] * 8, [0.8] * 8)
        evaluated(made("runs", seed, fusion="adaptive"), [0.6] * 7 + [0.9], [0.8] * 8)
    comparison = compared()
    assert (comparison.split, comparison.by_image, comparison.images) == ("test", True, 8)
    things = next(d for d in comparison.differences if d.score == "pq_things")
    assert things.interval == pytest.approx((3.75, 3.75, 3.75))  # 30 / 8, for both seeds
    assert things.over_images
    # How often that image is among eight draws is binomial(8, 1/8): at most twice in 93%, three times in 99% of them.
    assert things.bootstrap == pytest.approx((3.75, 0, 3 * 30 / 8))
    stuff = next(d for d in comparison.differences if d.score == "pq_stuff")
    assert stuff.bootstrap == pytest.approx((0, 0, 0), abs=1e-9)
    density = [row for row in comparison.quartile_rows if row.measure == "object_density"]
    assert [(r.quartile, r.low, r.high, r.images) for r in density] == [
        (1, 0, 1, 2),
        (2, 2, 3, 2),
        (3, 4, 5, 2),
        (4, 6, 7, 2),
    ]
    assert [r.differences["adaptive"].value for r in density] == pytest.approx([0, 0, 0, 7.5])
    assert density[3].scores["adaptive"] == pytest.approx((77.5, 0, 2))
    assert density[3].scores["uniform"] == pytest.approx((70, 0, 2))
    # Scale variance is the same for all images: one group of all.
    (variance,) = [row for row in comparison.quartile_rows if row.measure == "scale_variance"]
    assert (variance.quartile, variance.images) == (1, 8)
    assert variance.differences["adaptive"].value == pytest.approx(1.875)


def test_images_without_a_segment_have_no_quality() -> None:
    for seed in range(2):
        for fusion in ("uniform", "adaptive"):
            evaluated(made("runs", seed, fusion=fusion), [0.6] * 4, [0.8] * 4)
            table = Path(f"runs/{fusion}_{seed}/evaluate_test/per_image.csv")
            header, first, *rows = table.read_text().splitlines()
            cells = first.split(",")
            place = header.split(",").index("iou_sum/car")
            nothing = ",".join([*cells[:place], *["0"] * len(cells[place:])])
            table.write_text("\n".join([header, nothing, *rows]))
    run("runs=runs", "output=out")
    rows = [row for row in rows_of(Path("out/quartiles.csv")) if row["measure"] == "object_density"]
    assert [(row["quartile"], row["mean"], row["difference"]) for row in rows][:2] == [("1", "", "")] * 2
    assert {row["runs"] for row in rows if row["quartile"] == "1"} == {"0"}
    report = Path("out/report.md").read_text()
    assert "| 1 | 0 to 0 | 1 | – | – | – |" in report
    assert "nan" not in report


def test_identical_runs_differ_by_nothing_whatever_is_drawn() -> None:
    rng = np.random.default_rng(1)
    for seed in range(3):
        car, road = (rng.uniform(0.4, 1, 10).tolist() for _ in range(2))
        for fusion in ("uniform", "static"):
            evaluated(made("runs", seed, fusion=fusion), car, road)
    for difference in compared().differences:
        assert difference.interval == (0, 0, 0)
        assert difference.bootstrap == (0, 0, 0)
        assert difference.shown is False


def test_the_bootstrap_is_what_drawing_one_by_one_gives() -> None:
    rng = np.random.default_rng(2)
    pairs = [(rng.integers(0, 4, (6, 3, 4)) * 1.0, rng.integers(0, 4, (6, 3, 4)) * 1.0) for _ in range(3)]
    found = bootstrap_differences(pairs, 20)
    same = np.random.default_rng(0)
    weights = same.multinomial(6, np.full(6, 1 / 6), size=20)
    seeds = same.integers(0, 3, (3, 20))
    for r in range(20):
        images = np.repeat(np.arange(6), weights[r])
        means = []
        for own, other in (pairs[i] for i in seeds[:, r]):
            each = []
            for counts in (own, other):
                iou_sum, tp, fp, fn = counts[images].sum(0).T
                size = tp + fp / 2 + fn / 2
                each.append(100 * np.mean([i / s for i, s in zip(iou_sum, size, strict=True) if s > 0]))
            means.append(each[0] - each[1])
        assert found[r] == pytest.approx(np.mean(means))


def test_alpha_and_predicted_complexity_by_hand() -> None:
    rising, predicted = [0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 2.0, 4.0]
    for seed in range(3):
        run = made("runs", seed, fusion="adaptive")
        shuffled = [0.48 + 0.01 * seed, 0.46 + 0.01 * seed]  # 3, 2 and 1 points below 0.5 on average
        evaluated(run, [0.6] * 4, [0.6] * 4, alpha=rising, predicted=predicted, shuffled=shuffled)
        evaluated(made("runs", seed, fusion="static"), [0.6] * 4, [0.6] * 4, alpha=[0.25] * 4)
        evaluated(made("runs", seed), [0.6] * 4, [0.6] * 4)
    comparison = compared()
    adaptive, static = comparison.alpha_rows
    assert [mean.mean for mean in adaptive.means.values()] == pytest.approx([0.25, 0.75, 0])
    assert [mean.count for mean in adaptive.means.values()] == [3, 3, 3]
    assert list(adaptive.means) == ["P2", "P3", "P4"]
    assert adaptive.correlations["P2", "object_density"] == pytest.approx((1, 1, 1))
    assert adaptive.correlations["P3", "object_density"] == pytest.approx((-1, -1, -1))
    assert all(math.isnan(end) for end in adaptive.correlations["P4", "object_density"])  # it does not vary
    assert static.correlations == {}
    density, variance = comparison.explained["adaptive"]
    assert density == pytest.approx((1 - 1 / 5, 0, 3))  # one error of 1; the squares around 1.5 add up to 5
    assert variance.count == 0  # the truth does not vary
    assert list(comparison.explained) == ["adaptive"]
    change = comparison.shuffled["adaptive"]
    assert change == pytest.approx((-2, -2 - T2 / math.sqrt(3), -2 + T2 / math.sqrt(3)))
    assert list(comparison.shuffled) == ["adaptive"]
