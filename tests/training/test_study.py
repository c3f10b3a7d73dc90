"""Folders of studies, when a run has finished in one, and a study from its runs to their comparison."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from panoptic.commands.app import command
from panoptic.commands.compare import compare
from panoptic.commands.train import train
from panoptic.config.keys import WITHOUT_EFFECT
from panoptic.config.resolvers import MAX_LENGTH, run_folder, run_name, sweep_folder, sweep_subfolder
from panoptic.errors import InputError
from panoptic.training.runs import finished, remove_unfinished, scored

ROOT = Path(__file__).parents[2]
CONFIG = OmegaConf.create({"seed": 1, "study": "s", "optimizer": {"lr": 0.1}, "data": {"workers": 0, "crop": [32, 64]}})


def write_summary(folder, config) -> None:
    (folder / "summary.json").write_text(json.dumps({"config": config}))


def test_the_folders_of_a_study_stay():
    assert run_folder("a.b-1", "quick", ["seed=0"]) == "runs/study/a.b-1/seed-0"
    assert sweep_folder("a", "quick") == "runs/study/a"
    assert sweep_subfolder("a", 3, ["seed=0"]) == "seed-0"


def test_other_folders_have_their_time():
    assert re.fullmatch(r"runs/train/quick/\d{4}-\d\d-\d\d_[\d-]+", run_folder(None, "quick", ["seed=0"]))
    assert re.fullmatch(r"runs/sweep/quick/\d{4}-\d\d-\d\d_[\d-]+", sweep_folder(None, "quick"))
    assert sweep_subfolder(None, 3, ["seed=0"]) == "3_seed-0"


def test_long_names_that_begin_alike_are_two():
    one, other = (sweep_subfolder("a", 0, ["x" * 200 + end]) for end in "12")
    assert len(one) == len(other) == MAX_LENGTH
    assert one != other
    assert sweep_subfolder("a", 0, []) == "run"


def test_keys_without_effect_are_not_in_the_name_of_a_folder():
    overrides = ["seed=1", "experiment=quick", "model/fusion=uniform", *(f"{key}=1" for key in WITHOUT_EFFECT)]
    assert run_name([*overrides, "evaluation.shuffles=5", "+trainer.limit_val_batches=2"]) == (
        "+trainer.limit_val_batches-2_model/fusion-uniform_seed-1"
    )
    assert run_name(["evaluations=1", "data.cached=1"]) == "data.cached-1_evaluations-1"  # other keys


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", ".hidden"])
def test_names_that_are_no_folder_are_refused(name):
    with pytest.raises(InputError, match="study: expected a name of letters, digits"):
        sweep_folder(name, "quick")


def test_finished_with_the_same_configuration(tmp_path):
    write_summary(tmp_path, OmegaConf.to_container(CONFIG))
    assert finished(tmp_path, CONFIG)
    changed = OmegaConf.merge(CONFIG, {"data": {"workers": 8}, "study": "t"})
    assert finished(tmp_path, changed)  # what has no effect may change


def test_another_configuration_is_refused(tmp_path):
    write_summary(tmp_path, OmegaConf.to_container(CONFIG))
    changed = OmegaConf.merge(CONFIG, {"optimizer": {"lr": 0.2}})
    with pytest.raises(InputError, match=r"study=s: expected optimizer.lr=0.1, as in the run .*, got 0.2; another"):
        finished(tmp_path, changed)


def test_what_did_not_finish_starts_anew(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_text("half")
    (tmp_path / "notes.txt").write_text("mine")
    assert not finished(tmp_path, CONFIG)
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()  # a question removes nothing
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_summary_is_named(tmp_path):
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"summary.json: expected the summary of a run"):
        finished(tmp_path, CONFIG)


EVALUATION = {"split": "test", "shuffles": 2, "predictions": False}
DONE = {"checkpoint": "a/checkpoints/last.ckpt", "tta": "none", "fusion": {"shuffled": {"rounds": 2}}}
SCORED = {  # what an evaluation has left, what is asked for, and whether that was done
    "as asked": (DONE, {}, True),
    "nothing": (None, {}, False),
    "another split": (DONE, {"split": "val"}, False),
    "no shuffles asked for": (DONE, {"shuffles": 0}, True),
    "no shuffles done": (DONE | {"fusion": {}}, {}, False),
    "fewer shuffles done": (DONE, {"shuffles": 3}, False),
    "more shuffles done": (DONE, {"shuffles": 1}, True),
    "with test-time augmentation": (DONE | {"tta": "flip"}, {}, False),
    "another checkpoint": (DONE | {"checkpoint": "best.ckpt"}, {}, False),
    "no predictions written": (DONE, {"predictions": True}, False),
    "cut short": ('{"fusion": {"shuf', {}, False),
    "of before": ({}, {}, False),
}


@pytest.mark.parametrize("case", SCORED)
def test_what_was_scored_as_asked_is_not_scored_again(case, tmp_path):
    left, asked, expected = SCORED[case]
    (tmp_path / "evaluate_test").mkdir()
    if left is not None:
        text = left if isinstance(left, str) else json.dumps(left)
        (tmp_path / "evaluate_test" / "scores.json").write_text(text)
    assert scored(tmp_path, EVALUATION | asked) is expected
    (tmp_path / "evaluate_test" / "predictions.json").touch()
    assert scored(tmp_path, EVALUATION | asked) is (expected or case == "no predictions written")


@pytest.mark.parametrize("rank", [0, 1])
def test_of_several_processes_one_scores_what_has_finished(rank, tmp_path, monkeypatch):
    done = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["panoptic"])
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero_only.rank", rank)
    monkeypatch.setattr("panoptic.training.runs.finished", lambda folder, config: True)
    monkeypatch.setattr("panoptic.commands.train._evaluate", lambda config, folder: done.append(folder))
    command("train", train, ("experiment=quick", "study=s", "evaluation.split=test"))
    assert len(done) == (rank == 0)


def test_a_study_with_no_name_gets_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["panoptic"])
    with pytest.raises(SystemExit):
        command("train", train, ("experiment=quick", "study=a/b"))
    assert capsys.readouterr().err == (
        "panoptic: study: expected a name of letters, digits, dots, - and _, got 'a/b'\n"
    )


def test_a_resumed_run_has_a_folder_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["panoptic"])
    with pytest.raises(SystemExit):
        command("train", train, ("resume=last.ckpt", "study=s"))
    assert "study: expected none with resume" in capsys.readouterr().err


STUDY = (
    *(
        "experiment=fusion_study",
        "seed=0,1",
        "model/fusion=uniform,local",
        "model.backbone.name=test_resnet",
        "data.epoch_size=null",
        "data.crop=[64,128]",
    ),
    *("data.height=64", "data.width=128", "data.train_size=4", "data.val_size=2", "data.test_size=5"),
    *("callbacks.pictures=0", "trainer.max_epochs=1", "trainer.accelerator=cpu", "evaluation.shuffles=2"),
)
"""A whole study at a tiny size: two variants, two seeds."""


@pytest.mark.slow
def test_a_study_goes_on_where_it_stopped_and_is_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command("train", train, (*STUDY[:1], "seed=0", *STUDY[2:]))
    runs = Path("runs/study/fusion_study")
    folders = sorted(path.parent for path in runs.glob("*/summary.json"))
    assert len(folders) == 2
    written = {path: path.stat().st_mtime_ns for path in runs.glob("*/checkpoints/last.ckpt")}
    (folders[0] / "evaluate_test" / "scores.json").unlink()
    capsys.readouterr()

    # Keys that change nothing of what a run finds may come and go.
    command("train", train, (*STUDY, "data.workers=0", "callbacks.pictures=1"))
    said = capsys.readouterr().out
    assert said.count("finished before: ") == 2
    assert said.count("evaluating test") == 3  # of the two new runs, and of the one that lacked its scores
    assert len(list(runs.glob("*/summary.json"))) == 4
    assert {path: path.stat().st_mtime_ns for path in written} == written

    for summary in (json.loads(path.read_text()) for path in runs.glob("*/summary.json")):
        assert summary["versions"]["generator"] == 2
    for path in runs.glob("*/evaluate_test/scores.json"):
        fusion = json.loads(path.read_text())["fusion"]
        with (path.parent / "per_image.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 5
        for row in rows:
            assert sum(float(row[f"alpha_P{level}"]) for level in (2, 3, 4)) == pytest.approx(1.0, abs=1e-5)
        mean = sum(float(row["alpha_P2"]) for row in rows) / 5
        assert fusion["alpha"]["P2"]["mean"] == pytest.approx(mean, abs=1e-6)
        assert len(fusion["shuffled"]["pq"]) == fusion["shuffled"]["rounds"] == 2
        local = (path.parent / "alpha_maps.png").is_file()
        config = json.loads((path.parents[1] / "summary.json").read_text())["config"]
        assert local == config["model"]["fusion"]["_target_"].endswith("LocalFusion")
        if not local:  # uniform fusion does not look at complexity
            assert fusion["shuffled"]["pq"] == pytest.approx([fusion["shuffled"]["as_predicted"]] * 2)

    command("compare", compare, (f"runs={runs}", "output=report"))
    report = Path("report/report.md").read_text()
    assert "| local " in report
    assert "generator" in report
    assert Path("report/differences.png").is_file()
