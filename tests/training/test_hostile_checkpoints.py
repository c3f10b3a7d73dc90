"""Checkpoints from strangers: whatever class their configuration names, nothing but this project's runs."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.evaluate import evaluate
from panoptic.commands.predict import predict
from panoptic.commands.train import train
from panoptic.config.composing import with_hydra
from panoptic.errors import InputError
from panoptic.labels import CITYSCAPES
from panoptic.models import AdaptiveFusion
from panoptic.training.checkpoint import build_network, make_record, read_checkpoint, restore_network

SMALL = (
    "experiment=quick",
    *("model.backbone.name=test_resnet", "model.backbone.weights=random", "model.fpn.channels=8"),
    *("model.complexity.channels=8", "model.semantic_head.channels=8", "model.instance_head.channels=8"),
    *("data.height=32", "data.width=64", "data.crop=[32,64]", "data.workers=0"),
)
MARKER = """
from pathlib import Path

def mark(*arguments, **options):
    Path("it_ran").touch()

Path("it_ran").touch()
"""
"""A module that leaves a mark when it is imported, and when its function is called."""


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """A sound checkpoint."""
    from hydra import compose

    with with_hydra():
        config = compose("train", list(SMALL))
    weights = build_network(config, CITYSCAPES.num_classes).state_dict()
    return {
        "panoptic": make_record(config, CITYSCAPES, "random"),
        "state_dict": {f"network.{name}": value for name, value in weights.items()},
        "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": 1}}}},
    }


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger.py").write_text(MARKER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic"])


def nodes(config: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a configuration, with its key."""
    if isinstance(config, dict):
        yield path, config
        for key, value in config.items():
            yield from nodes(value, f"{path}.{key}".lstrip("."))


def save(content: dict[str, Any]) -> str:
    torch.save(content, "stranger.ckpt")
    return "stranger.ckpt"


def test_a_sound_checkpoint_is_read(content):
    checkpoint = read_checkpoint(save(content))
    assert OmegaConf.select(checkpoint.config, "model.fusion._target_") == "panoptic.models.AdaptiveFusion"
    restore_network(checkpoint)


@pytest.mark.parametrize("target", ["stranger.mark", "http.server.test", "os.system", "panoptic.commands.train.train"])
def test_no_node_may_name_what_is_not_public(content, target):
    places = [key for key, _ in nodes(content["panoptic"]["config"])]
    assert {"", "model", "model.backbone", "codec", "loss", "curriculum", "optimizer", "logger", "trainer"} <= set(
        places
    )
    for place in places:
        hostile = copy.deepcopy(content)
        dict(nodes(hostile["panoptic"]["config"]))[place]["_target_"] = target
        key = f"{place}._target_".lstrip(".")
        with pytest.raises(InputError) as error:
            read_checkpoint(save(hostile))
        assert str(error.value).startswith(f"stranger.ckpt: {key}: expected a class of panoptic, got '{target}'"), key
    assert not Path("it_ran").exists()
    assert "stranger" not in sys.modules


@pytest.mark.parametrize(
    "deep", [{"plugins": [{"_target_": "stranger.mark"}]}, {"a": {"b": [{"_target_": "stranger.mark"}]}}]
)
def test_nor_may_a_list_or_a_new_node(content, deep):
    hostile = copy.deepcopy(content)
    hostile["panoptic"]["config"]["trainer"] |= deep
    with pytest.raises(InputError, match=r"stranger.ckpt: trainer\.\S+\._target_: expected a class of panoptic"):
        read_checkpoint(save(hostile))


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a ${oc.env:HOME} b", "${seed}"])
def test_no_value_may_be_interpolated(content, text):
    hostile = copy.deepcopy(content)
    hostile["panoptic"]["config"]["name"] = text
    with pytest.raises(InputError, match=r"stranger.ckpt: name: expected a plain value, got the interpolation"):
        read_checkpoint(save(hostile))


@pytest.mark.parametrize(
    ("name", "function", "arguments"),
    [
        ("evaluate", evaluate, ("checkpoint=stranger.ckpt",)),
        ("predict", predict, ("checkpoint=stranger.ckpt", "input=image.png")),
        ("train", train, ("resume=stranger.ckpt",)),
        ("train", train, ("start_from=stranger.ckpt", *SMALL[:1])),
    ],
    ids=["evaluate", "predict", "resume", "start_from"],
)
def test_every_command_that_reads_a_checkpoint_refuses_it(content, name, function, arguments, capsys):
    hostile = copy.deepcopy(content)
    hostile["panoptic"]["config"]["model"]["fusion"]["_target_"] = "stranger.mark"
    save(hostile)
    Image.new("RGB", (64, 32)).save("image.png")
    with pytest.raises(SystemExit) as ended:
        command(name, function, arguments)
    assert ended.value.code not in (0, None)
    assert "model.fusion._target_: expected a class of panoptic, got 'stranger.mark'" in capsys.readouterr().err
    assert not Path("it_ran").exists()


def test_ones_own_class_is_trusted_by_naming_it(content, monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(Fusion=AdaptiveFusion))
    hostile = copy.deepcopy(content)
    hostile["panoptic"]["config"]["model"]["fusion"]["_target_"] = "mine.Fusion"
    name = save(hostile)
    config = read_checkpoint(name, ["model.fusion._target_=mine.Fusion"]).config
    assert config.model.fusion._target_ == "mine.Fusion"
    with pytest.raises(InputError, match=r"give model.fusion._target_=mine.Fusion on the command line"):
        read_checkpoint(name, ["model.fusion.lr=0.1"])
