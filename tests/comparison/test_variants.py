"""Variants among runs: their names, what differs, and what speaks against a comparison."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from panoptic.comparison.runs import read_runs
from panoptic.comparison.variants import find_factors, find_variants, flatten, same_images
from tests.comparison.made_runs import FUSIONS, compared, configured, evaluated, made, warned


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
    "ablations of several keys": (
        [{}, {}, {"loss.boundary_weight": 1.0}, {"loss.center": 1.0}],
        ["loss.boundary_weight=1.0", "loss.center=1.0", "uniform"],
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
