"""Folders of studies, and when a run has finished in one."""

from __future__ import annotations

import json
import re

import pytest
from omegaconf import OmegaConf

from panoptic.errors import InputError
from panoptic.study import LONGEST, finished, run_folder, sweep_folder, sweep_subfolder

CONFIG = OmegaConf.create({"seed": 1, "study": "s", "optimizer": {"lr": 0.1}, "data": {"workers": 0, "crop": [32, 64]}})


def write_summary(folder, config) -> None:
    (folder / "summary.json").write_text(json.dumps({"config": config}))


def test_the_folders_of_a_study_stay():
    assert run_folder("a.b-1", "quick", "seed-0") == "runs/study/a.b-1/seed-0"
    assert sweep_folder("a", "quick") == "runs/study/a"
    assert sweep_subfolder("a", 3, "seed=0") == "seed_0"


def test_other_folders_have_their_time():
    assert re.fullmatch(r"runs/train/quick/\d{4}-\d\d-\d\d_[\d-]+", run_folder(None, "quick", "seed-0"))
    assert re.fullmatch(r"runs/sweep/quick/\d{4}-\d\d-\d\d_[\d-]+", sweep_folder(None, "quick"))
    assert sweep_subfolder(None, 3, "seed=0") == "3_seed_0"


def test_long_names_that_begin_alike_are_two():
    one, other = (sweep_subfolder("a", 0, "x" * 200 + end) for end in "12")
    assert len(one) == len(other) == LONGEST
    assert one != other
    assert sweep_subfolder("a", 0, "") == "run"


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
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_damaged_summary_is_named(tmp_path):
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(InputError, match=r"summary.json: expected the summary of a run"):
        finished(tmp_path, CONFIG)
