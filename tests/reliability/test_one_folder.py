"""A run is one folder, however often it is ended and goes on."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from panoptic.config.composing import with_hydra
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.training.callbacks.checkpoints import Checkpoints
from panoptic.training.checkpoint import Checkpoint
from panoptic.training.checkpoint_io import save
from panoptic.training.resuming import Start, check_labels, resume
from tests.reliability.tiny_runs import TINY, history, refused, run, same, summary, weights


class Killed(BaseException):
    """Stands in for a process that ends."""


def killed_after(epoch: int, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """A run that ends once it has saved so many epochs."""

    def end(self: Checkpoints, trainer, module) -> None:
        original(self, trainer, module)
        if trainer.current_epoch + 1 == epoch:
            raise Killed

    original = Checkpoints.on_train_epoch_end
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_epoch_end", end)
        with pytest.raises(Killed):
            run(*arguments)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What the dashboard shows of steps and validations; what is logged of an epoch comes after its checkpoint."""
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith(("speed/", "curriculum/", "epoch", "train/skipped_steps"))
    }


@pytest.mark.slow
def test_a_run_ended_twice_is_the_unbroken_one_in_its_own_folder(unbroken, monkeypatch, capsys):
    killed_after(1, monkeypatch, *TINY, "hydra.run.dir=run")
    killed_after(2, monkeypatch, "resume=run")
    run("resume=run/checkpoints/last.ckpt", "data.workers=1")
    assert same(weights("run"), weights(unbroken))
    assert same(weights("run", "best"), weights(unbroken, "best"))
    broken, whole = summary("run"), summary(unbroken)
    for key in ("epochs", "steps", "best", "last", "best_checkpoint"):
        assert broken[key] == whole[key], key
    assert scalars(Path("run")) == scalars(unbroken)
    assert [path for path in Path().iterdir() if path.name != "run"] == []
    kept = {"config.yaml", "summary.json", "history.jsonl", "checkpoints", "tensorboard"}
    assert {path.name for path in Path("run").iterdir()} == kept
    events = history("run")
    assert [e["event"] for e in events] == ["start", "resume", "resume", "change", "end"]
    assert [e["epochs"] for e in events if e["event"] == "resume"] == [1, 2]
    assert (events[3]["key"], events[3]["old"], events[3]["new"]) == ("data.workers", 0, 1)
    assert "goes on from run/checkpoints/last.ckpt (in epoch 3, step 8)" in capsys.readouterr().out


@pytest.mark.soak
def test_a_run_ended_before_its_summary_gets_it(unbroken, monkeypatch):
    killed_after(3, monkeypatch, *TINY, "hydra.run.dir=run")
    assert not Path("run/summary.json").exists()
    run("resume=run")
    assert summary("run")["last"] == summary(unbroken)["last"]
    assert summary("run")["epochs"] == 3


def test_the_newest_whole_checkpoint_is_taken_and_told(unbroken, capsys):
    shutil.copytree(unbroken, "run")
    last = Path("run/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:-1000])
    best = torch.load("run/checkpoints/best.ckpt", weights_only=True)["callbacks"]["Checkpoints"]["best_scores"]
    Path("run/summary.json").unlink()
    run("resume=run/checkpoints/last.ckpt", "trainer.max_epochs=4")
    said = capsys.readouterr().out
    assert "run/checkpoints/last.ckpt: expected a" in said
    assert "goes on from " in said
    assert "best.ckpt (in epoch" in said
    assert summary("run")["best"]["val/pq"] >= best["val/pq"]
    assert summary("run")["epochs"] == 4


def test_no_whole_checkpoint_is_one_sentence(unbroken, capsys):
    shutil.copytree(unbroken, "run")
    for path in Path("run/checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-1000])
    assert "last.ckpt: expected a" in refused(capsys, "resume=run", "trainer.max_epochs=4")
    shutil.rmtree("run/checkpoints")
    assert "resume=run: expected a run with a checkpoint" in refused(capsys, "resume=run", "trainer.max_epochs=4")
    assert "expected a checkpoint, got no such file" in refused(capsys, "resume=run/checkpoints/last.ckpt")
    Path("empty").mkdir()
    assert "resume=empty: expected the folder of a run" in refused(capsys, "resume=empty")


def test_the_best_checkpoint_is_the_one_with_the_best_scores(unbroken, capsys):
    shutil.copytree(unbroken, "run")
    path = Path("run/checkpoints/best.ckpt")
    content = torch.load(path, weights_only=True)
    content["callbacks"]["Checkpoints"]["best_scores"]["val/pq"] = 0.99  # which no epoch reaches
    torch.save(content, path)
    before = path.read_bytes()
    run("resume=run", "trainer.max_epochs=4")
    assert path.read_bytes() == before
    assert summary("run")["best"]["val/pq"] == 0.99
    path.unlink()
    run("resume=run", "trainer.max_epochs=5")
    kept = torch.load(path, weights_only=True)
    assert summary("run")["best"] == kept["callbacks"]["Checkpoints"]["best_scores"]
    assert summary("run")["best"]["epoch"] == 5
    events = [e for e in history("run") if e["event"] == "resume"]
    assert [e["best"]["val/pq"] for e in events][1:] == [0.99]  # what the summary of before said is kept


REFUSED = {
    "optimizer.lr=5": "optimizer.lr",
    "optimizer.weight_decay=0.5": "optimizer.weight_decay",
    "optimizer=adamw": "optimizer._target_",
    "model.fpn.channels=16": "model.fpn.channels",
    "model/fusion=uniform": "model.fusion._target_",
    "loss.center=9": "loss.center",
    "codec.stuff_area=8000": "codec.stuff_area",
    "data.scale=[0.5,2]": "data.scale",
    "data.batch_size=4": "data.batch_size",
    "seed=3": "seed",
    "trainer.gradient_clip_val=1": "trainer.gradient_clip_val",
    "+trainer.accumulate_grad_batches=2": "trainer.accumulate_grad_batches",
    "curriculum.stages=2": "curriculum.stages",
}


@pytest.mark.parametrize("override", REFUSED)
def test_overrides_that_change_what_is_trained_are_refused_by_name(override, unbroken):
    with (
        with_hydra(),
        pytest.raises(InputError, match=rf"^{REFUSED[override]}: expected .*, as in the run that goes on"),
    ):
        resume(unbroken, ["trainer.max_epochs=4", override])


def test_a_refused_run_is_left_as_it_was(unbroken, capsys):
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("*") if path.is_file()}
    error = refused(capsys, f"resume={unbroken}", "trainer.max_epochs=4", "optimizer.lr=5")
    assert "panoptic: optimizer.lr: expected 0.0" in error
    assert "has trained 3 of 3" in refused(capsys, f"resume={unbroken}")
    assert {path: path.stat().st_mtime_ns for path in unbroken.rglob("*") if path.is_file()} == before


def test_other_categories_are_refused(unbroken, capsys):
    shutil.copytree(unbroken, "run")
    path = Path("run/checkpoints/last.ckpt")
    content = torch.load(path, weights_only=True)
    labels = content["panoptic"]["labels"]
    labels[0], labels[1] = labels[1], labels[0]
    torch.save(content, path)
    error = refused(capsys, "resume=run", "trainer.max_epochs=4")
    assert "data: expected the categories of " in error
    assert "run/checkpoints/last.ckpt, category 1 to be 'sidewalk'" in error


CATEGORIES = (Category("road", 1, False, (1, 2, 3)), Category("car", 9, True, (4, 5, 6)))


@pytest.mark.parametrize(
    "other",
    [
        CATEGORIES[::-1],
        (replace(CATEGORIES[0], name="street"), CATEGORIES[1]),
        (CATEGORIES[0], replace(CATEGORIES[1], isthing=False)),
        (*CATEGORIES, Category("tree", 3, False, (7, 8, 9))),
        CATEGORIES[:1],
    ],
    ids=["reordered", "renamed", "thing made stuff", "one more", "one less"],
)
def test_every_difference_of_categories_is_told(other):
    config = OmegaConf.create()
    start = Start(config, Checkpoint(Path("last.ckpt"), config, LabelSpace(CATEGORIES), {}, "random", None, 1))
    check_labels(start, LabelSpace(tuple(replace(c, color=(0, 0, 0)) for c in CATEGORIES)))
    with pytest.raises(InputError, match=r"data: expected the categories of last.ckpt, category \d to be"):
        check_labels(start, LabelSpace(other))


def test_a_finished_run_goes_on_with_more_epochs_and_says_what_changed(unbroken):
    shutil.copytree(unbroken, "run")
    run("resume=run", "trainer.max_epochs=4", "data.workers=1", "logger=none", "trainer.log_every_n_steps=2")
    changed = {e["key"]: (e["old"], e["new"]) for e in history("run") if e["event"] == "change"}
    assert changed["trainer.max_epochs"] == (3, 4)
    assert changed["data.workers"] == (0, 1)
    assert changed["logger._target_"][1] is None
    assert summary("run")["epochs"] == 4
    assert summary("run")["config"]["trainer"]["max_epochs"] == 4


@pytest.mark.soak
@pytest.mark.slow
def test_auto_goes_on_with_the_newest_unfinished_run_of_the_same_configuration(monkeypatch, capsys):
    short = (*TINY, "trainer.max_epochs=2")
    killed_after(1, monkeypatch, *short, "resume=auto")  # nothing to go on with: begins
    killed_after(1, monkeypatch, *short, "seed=1")
    seeds = {OmegaConf.load(path).seed: path.parent for path in Path("runs/train/quick").glob("*/config.yaml")}
    first, other = seeds[0], seeds[1]
    run(*short, "resume=auto", "data.workers=1")
    assert summary(first)["epochs"] == 2
    assert not (other / "summary.json").exists()
    assert len(list(Path("runs/train/quick").iterdir())) == 2
    assert "expected a single run" in refused(capsys, *short, "resume=auto", "-m")
    killed_after(1, monkeypatch, *short, "resume=auto")  # the first has finished: begins another
    assert len(list(Path("runs/train/quick").iterdir())) == 3


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_again(unbroken, monkeypatch, capsys):
    def end(*_) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_save", end)
        with pytest.raises(Killed):
            run(*TINY, "hydra.run.dir=run")
    assert {path.name for path in Path("run").iterdir()} == {"config.yaml", "history.jsonl", "tensorboard"}
    assert "; resume=auto hydra.run.dir=run, with the settings of the run, begins it again" in refused(
        capsys, "resume=run"
    )
    error = refused(capsys, *TINY, "hydra.run.dir=run")
    assert f"it has no checkpoint yet, and resume=auto hydra.run.dir={Path('run').absolute()} begins it again" in error
    run(*TINY, "hydra.run.dir=run", "resume=auto")
    assert same(weights("run"), weights(unbroken))
    assert scalars(Path("run")) == scalars(unbroken)


@pytest.mark.soak
def test_a_study_goes_on_where_it_stopped(unbroken, monkeypatch, capsys):
    killed_after(2, monkeypatch, *TINY, "study=s")
    folder = Path("runs/study/s")
    (run_folder,) = folder.iterdir()
    error = refused(capsys, *TINY, "study=s", f"hydra.run.dir={run_folder}", "optimizer.weight_decay=0.5")
    assert "study=s: expected optimizer.weight_decay=0.0001, as in the run that is in" in error
    error = refused(capsys, *TINY, "study=s", f"hydra.run.dir={run_folder}", "trainer.max_epochs=4")
    assert "study=s: expected trainer.max_epochs=3, as in the run that is in" in error
    run(*TINY, "study=s")
    assert "in epoch 3, step 8" in capsys.readouterr().out
    assert same(weights(run_folder), weights(unbroken))
    run(*TINY, "study=s")
    assert "finished before" in capsys.readouterr().out


def test_a_folder_with_a_run_is_not_begun_again(unbroken, capsys):
    error = refused(capsys, *TINY, f"hydra.run.dir={unbroken}")
    assert f"{unbroken}: expected a folder without a run, got one; resume={unbroken} goes on with it" in error
    error = refused(capsys, f"resume={unbroken}", "hydra.run.dir=elsewhere", "trainer.max_epochs=4")
    assert "hydra.run.dir=elsewhere: expected none with resume" in error


@pytest.mark.soak
@pytest.mark.slow
def test_initial_weights_need_not_exist(monkeypatch):
    import timm

    initial = timm.create_model("test_resnet", pretrained=False).state_dict()
    torch.save(initial, "initial.pth")
    killed_after(1, monkeypatch, *TINY, "model.backbone.weights=initial.pth", "hydra.run.dir=run")
    Path("initial.pth").unlink()
    run("resume=run")
    assert "initial.pth" in summary("run")["backbone_weights"]
    assert summary("run")["config"]["model"]["backbone"]["weights"] == "initial.pth"


@pytest.mark.soak
def test_a_checkpoint_of_no_run_begins_a_folder(unbroken, capsys):
    shutil.copy(unbroken / "checkpoints" / "last.ckpt", "alone.ckpt")
    run("resume=alone.ckpt", "trainer.max_epochs=4", "hydra.run.dir=new")
    assert summary("new")["epochs"] == 4
    content = torch.load("alone.ckpt", weights_only=True)
    content["optimizer_states"] = []
    torch.save(content, "weights.ckpt")
    error = refused(capsys, "resume=weights.ckpt", "trainer.max_epochs=4")
    assert "weights.ckpt: expected the checkpoint of a run, with the state of its optimizer" in error


def corrupt_optimizer(content: dict) -> None:
    content["optimizer_states"][0]["param_groups"][0]["params"][0] = {}


def corrupt_momentum(content: dict) -> None:
    state = content["optimizer_states"][0]["state"]
    for values in state.values():
        values |= dict.fromkeys(values)


def corrupt_schedule(content: dict) -> None:
    content["lr_schedulers"][0] = None


def corrupt_random_state(content: dict) -> None:
    content["random_state"]["cpu"] = torch.zeros(3, dtype=torch.uint8)


def corrupt_scores(content: dict) -> None:
    del content["callbacks"]["Checkpoints"]["last_scores"]


@pytest.mark.parametrize(
    "corrupt", [corrupt_optimizer, corrupt_momentum, corrupt_schedule, corrupt_random_state, corrupt_scores]
)
def test_a_state_that_cannot_be_restored_is_one_sentence(corrupt, unbroken, capsys):
    content = torch.load(unbroken / "checkpoints" / "last.ckpt", weights_only=True)
    corrupt(content)
    save(content, Path("odd.ckpt"))
    error = refused(capsys, "resume=odd.ckpt", "hydra.run.dir=new", "trainer.max_epochs=4")
    assert "odd.ckpt: expected the state of a run to go on from, got one that does not fit its configuration (" in error


def test_strays_are_removed_and_what_the_folder_had_is_kept(unbroken):
    shutil.copytree(unbroken, "run")
    stray = Path(f"run/checkpoints/.last.ckpt.{2**22 + 1}.tmp")
    stray.touch()
    Path("run/notes.txt").write_text("mine")
    run("resume=run", "trainer.max_epochs=4")
    assert not stray.exists()
    assert Path("run/notes.txt").read_text() == "mine"
    assert json.loads(Path("run/summary.json").read_text())["epochs"] == 4
    assert sorted(os.listdir("run/checkpoints")) == ["best.ckpt", "last.ckpt"]
