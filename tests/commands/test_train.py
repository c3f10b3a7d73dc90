"""What the training command works out by itself."""

from __future__ import annotations

import signal
from importlib.metadata import PackageNotFoundError

import pytest
import torch

from panoptic.commands.app import command
from panoptic.commands.train import train
from panoptic.training.module import PanopticModule
from panoptic.training.trainer import default_precision

TINY = (
    *("experiment=quick", "model.backbone.name=test_resnet", "trainer.accelerator=cpu", "logger=none"),
    *("data.epoch_size=null", "data.workers=0"),
    *("data.height=64", "data.width=128", "data.crop=[64,128]", "data.train_size=4", "data.val_size=2"),
)


@pytest.mark.parametrize(
    ("accelerator", "cuda", "able", "expected"),
    [
        ("auto", True, {"avx512_bf16": True}, "16-mixed"),
        ("gpu", True, {}, "16-mixed"),
        ("cpu", True, {}, "32-true"),
        ("cpu", True, {"avx512_bf16": True}, "bf16-mixed"),
        ("auto", False, {"avx512_bf16": False, "amx_bf16": True}, "bf16-mixed"),
        ("auto", False, {"avx2": True, "avx512_f": True, "avx512_bf16": False}, "32-true"),
        ("auto", False, {}, "32-true"),
        ("mps", False, {"avx512_bf16": True}, "32-true"),
    ],
)
def test_precision_is_half_where_the_device_computes_in_it(monkeypatch, accelerator, cuda, able, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert default_precision(accelerator) == expected


def test_precision_is_single_on_an_apple_gpu_and_where_pytorch_cannot_tell(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert default_precision("auto") == "32-true"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert default_precision("auto") == "32-true"


def test_an_interrupted_training_says_so(tmp_path, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["panoptic"])
    monkeypatch.setattr(PanopticModule, "training_step", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as stop:
            command("train", train, TINY)
    finally:
        signal.signal(signal.SIGINT, handler)  # which Lightning switches off for its shutdown
    assert stop.value.code == 130
    assert capsys.readouterr().err.endswith("panoptic: interrupted\n")


@pytest.mark.parametrize(
    ("option", "package", "extra"),
    [
        ("joblib", "hydra-joblib-launcher", "sweeps"),
        ("submitit_slurm", "hydra-submitit-launcher", "slurm"),
        ("submitit_local", "hydra-submitit-launcher", "slurm"),
    ],
)
def test_a_launcher_that_is_not_installed_is_named_with_its_extra(option, package, extra, monkeypatch, capsys):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("panoptic.commands.app.distribution", missing)
    with pytest.raises(SystemExit) as stop:
        command("train", train, (*TINY, "-m", "seed=0,1", f"hydra/launcher={option}"))
    assert stop.value.code == 1
    assert capsys.readouterr().err == (
        f"panoptic: hydra/launcher={option}: expected {package}, got no such package; "
        f"pip install -e '.[{extra}]' installs it\n"
    )
