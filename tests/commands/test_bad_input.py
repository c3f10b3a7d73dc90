"""Bad input gets one sentence, soon, and leaves nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.commands.app import GROUPS
from tests.commands.small_runs import (
    CONF,
    TINY,
    run,
    shell,
)

BAD = {  # what is typed, and what the sentence says
    "nothing to start from": ("train", ["experiment=finetune"], "start_from: expected a checkpoint"),
    "ablation of a checkpoint": (
        "train",
        ["start_from=CKPT", "ablation=on"],
        "model/fusion=uniform exchanges its fusion",
    ),
    "network of another kind": ("train", ["start_from=CKPT", "model=small"], "model"),
    "unknown views": ("predict", ["checkpoint=CKPT", "input=whole.png", "tta=rotate"], "tta: expected none, flip"),
    "paths by halves": ("train", ["data=coco_panoptic", "data.train.panoptic_json=x.json"], "data.train.image_dir"),
    "value without key": ("train", ["=3"], "=3: expected key=value, got no key"),
    "configuration of a sweep": ("train", ["-m", "--cfg", "job"], "--cfg: expected no --multirun with it"),
    "misspelt option": (
        "train",
        ["model/fusion=nope"],
        "model/fusion: expected one of adaptive, features, local, random, sized, static, uniform, got 'nope'",
    ),
    "no option": ("train", ["trainer=null"], "trainer: expected the name of an option of this group, got null; its"),
    "a list of options": ("train", ["loss=[1]"], "loss: expected the name of an option of this group, got [1]; its"),
    "no value": ("train", ["seed"], "seed: expected key=value, got no value"),
    "not a number": ("train", ["codec.sigma=nan"], "codec.sigma: expected finite numbers, got nan"),
    "infinite rate": ("train", ["optimizer.lr=inf"], "optimizer.lr: expected finite numbers, got inf"),
    "negative clipping": (
        "train",
        ["experiment=quick", "model.backbone.name=test_resnet", "trainer.gradient_clip_val=-1"],
        "trainer.gradient_clip_val: expected at least 0, got -1",
    ),
    "name that leaves its folder": ("train", ["name=../../x"], "name: expected a name of letters, digits"),
    "endless budget": ("train", ["budget=99999999999999h"], "budget: expected at most a year, got 99999999999999h"),
    "no kind of data": ("inspect", ["data.root=."], "data: expected a data set (data=coco_panoptic"),
    "misspelt key": ("train", ["optimizer.lrr=1"], "optimizer.lrr: expected a key of the configuration"),
    "misspelt group": ("train", ["experiment=quik"], "got 'quik'; did you mean quick?"),
    "wrong type": ("train", ["optimizer.lr=fast"], "optimizer.lr: expected a number, got 'fast'"),
    "added key": ("train", ["+optimizer.dampening=1"], "optimizer.dampening"),
    "added trainer key": ("train", ["+trainer.max_epoch=1"], "max_epoch"),
    "no files": ("train", ["data=cityscapes", "data.root=nowhere"], "data=synthetic"),
    "no root": ("train", ["data=coco_panoptic"], "data.root"),
    "batch of none": ("train", ["data.batch_size=0"], "data.batch_size: expected at least 1, got 0"),
    "unknown backbone": ("train", ["model.backbone.name=resnet51"], "resnet51"),
    "no width": ("train", ["model.fusion.hidden=0"], "model.fusion.hidden"),
    "warmup": ("train", ["optimizer.warmup=2"], "optimizer.warmup"),
    "even window": ("train", ["codec.peak_window=4"], "codec.peak_window"),
    "seed below 0": ("train", ["seed=-1"], "seed: expected at least 0, got -1"),
    "seed too large": ("train", ["seed=4294967296"], "seed: expected less than 4294967296, got 4294967296"),
    "no epoch": ("train", ["trainer.max_epochs=0"], "trainer.max_epochs: expected at least 1, got 0"),
    "never validated": ("train", ["trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch: expected"),
    "no patience": ("train", ["callbacks.patience=-1"], "callbacks.patience: expected at least 0, got -1"),
    "no momentum": ("train", ["optimizer.momentum=1.5"], "optimizer.momentum: expected a number in [0, 1), got 1.5"),
    "no file of weights": ("train", ["model.backbone.weights=text.ckpt"], "text.ckpt: expected a file of weights"),
    "no checkpoint to resume": ("train", ["resume=nowhere.ckpt"], "nowhere.ckpt"),
    "no checkpoint": ("evaluate", ["checkpoint=nowhere.ckpt"], "nowhere.ckpt"),
    "checkpoint not given": ("evaluate", [], "checkpoint: expected a value"),
    "no checkpoint at all": ("evaluate", ["checkpoint=text.ckpt"], "text.ckpt"),
    "folder for a checkpoint": ("evaluate", ["checkpoint=."], "a folder"),
    "other torch file": ("evaluate", ["checkpoint=tensor.ckpt"], "tensor.ckpt"),
    "unknown split": ("evaluate", ["checkpoint=CKPT", "split=dev"], "split"),
    "misspelt change": ("evaluate", ["checkpoint=CKPT", "data.rooot=x"], "did you mean data.root?"),
    "misspelt key of the command": ("predict", ["checkpoint=CKPT", "input=.", "outptu=x"], "did you mean output?"),
    "change that the weights do not fit": ("evaluate", ["checkpoint=CKPT", "model.fpn.channels=8"], "size mismatch"),
    "overlays in a file": ("predict", ["checkpoint=CKPT", "input=whole.png", "output=out"], "out/overlays"),
    "change of a wrong type": ("evaluate", ["checkpoint=CKPT", "data.test_size=few"], "data.test_size"),
    "experiment with a checkpoint": ("evaluate", ["checkpoint=CKPT", "experiment=full"], "experiment"),
    "output in a file": ("evaluate", ["checkpoint=CKPT", "output=text.ckpt/out"], "text.ckpt/out"),
    "weightings of no checkpoint": ("headroom", ["checkpoint=nowhere.ckpt"], "nowhere.ckpt"),
    "weightings of no split": ("headroom", ["checkpoint=CKPT", "split=dev"], "split: expected train, val or test"),
    "weightings in a file": (
        "headroom",
        ["checkpoint=CKPT", "output=text.ckpt"],
        "output=text.ckpt: expected a folder",
    ),
    "weightings of one image": (
        "headroom",
        ["checkpoint=CKPT", "data.val_size=1"],
        "split=val: expected at least two images with their truth, got 1",
    ),
    "no input": ("predict", ["checkpoint=CKPT", "input=nothing.png"], "nothing.png"),
    "truncated image": ("predict", ["checkpoint=CKPT", "input=cut.png"], "cut.png"),
    "empty image": ("predict", ["checkpoint=CKPT", "input=empty.png"], "empty.png"),
    "empty folder": ("predict", ["checkpoint=CKPT", "input=folder"], "folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(
    case: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    name, arguments, said = BAD[case]
    Path("text.ckpt").write_text("no checkpoint")
    torch.save({"weight": torch.zeros(1)}, "tensor.ckpt")
    Path("empty.png").touch()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save("whole.png")
    Path("cut.png").write_bytes(Path("whole.png").read_bytes()[:2000])
    Path("folder").mkdir()
    Path("out").mkdir()
    Path("out/overlays").touch()
    before = sorted(tmp_path.rglob("*"))
    if name == "train" and not any(a.startswith(("experiment", "resume")) for a in arguments):
        settings = [t for t in TINY if not (t.startswith("data.") and any(a.startswith("data=") for a in arguments))]
        arguments = ["experiment=quick", *settings, *arguments]
    with pytest.raises(SystemExit) as stop:
        run(name, *(a.replace("CKPT", f"{trained}/checkpoints/best.ckpt") for a in arguments))
    shown = capsys.readouterr().err
    assert stop.value.code == 1
    assert said in shown
    assert shown.count("panoptic: ") == 1
    assert "Traceback" not in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_the_configuration_of_a_checkpoint_is_shown_with_changes(trained: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    run("evaluate", checkpoint, "--cfg", "job", "data.workers=3", "split=val")  # flags anywhere
    told = capsys.readouterr().out
    assert "split: val" in told
    assert "data.workers=3" in told


def test_weights_that_cannot_be_had_are_told_within_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    done = shell(
        "train", "experiment=quick", "model.backbone.weights=imagenet", cwd=tmp_path, HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert done.returncode == 1
    assert "model.backbone.weights=imagenet" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 60  # of which nearly all is importing torch; timm alone retries for longer
    assert not any(tmp_path.iterdir())


def test_groups_are_the_folders_of_the_configuration() -> None:
    conf = Path(__file__).parents[2] / "conf"
    folders = {path.parent.relative_to(conf).as_posix() for path in conf.glob("*/**/*.yaml")}
    assert set(GROUPS) == folders - {"hydra"}


def test_help_and_faults_come_before_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    for arguments, code, said in (
        (["--help"], 0, "python -m panoptic.train"),
        (["--cfg", "job", "experiment=quick"], 0, "name: quick"),
        (["sed=1"], 1, "did you mean seed?"),
    ):
        done = shell("train", *arguments, cwd=tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{CONF.parent}")
        assert (done.returncode, "torch was imported" in done.stdout + done.stderr) == (code, False)
        assert said in done.stdout + done.stderr


def test_a_finished_run_is_not_resumed(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        run("train", f"resume={trained}/checkpoints/last.ckpt")
    assert stop.value.code == 1
    assert "last.ckpt: expected a run with epochs left, got one that has trained 2 of 2" in capsys.readouterr().err
    assert not any(tmp_path.rglob("*.*"))
