"""``python -m panoptic.compare``: run folders made by hand, with numbers worked out by hand."""

from __future__ import annotations

import copy
import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.compare import FILES, compare
from panoptic.comparison.differences import (
    Comparison,
    bootstrap_differences,
    compare_variants,
    quality,
    quartile_of,
    spread,
)
from panoptic.comparison.report import interval_text, spread_text
from panoptic.comparison.runs import Images, read_images, read_run, read_runs
from panoptic.comparison.variants import choose_baseline, find_factors, find_variants, flatten, same_images, warnings_of
from panoptic.utils.statistics import Estimate

ROOT = Path(__file__).parents[2]
T2 = 4.302652729911275
"""Student's t of two degrees of freedom that leaves 2.5% above it, as printed tables have it."""

CONFIG: dict[str, Any] = {
    "name": "quick",
    "seed": 0,
    "start_from": None,
    "resume": None,
    "overrides": [],
    "data": {"_target_": "data.Synthetic", "crop": [64, 128], "root": "d", "train": {"dir": "t"}, "workers": 1},
    "model": {
        "_target_": "models.Network",
        "_partial_": True,
        "fpn": {"channels": 64},
        "fusion": {"_target_": "models.fusion.UniformFusion", "_partial_": True},
    },
    "loss": {"_target_": "losses.PanopticLoss", "boundary_weight": 2.0, "center": 0.5},
    "optimizer": {"_target_": "optim.muon_cosine", "lr": 0.02},
    "curriculum": {"_target_": "Curriculum", "stages": 3, "epochs_per_stage": 1},
    "logger": {"_target_": "TensorBoardLogger", "save_dir": "here"},
}
FUSIONS = {
    "uniform": {"_target_": "models.fusion.UniformFusion"},
    "static": {"_target_": "models.fusion.StaticFusion"},
    "adaptive": {"_target_": "models.fusion.AdaptiveFusion", "hidden": 64},
    "local": {"_target_": "models.fusion.LocalFusion", "hidden": 64},
}


def configured(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The configuration with other values by dotted key; ``None`` takes a key out."""
    config = copy.deepcopy(CONFIG)
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        node = config
        for part in path:
            node = node[part]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return config


def made(
    folder: str, seed: int, pq: float = 0.4, fusion: str = "uniform", config: dict | None = None, **summary: Any
) -> Path:
    """A finished run: its last scores follow from ``pq``."""
    path = Path(folder) / f"{fusion}_{seed}"
    path.mkdir(parents=True)
    changes = {"seed": seed, "logger.save_dir": str(path), "model.fusion": FUSIONS[fusion], **(config or {})}
    last = {"val/pq": pq, "val/pq_things": pq - 0.1, "val/pq_stuff": pq + 0.1, "val/boundary_f1": 0.5}
    last |= {"val/boundary_pq": 0.3, "val/pq/car": pq - 0.1, "val/pq/road": pq + 0.1, "val/pq/bus": math.nan}
    content = {
        "seed": seed,
        "seconds": 60.0 * (seed + 1),
        "last": last,
        "config": configured(changes),
        "backbone_weights": "random",
        "device": "cpu",
        "precision": "32-true",
        "versions": {"panoptic": "0.1.0", "torch": "2.15", "python": "3.11.7"},
    }
    (path / "summary.json").write_text(json.dumps(content | summary))
    return path


def evaluated(
    run: Path,
    car: list[float],
    road: list[float],
    *,
    split: str = "test",
    density: list[float] | None = None,
    alpha: list[float] | None = None,
    predicted: list[float] | None = None,
    shuffled: list[float] | None = None,
    ids: list[int] | None = None,
) -> None:
    """What evaluation leaves of images with one car and one road each, matched with these IoU; below 0.5 missed."""
    folder = run / f"evaluate_{split}"
    folder.mkdir()
    rows: list[dict[str, Any]] = []
    for i, (car_iou, road_iou) in enumerate(zip(car, road, strict=True)):
        row: dict[str, Any] = {"image_id": ids[i] if ids else i, "file_name": f"{i}.png", "pq": ""}
        row |= {"object_density": density[i] if density else i, "scale_variance": 0.5}
        for name, iou in (("car", car_iou), ("road", road_iou)):
            found = iou > 0.5
            row |= {f"iou_sum/{name}": iou if found else 0.0, f"tp/{name}": int(found)}
            row |= {f"fp/{name}": 0, f"fn/{name}": int(not found)}
        if alpha:
            row |= {"alpha_P2": alpha[i], "alpha_P3": 1 - alpha[i], "alpha_P4": 0.0}
        if predicted:
            row |= {"predicted_object_density": predicted[i], "predicted_scale_variance": 0.5}
        rows.append(row)
    with (folder / "per_image.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    values = {}
    for name, ious in (("car", car), ("road", road)):
        found = [iou for iou in ious if iou > 0.5]
        values[name] = sum(found) / (len(found) + (len(ious) - len(found)) / 2)
    scores = {
        "checkpoint": f"{run}/checkpoints/last.ckpt",
        "split": split,
        "tta": "none",
        "images": len(car),
        "all": {"pq": sum(values.values()) / 2, "n": 2},
        "things": {"pq": values["car"], "n": 1},
        "stuff": {"pq": values["road"], "n": 1},
        "per_class": {name: {"pq": value} for name, value in values.items()},
        "boundary_pq": {"all": {"pq": 0.25}},
        "boundary_f1": 0.5,
        "mean_iou": 0.75,
    }
    if shuffled:
        scores["fusion"] = {"shuffled": {"rounds": len(shuffled), "pq": shuffled, "as_predicted": 0.5}}
    scores["categories"] = [{"id": 1, "name": "car", "isthing": 1}, {"id": 2, "name": "road", "isthing": 0}]
    (folder / "scores.json").write_text(json.dumps(scores))


def compared(folder: str = "runs", split: str | None = None, baseline: str | None = None) -> Comparison:
    runs, split, _ = read_runs([Path(folder)], split)
    variants, _ = find_variants(runs)
    by_image, _ = same_images(runs)
    return compare_variants(variants, choose_baseline(variants, baseline), split, by_image, frozenset({"car"}))


def warned(folder: str = "runs", baseline: str | None = None) -> list[str]:
    runs, _, unfinished = read_runs([Path(folder)], None)
    variants, doubled = find_variants(runs)
    return [*doubled, *warnings_of(variants, choose_baseline(variants, baseline), unfinished)]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic.compare"])
    return tmp_path


@pytest.fixture
def three_pairs() -> None:
    """Differences of 1, 2 and 3 points, known from summaries alone."""
    for seed in range(3):
        made("runs", seed, 0.40 + 0.01 * seed)
        made("runs", seed, 0.41 + 0.02 * seed, "adaptive")


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


def test_quartiles_hold_each_image_once_whatever_the_ties() -> None:
    assert quartile_of(np.arange(8.0)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert quartile_of(np.array([0.0, 0, 0, 0, 0, 5, 6, 7])).tolist() == [0, 0, 0, 0, 0, 2, 3, 3]
    assert quartile_of(np.ones(5)).tolist() == [0] * 5


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


def names(*changes: dict[str, Any]) -> list[str]:
    for i, change in enumerate(changes):
        made(f"runs/{i}", 0, config=change)
    runs, _, _ = read_runs([Path("runs")], None)
    return sorted(variant.name for variant in find_variants(runs)[0])


ADAPTIVE, LOCAL = {"model.fusion": FUSIONS["adaptive"]}, {"model.fusion": FUSIONS["local"]}
NAMES: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "fusions": ([{}, ADAPTIVE, LOCAL], ["adaptive", "local", "uniform"]),
    "one": ([{}], ["uniform"]),
    "a key": ([{}, {}, {"loss.boundary_weight": 1.0}], ["loss.boundary_weight=1.0", "loss.boundary_weight=2.0"]),
    "what is usual is not said": (
        [{}, ADAPTIVE, {**ADAPTIVE, "loss.boundary_weight": 1.0}],
        ["adaptive", "adaptive, loss.boundary_weight=1.0", "uniform"],
    ),
    "keys that change together": (
        [{}, {}, {"curriculum.stages": 1, "curriculum.epochs_per_stage": 3}],
        ["curriculum.stages=1", "curriculum.stages=3"],
    ),
    "another target": (
        [{}, {"optimizer": {"_target_": "optim.adamw_cosine", "lr": 1e-4}}],
        ["optimizer=adamw_cosine", "optimizer=muon_cosine"],
    ),
    "one target twice": (
        [{}, ADAPTIVE, {"model.fusion": FUSIONS["adaptive"] | {"hidden": 8}}],
        ["adaptive model.fusion.hidden=64", "adaptive model.fusion.hidden=8", "uniform"],
    ),
    "a key that one lacks": (
        [{}, {}, {"loss.center": None}],
        ["loss.center=0.5", "loss.center=absent"],
    ),
    "lists": ([{}, {}, {"data.crop": [32, 32]}], ["data.crop=[32,32]", "data.crop=[64,128]"]),
    "what changes nothing": ([{}, {"name": "other", "data.workers": 7, "logger": {"_target_": "none"}}], ["uniform"]),
    "targets of one name": (
        [{"optimizer": {"_target_": "a.f", "lr": 1}}, {"optimizer": {"_target_": "b.f", "lr": 1}}],
        ["optimizer._target_=a.f", "optimizer._target_=b.f"],
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_variants_are_named_by_what_differs(case: str) -> None:
    changes, expected = NAMES[case]
    assert names(*changes) == expected


FACTORS: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "a group with another target": ([{}, ADAPTIVE], ["model.fusion"]),
    "keys of a group together": ([{}, {"curriculum.stages": 1, "curriculum.epochs_per_stage": 3}], ["curriculum"]),
    "keys of a group one by one": (
        [{}, {"loss.center": 1.0}, {"loss.boundary_weight": 1.0}],
        ["loss.boundary_weight", "loss.center"],
    ),
    "a group around a group": ([{}, {"data.root": "e", "data.train.dir": "u"}], ["data"]),
    "groups side by side": (
        [{}, {"model.fpn.channels": 32, "loss.center": 1.0}],
        ["model.fpn.channels", "loss.center"],
    ),
    "the fusion first": ([{}, {"data.root": "e", **ADAPTIVE}], ["model.fusion", "data.root"]),
    "two and one of a group": (
        [{}, {"loss.center": 1.0, "loss.boundary_weight": 1.0}, {"loss._target_": "losses.Other"}],
        ["loss"],
    ),
}


@pytest.mark.parametrize("case", FACTORS)
def test_what_changes_together_is_one_thing(case: str) -> None:
    changes, expected = FACTORS[case]
    assert [factor.name for factor in find_factors([flatten(configured(change)) for change in changes])] == expected


def test_the_baseline_is_uniform_fusion_or_has_most_runs() -> None:
    made("a", 0), made("a", 0, fusion="adaptive"), made("a", 1, fusion="adaptive")
    assert compared("a").baseline.name == "uniform"
    assert compared("a", baseline="adaptive").baseline.name == "adaptive"
    made("b", 0, fusion="local"), made("b", 0, fusion="static"), made("b", 1, fusion="static")
    assert compared("b").baseline.name == "static"
    made("c", 0, fusion="local"), made("c", 0, fusion="static")
    assert compared("c").baseline.name == "local"


def test_the_later_of_two_runs_with_one_seed_is_kept() -> None:
    older, newer = made("runs/a", 0, 0.1), made("runs/b", 0, 0.2)
    os.utime(older / "summary.json", (2000, 2000)), os.utime(newer / "summary.json", (1000, 1000))
    runs, _, _ = read_runs([Path("runs")], None)
    (variant,), (warning,) = find_variants(runs)
    assert [run.scores["pq"] for run in variant.runs] == [0.1]
    assert warning == (
        "runs/b/uniform_0 and runs/a/uniform_0 have the same configuration and seed (uniform, 0): "
        "the one that finished last, runs/a/uniform_0, is kept"
    )


def pairs_of(count: int, **other: Any) -> None:
    for seed in range(count):
        made("runs", seed)
        made("runs", seed, fusion="adaptive", **(other if seed == 0 else {}))


def two_changes() -> None:
    for seed in range(5):
        made("runs", seed)
        made("runs", seed, fusion="adaptive", config={"loss.center": 1.0})


def unfinished() -> None:
    pairs_of(5)
    Path("runs/cut").mkdir()
    Path("runs/cut/config.yaml").touch()
    Path("runs/adaptive_0/config.yaml").touch()


def partly_evaluated() -> None:
    pairs_of(5)
    evaluated(Path("runs/uniform_0"), [0.6], [0.6], split="val")


OTHER_TORCH = {"panoptic": "0.1.0", "torch": "2.14", "python": "3.11.7", "generator": 2}
WARNINGS: dict[str, tuple[Any, list[str]]] = {
    "nothing": (lambda: pairs_of(5), []),
    "few pairs": (
        lambda: pairs_of(4),
        ["adaptive and uniform have 4 pairs of runs with the same seed: too few to say much"],
    ),
    "two changes": (
        two_changes,
        [
            "adaptive, loss.center=1.0 differs from uniform in 2 things, model.fusion, loss.center: a difference "
            "cannot be put down to one of them"
        ],
    ),
    "versions": (
        lambda: pairs_of(5, versions=OTHER_TORCH),
        [
            "runs differ in the version of torch: 2.15 (9 runs), 2.14 (1 run)",
            "runs differ in the version of generator: unknown (9 runs), 2 (1 run)",
        ],
    ),
    "machines": (
        lambda: pairs_of(5, device="cuda:0", precision="16-mixed", backbone_weights="imagenet", started_from={"a": 1}),
        [
            "runs differ in device: cpu (9 runs), cuda:0 (1 run)",
            "runs differ in precision: 32-true (9 runs), 16-mixed (1 run)",
            "runs differ in backbone weights: random (9 runs), imagenet (1 run)",
            "runs differ in starting from a checkpoint: no (9 runs), yes (1 run)",
        ],
    ),
    "unfinished": (unfinished, ["1 run has not finished (a config.yaml without summary.json): runs/cut"]),
    "one variant": (lambda: made("runs", 0), ["there is one variant only (uniform): nothing to compare it with"]),
    "partly evaluated": (
        partly_evaluated,
        ["runs differ in where their scores come from: summary.json (9 runs), scores.json (1 run)"],
    ),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_what_speaks_against_a_comparison_is_said(case: str) -> None:
    make, expected = WARNINGS[case]
    make()
    assert warned() == expected


def test_other_images_are_not_compared() -> None:
    def found(**other: Any) -> tuple[bool, str | None]:
        folder = f"runs{len(list(Path().iterdir()))}"
        evaluated(made(folder, 0), [0.6, 0.7], [0.6, 0.7])
        evaluated(made(folder, 1), **({"car": [0.6, 0.7], "road": [0.6, 0.7]} | other))
        return same_images(read_runs([Path(folder)], None)[0])

    left = "what is computed image by image is left out"
    assert found() == (True, None)
    assert found(ids=[7, 8]) == (False, f"runs were evaluated on different images (their ids differ): {left}")
    another = (False, f"runs were evaluated on images of the same ids but with another truth: {left}")
    assert found(density=[0.0, 3.0]) == another
    folder = Path("runs")
    evaluated(made("runs", 0), [0.6], [0.6])
    evaluated(made("runs", 1), [0.6], [0.6])
    (folder / "uniform_1/evaluate_test/per_image.csv").unlink()
    assert same_images(read_runs([folder], None)[0]) == (False, f"1 of 2 runs have no per_image.csv: {left}")
    made("bare", 0)
    assert same_images(read_runs([Path("bare")], None)[0]) == (False, None)


def test_tables_of_images_are_read_in_the_order_of_their_ids() -> None:
    evaluated(made("runs", 0), [0.6, 0.7], [0.4, 0.8], ids=[5, 3], alpha=[0.1, 0.2], predicted=[1.0, 2.0])
    images = read_images(Path("runs/uniform_0/evaluate_test/per_image.csv"))
    assert isinstance(images, Images)
    assert (images.ids, images.categories, images.levels) == (("3", "5"), ("car", "road"), ("P2", "P3", "P4"))
    assert images.counts.tolist() == [[[0.7, 1, 0, 0], [0.8, 1, 0, 0]], [[0.6, 1, 0, 0], [0, 0, 0, 1]]]
    assert images.truth.tolist() == [[1, 0.5], [0, 0.5]]
    assert images.predicted is not None
    assert images.predicted.tolist() == [[2, 0.5], [1, 0.5]]
    assert images.alpha[:, 0].tolist() == [0.2, 0.1]


def test_scores_of_a_run_are_those_of_its_evaluation_or_of_its_end() -> None:
    run = made("runs", 0, 0.4)
    last = read_run(run, "val")
    assert last.scores["pq/car"] == pytest.approx(0.3)
    assert "pq/bus" not in last.scores
    assert last.minutes == 1
    evaluated(run, [0.6], [0.8], split="val")
    assert read_run(run, "val").scores == pytest.approx(
        {
            "pq": 0.7,
            "pq_things": 0.6,
            "pq_stuff": 0.8,
            "boundary_pq": 0.25,
            "boundary_f1": 0.5,
            "mean_iou": 0.75,
            "pq/car": 0.6,
            "pq/road": 0.8,
        }
    )


def test_numbers_as_texts() -> None:
    assert spread_text(spread([39.0, 40.0])) == "39.50 ± 0.71"
    assert spread_text(spread([39.0])) == "39.00"
    assert spread_text(spread([])) == "–"
    assert interval_text(Estimate(1, -0.484, 2.5)) == "[-0.48, +2.50]"
    assert interval_text(Estimate(1, math.nan, math.nan)) == "–"


def test_the_command_writes_a_report_with_tables_and_pictures(here: Path) -> None:
    sweep = here / "a=b, (c)"
    for seed in range(3):
        evaluated(made(str(sweep), seed), [0.6] * 4, [0.8 - 0.01 * seed] * 4, predicted=[0.0, 1, 2, 3])
        run = made(str(sweep), seed, fusion="local")
        evaluated(
            run, [0.62] * 4, [0.8 + 0.01 * seed] * 4, alpha=[0.1, 0.2, 0.3, 0.4], predicted=[0.0, 1, 2, 4],
            shuffled=[0.48],
        )  # fmt: skip
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(sweep / "local_0" / "evaluate_test" / "alpha_maps.png")
    done = subprocess.run(
        [sys.executable, "-m", "panoptic.compare", f"runs={sweep}", "output=out"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    out = here / "out"
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert "warning: local and uniform have 3 pairs" in done.stdout
    assert "report: out/report.md" in done.stdout
    assert "│ 71.50±0.50 │" in done.stdout
    assert "no difference" in done.stdout
    report = (out / "report.md").read_text()
    assert f"- command: `python -m panoptic.compare 'runs={sweep}' output=out`" in report
    assert "- runs: 6, of 2 variants\n- seeds: 0, 1, 2\n- scores: of the split test, 4 images, last.ckpt\n" in report
    # PQ: 70.0, 69.5 and 69.0 against 71.0, 71.5 and 72.0; the differences are 1, 2 and 3.
    assert (
        "| uniform | 3 | 69.50 ± 0.50 | 60.00 ± 0.00 | 79.00 ± 1.00 | 50.00 ± 0.00 | 25.00 ± 0.00 | 2.0 ± 1.0 |"
        in report
    )
    assert "| local | 3 | 71.50 ± 0.50 |" in report
    assert "| local | PQ | +2.00 | 1.00 | [-0.48, +4.48] | [+1.00, +3.00] | 3 | no difference shown |" in report
    assert "| local | PQ things | +2.00 | 0.00 | [+2.00, +2.00] | [+2.00, +2.00] | 3 | higher |" in report
    assert "- local: no difference shown in PQ to uniform: the t interval includes 0." in report
    assert "Of PQ, PQ things, PQ stuff it draws seeds and images anew" in report
    assert "| road | 79.00 | +2.00 [+0.00, +4.00] |" in report
    assert "| 4 | 3 to 3 | 1 | 71.50 ± 0.50 | 69.50 ± 0.50 | +2.00 [+1.00, +3.00] * |" in report
    assert "| local | P2 | 0.250 ± 0.000 | +1.00 [+1.00, +1.00] * | – |" in report
    assert "| uniform | 1.00 ± 0.00 | – | – | – |" in report
    assert "| local | 0.80 ± 0.00 | – | -2.00 [-2.00, -2.00] * | lower |" in report
    assert "![α over images, local, seed 0](alpha_maps.png)" in report
    for name in ("differences.png", "categories.png", "quartiles.png", "alpha.png"):
        assert f"]({name})" in report
        with Image.open(out / name) as picture:
            assert min(picture.size) > 200
    (row,) = [row for row in rows_of(out / "differences.csv") if row["score"] == "pq"]
    assert (row["pairs"], row["bootstrap_of"], row["says"]) == ("3", "seeds and images", "no difference shown")
    assert float(row["t_high"]) == pytest.approx(2 + T2 / math.sqrt(3))
    runs = rows_of(out / "runs.csv")
    assert [(row["variant"], row["seed"]) for row in runs] == [
        (v, str(s)) for v in ("local", "uniform") for s in range(3)
    ]
    assert float(runs[0]["pq/road"]) == pytest.approx(0.8)
    (row,) = [r for r in rows_of(out / "variants.csv") if (r["variant"], r["score"]) == ("local", "pq")]
    assert (float(row["mean"]), float(row["std"]), row["runs"]) == (pytest.approx(71.5), pytest.approx(0.5), "3")
    assert len(rows_of(out / "categories.csv")) == 2
    assert len(rows_of(out / "quartiles.csv")) == (4 + 1) * 2


def run(*arguments: str) -> None:
    command("compare", compare, arguments)


def test_runs_without_tables_of_images_are_compared_by_seeds(three_pairs: None, capsys: pytest.CaptureFixture) -> None:
    Path("runs/compare/runs").mkdir(parents=True)
    Path("runs/compare/runs/alpha.png").touch()  # of an earlier comparison
    run("runs=[runs/uniform_0,runs/uniform_1,runs,runs/adaptive_0]", "output=runs/compare/runs", "split=val")
    out = Path("runs/compare/runs")
    assert not (out / "alpha.png").exists()
    assert not (out / "quartiles.png").exists()
    report = (out / "report.md").read_text()
    assert "It draws seeds alone" in report
    assert "- runs: 6, of 2 variants" in report
    assert "| adaptive | PQ | +2.00 | 1.00 | [-0.48, +4.48] | [+1.00, +3.00] | 3 | no difference shown |" in report
    assert rows_of(out / "quartiles.csv") == []
    assert "report: runs/compare/runs/report.md" in capsys.readouterr().out


def test_one_variant_has_scores_and_nothing_to_compare(capsys: pytest.CaptureFixture) -> None:
    evaluated(made("sweep", 0), [0.6] * 4, [0.8] * 4)
    run("runs=sweep")
    report = Path("runs/compare/sweep/report.md").read_text()
    assert "| uniform | 1 | 70.00 | 60.00 | 80.00 | 50.00 | 25.00 | 1.0 |" in report
    assert "Differences" not in report
    assert "warning: there is one variant only" in capsys.readouterr().out


def test_a_comparison_that_fails_leaves_nothing(three_pairs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "x.png")

    monkeypatch.setattr("panoptic.comparison.figures.write_plots", fail)
    with pytest.raises(SystemExit):
        run("runs=runs", "output=out/deep")
    assert not Path("out").exists()


def damaged(content: str, name: str = "runs/uniform_0/summary.json") -> None:
    evaluated(made("runs", 0), [0.6], [0.6])
    Path(name).write_text(content)


def no_table(text: str) -> None:
    damaged(text, "runs/uniform_0/evaluate_test/per_image.csv")


HEADER = "image_id,object_density,scale_variance,iou_sum/car,tp/car,fp/car,fn/car\n"
BAD: dict[str, tuple[Any, list[str], str]] = {  # what is made, what is typed, what the sentence says
    "nothing given": (lambda: None, [], "runs: expected a value (runs=...), got none"),
    "no folder": (lambda: None, ["runs=nowhere"], "runs=nowhere: expected a folder with runs, got no such folder"),
    "a file": (lambda: Path("x").touch(), ["runs=x"], "runs=x: expected a folder with runs, got a file"),
    "no list of folders": (lambda: None, ["runs=[[a]]"], "runs: expected a folder, or folders as runs=[A,B]"),
    "empty list": (lambda: None, ["runs=[]"], "runs: expected a folder, or folders as runs=[A,B]"),
    "no runs": (
        lambda: Path("runs").mkdir(),
        ["runs=runs"],
        "runs=runs: expected folders with the summary.json of finished runs, got none",
    ),
    "unfinished only": (
        lambda: (Path("runs/a").mkdir(parents=True), Path("runs/a/config.yaml").touch()),
        ["runs=runs"],
        "got none; 1 there have not finished",
    ),
    "not evaluated": (
        lambda: made("runs", 0),
        ["runs=runs", "split=test"],
        "runs/uniform_0/evaluate_test/scores.json: expected the scores of the run on test, got no such file; "
        "python -m panoptic.evaluate checkpoint=runs/uniform_0/checkpoints/last.ckpt split=test makes it",
    ),
    "unknown split": (
        lambda: made("runs", 0),
        ["runs=runs", "split=train"],
        "split: expected test or val, got 'train'",
    ),
    "unknown baseline": (
        lambda: (made("runs", 0), made("runs", 0, fusion="local")),
        ["runs=runs", "baseline=a=b, c"],
        "baseline: expected one of the variants (local; uniform), got 'a=b, c'",
    ),
    "output in a file": (
        lambda: (made("runs", 0), Path("x").touch()),
        ["runs=runs", "output=x"],
        "output=x: expected a folder, got a file",
    ),
    "misspelt key": (lambda: None, ["run=x"], "'run'"),
    "no JSON": (lambda: damaged("{"), ["runs=runs"], "runs/uniform_0/summary.json: expected JSON, got:"),
    "no object": (lambda: damaged("[]"), ["runs=runs"], "summary.json: expected a JSON object, got list"),
    "no seed": (lambda: damaged("{}"), ["runs=runs"], "summary.json: expected a number under seed, got None"),
    "no scores": (
        lambda: damaged('{"all": 1}', "runs/uniform_0/evaluate_test/scores.json"),
        ["runs=runs"],
        "scores.json: expected an object under all, got 1",
    ),
    "scores of another kind": (
        lambda: damaged(
            '{"all": {"pq": "x", "n": 1}, "things": {}, "stuff": {}, "per_class": {}}',
            "runs/uniform_0/evaluate_test/scores.json",
        ),
        ["runs=runs"],
        "scores.json: expected scores as evaluation writes them",
    ),
    "scores in percent": (
        lambda: damaged(
            '{"all": {"pq": 57.0, "n": 1}, "things": {"n": 0}, "stuff": {"n": 0}, "per_class": {}}',
            "runs/uniform_0/evaluate_test/scores.json",
        ),
        ["runs=runs"],
        "scores.json: expected scores as evaluation writes them, got: 57.0 as pq, which is in 0..1",
    ),
    "empty table": (lambda: no_table(""), ["runs=runs"], "per_image.csv: expected rows with image_id"),
    "no rows": (lambda: no_table(HEADER), ["runs=runs"], "of each category, got no rows"),
    "no counts": (lambda: no_table("image_id,object_density,scale_variance\n1,1,1\n"), ["runs=runs"], "no categories"),
    "a column missing": (lambda: no_table(HEADER.replace(",fn/car", "")), ["runs=runs"], "got no fn/car"),
    "text for a number": (lambda: no_table(f"{HEADER}1,1,1,x,0,0,0\n"), ["runs=runs"], "expected a number in each row"),
    "no number": (lambda: no_table(f"{HEADER}1,1,1,nan,0,0,0\n"), ["runs=runs"], "expected a number in each row"),
    "no end of a number": (lambda: no_table(f"{HEADER}1,1,1,inf,0,0,0\n"), ["runs=runs"], "expected a number in each"),
    "no text": (
        lambda: (no_table(""), Path("runs/uniform_0/evaluate_test/per_image.csv").write_bytes(b"\xff\xfe")),
        ["runs=runs"],
        "per_image.csv: expected a table as CSV, got: 'utf-8' codec can't decode",
    ),
    "versions of another kind": (
        lambda: made("runs", 0, versions=[1]),
        ["runs=runs"],
        "summary.json: expected an object under versions, got [1]",
    ),
    "what was shuffled of another kind": (
        lambda: evaluated(made("runs", 0), [0.6], [0.6], shuffled=["x"]),
        ["runs=runs"],
        "scores.json: expected scores as evaluation writes them",
    ),
    "a list of paths": (
        lambda: None,
        ["runs=[a=b, (c),1_0]"],
        "runs=a=b: expected a folder with runs, got no such folder",
    ),
    "paths like numbers": (
        lambda: None,
        ["runs=[1_0,2]"],
        "runs=1_0: expected a folder with runs, got no such folder",
    ),
    "a row cut short": (lambda: no_table(f"{HEADER}1,1,1\n"), ["runs=runs"], "expected a number in each row"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(case: str, here: Path, capsys: pytest.CaptureFixture) -> None:
    make, arguments, said = BAD[case]
    make()
    before = sorted(here.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    shown = capsys.readouterr().err
    assert stop.value.code == 1
    assert said in shown
    assert shown.count("panoptic: ") == 1
    assert sorted(here.rglob("*")) == before
