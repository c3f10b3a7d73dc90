"""Runs as a person starts them, at a tiny size: what they leave, resume and repeat."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from panoptic.labels import CITYSCAPES
from panoptic.training.checkpoint import FORMAT_VERSION
from tests.commands.small_runs import (
    EXPERIMENTS,
    SMALL_BACKBONE,
    SYNTHETIC,
    TINY,
    run,
    same,
    weights,
)


def test_a_run_leaves_all_that_is_to_know(trained: Path) -> None:
    assert {p.name for p in (trained / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    summary = json.loads((trained / "summary.json").read_text())
    assert (summary["name"], summary["seed"], summary["epochs"], summary["steps"]) == ("quick", 0, 2, 4)
    assert summary["backbone_weights"] == "random"
    assert summary["last"]["val/pq"] <= summary["best"]["val/pq"]
    assert summary["config"]["trainer"]["max_epochs"] == 2


def test_the_dashboard_has_what_a_run_is_judged_by(trained: Path) -> None:
    events = EventAccumulator(str(trained / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    for split in ("train", "val"):
        terms = {f"{split}/loss{t}" for t in ("", "_semantic", "_center", "_offset", "_complexity")}
        assert terms | {f"{split}/alpha_P{level}" for level in (2, 3, 4)} <= scalars
    assert {"val/pq", "val/sq", "val/rq", "val/pq_things", "val/pq_stuff", "val/boundary_f1"} <= scalars
    assert {f"complexity/object_density_{what}" for what in ("predicted", "true", "mean_absolute_error")} <= scalars
    assert {"lr-Muon/pg1", "curriculum/stage", "curriculum/strength"} <= scalars
    assert {"final/pq", "final/boundary_f1"} <= scalars
    assert [e.value for e in events.Scalars("curriculum/stage")] == [1.0, 2.0]
    for level in zip(*(events.Scalars(f"val/alpha_P{n}") for n in (2, 3, 4)), strict=True):
        assert sum(e.value for e in level) == pytest.approx(1.0, abs=1e-5)
    assert set(events.Tags()["images"]) == {"train/input", "validation/0", "complexity", "alpha"}
    (picture,) = events.Images("train/input")  # one of 64 x 128, without and with segments, and a line between them
    assert (picture.step, picture.width, picture.height) == (0, 260, 64)
    assert len(events.Images("validation/0")) == 2


def test_a_checkpoint_is_data_not_code(trained: Path) -> None:
    content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    record = content["panoptic"]
    assert record["format_version"] == FORMAT_VERSION
    assert type(record["config"]) is dict
    assert [c["name"] for c in record["labels"]] == list(CITYSCAPES.names)


def test_the_same_seed_gives_the_same_weights_with_any_number_of_workers(trained: Path, tmp_path: Path) -> None:
    settings = (
        "experiment=quick",
        *TINY,
        "trainer.max_epochs=2",
        "curriculum.stages=2",
        "curriculum.epochs_per_stage=1",
    )
    run("train", *settings, "data.workers=2", "hydra.run.dir=two")
    run("train", *settings, "seed=1", "hydra.run.dir=other")
    first = weights(trained / "checkpoints" / "last.ckpt")
    assert same(first, weights(tmp_path / "two" / "checkpoints" / "last.ckpt"))
    assert not same(first, weights(tmp_path / "other" / "checkpoints" / "last.ckpt"))


def test_a_resumed_run_is_the_unbroken_one(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from panoptic.training.callbacks.summary import Summary

    def stop(self: Summary, trainer, *_: object) -> None:
        trainer.should_stop = True

    settings = (
        "experiment=quick",
        *TINY,
        "trainer.max_epochs=2",
        "curriculum.stages=2",
        "curriculum.epochs_per_stage=1",
    )
    monkeypatch.setattr(Summary, "on_train_epoch_end", stop, raising=False)
    run("train", *settings, "hydra.run.dir=broken")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert json.loads(Path("broken/summary.json").read_text())["epochs"] == 1
    run("train", "resume=broken/checkpoints/last.ckpt", "data.workers=2")
    assert same(weights(trained / "checkpoints" / "last.ckpt"), weights(Path("broken/checkpoints/last.ckpt")))
    whole, resumed = (json.loads((p / "summary.json").read_text()) for p in (trained, Path("broken")))
    assert resumed["epochs"] == 2
    assert "epoch 2/2, stage 2" in capsys.readouterr().out
    assert resumed["last"] == whole["last"]


NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei"
FUSIONS = ("ablation=off", "ablation=on", "model/fusion=local", "model/fusion=static")


@pytest.mark.parametrize(
    ("experiment", "fusion"),
    # Fusions are the same in all experiments, so that two of them are enough to try each.
    [(e, f) for e in EXPERIMENTS for f in (FUSIONS if e in ("quick", "full") else FUSIONS[:1])],
)
def test_every_experiment_and_ablation_trains_two_steps(
    experiment: str, fusion: str, street_scenes: Path, trained: Path
) -> None:
    small = [*TINY, "data.batch_size=2", "data.epoch_size=4", "trainer.max_epochs=1", "hydra.run.dir=run"]
    if fusion == FUSIONS[0]:
        small.remove(SMALL_BACKBONE)  # each experiment once with the network that it names
    if experiment == "cityscapes":
        small = [s for s in small if s.split("=")[0] not in SYNTHETIC] + [f"data.root={street_scenes}"]
    if experiment == "own":
        small = [s for s in small if s.split("=")[0] not in SYNTHETIC] + [f"data.root={NUCLEI}"]
    if experiment == "finetune":
        small.append(f"start_from={trained}/checkpoints/last.ckpt")
    run("train", f"experiment={experiment}", fusion, *small)
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["steps"] == 2
    assert np.isfinite(summary["last"]["val/loss"])


def test_a_sweep_over_the_ablation(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    small = (*TINY, "trainer.max_epochs=1", "data.train_size=4", "callbacks.pictures=0", "hydra.sweep.dir=sweep")
    run("train", "-m", "experiment=quick", "ablation=on,off", *small)
    runs = sorted(p for p in (tmp_path / "sweep").iterdir() if p.is_dir())
    assert len(runs) == 2
    assert not any("=" in p.name for p in runs), "Hydra cannot parse a path with = on the command line"
    targets = [json.loads((p / "summary.json").read_text())["config"]["model"]["fusion"]["_target_"] for p in runs]
    assert [t.rsplit(".", 1)[-1] for t in targets] == ["UniformFusion", "AdaptiveFusion"]


def test_a_failed_job_does_not_end_the_sweep(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    small = (*TINY, "trainer.max_epochs=1", "data.train_size=4", "logger=none", "hydra.sweep.dir=sweep")
    with pytest.raises(SystemExit) as stop:
        run("train", "-m", "experiment=quick", "data.batch_size=0,4", *small)
    assert stop.value.code == 1
    assert "data.batch_size: expected at least 1, got 0" in capsys.readouterr().err
    assert [p.parent.name[0] for p in (tmp_path / "sweep").glob("*/summary.json")] == ["1"]


def test_a_run_too_short_for_its_first_validation_is_validated_at_its_end(tmp_path: Path) -> None:
    run(
        "train",
        "experiment=quick",
        *TINY,
        "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=2",
        "hydra.run.dir=run",
    )
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["best"]["epoch"] == 1
    assert summary["best_checkpoint"] == "best.ckpt"
    assert sorted(p.name for p in Path("run/checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
