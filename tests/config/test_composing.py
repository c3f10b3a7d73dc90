"""Errors of arguments name the keys of what is built."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from panoptic.config.composing import build, with_hydra
from panoptic.config.overrides import restore
from panoptic.config.sentences import sentence
from panoptic.errors import ArgumentError, InputError, expect_at_least, within
from panoptic.labels import CITYSCAPES
from panoptic.training.checkpoint import build_codec, build_network


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone.lr_factor=-1", "model.backbone.lr_factor: expected at least 0, got -1.0"),
        ("model.backbone.name=nothing", "model.backbone.name: expected a model that timm knows, got 'nothing'"),
        ("model.fpn.channels=0", "model.fpn.channels: expected at least 1, got 0"),
        ("model.complexity.channels=0", "model.complexity.channels: expected at least 1, got 0"),
        ("model.fusion.hidden=0", "model.fusion.hidden: expected at least 1, got 0"),
        ("model.semantic_head.depth=0", "model.semantic_head.depth: expected at least 1, got 0"),
        ("model.instance_head.depth=0", "model.instance_head.depth: expected at least 1, got 0"),
        ("model.norm_momentum=2", "model.norm_momentum: expected a number in (0, 1], got 2.0"),
        (
            "model.instance_head.upsample=1",
            "model: expected both heads to predict at one stride, got semantic_head.upsample=4 and "
            "instance_head.upsample=1",
        ),
        # The estimator's window is the codec's, and is built first.
        ("codec.window=4", "codec.window: expected an odd number of cells, got 4"),
        ("codec.sigma=0", "codec.sigma: expected a positive number of cells, got 0.0"),
        ("loss.hard_pixels=0", "loss.hard_pixels: expected a share in (0, 1], got 0.0"),
        ("loss.levels=-1", "loss.levels: expected at least 0, got -1.0"),
        ("codec.peak_threshold=5", "codec.peak_threshold: expected a score in [0, 1], got 5.0"),
        ("optimizer.lr=-1", "optimizer.lr: expected at least 0, got -1.0"),
        ("data.batch_size=0", "data.batch_size: expected at least 1, got 0"),
        ("data.height=31", "data.height: expected at least 32, got 31"),
        ("data.scale=[2,1]", "data.scale: expected two rising positive factors, got [2.0, 1.0]"),
        ("curriculum.stages=0", "curriculum.stages: expected at least 1, got 0"),
    ],
)
def test_what_is_built_names_its_keys(override: str, message: str) -> None:
    with with_hydra():
        config = compose("train", ["experiment=quick", "model.backbone.name=test_resnet", override])
    with pytest.raises(InputError) as raised:
        build_all(config)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("experiment=quikc", r"experiment: expected one of cityscapes, .*, study, got 'quikc'; did you mean quick\?"),
        ("optimizer=sgd", "optimizer: expected one of adamw, muon, got 'sgd'"),
        ("model/fusion=x", "model/fusion: expected one of adaptive, .*, uniform, got 'x'"),
        ("data.batch_size=many", "data.batch_size: expected a whole number, got 'many'"),
        ("seed=1.5", "seed: expected a whole number, got '1.5'"),
        ("data.appearance=strong", "data.appearance: expected a number, got 'strong'"),
        ("data.any_orientation=maybe", "data.any_orientation: expected true or false, got 'maybe'"),
        ("data.drop=1", r"data.drop: expected a key of the configuration, which this is not; did you mean crop\?"),
        ("foo=1", "foo: expected a key of the configuration, which this is not; known are name, seed, .*, trainer"),
        (
            "codec.foo=1",
            "codec.foo: expected a key of the configuration, which this is not; known are sigma, .*, thing_area",
        ),
        ("data.crop=64", "data.crop: expected a list, got 64"),
        ("model.fusion=null", "model.fusion: expected a value, got null"),
        (
            "model.context=pyramid_pooling",
            "model.context: expected its keys one by one, got pyramid_pooling; model/context=pyramid_pooling would "
            "choose an option",
        ),
    ],
)
def test_what_cannot_be_composed_is_said_in_a_sentence(override: str, message: str) -> None:
    with with_hydra(), pytest.raises(HydraException) as raised:
        compose("train", [override])
    assert re.fullmatch(message, sentence(raised.value))


def test_values_for_a_checkpoint_name_their_key_once() -> None:
    with with_hydra():
        config = OmegaConf.to_container(compose("train", ["experiment=quick"]), resolve=True)
    assert isinstance(config, dict)
    with pytest.raises(InputError, match=r"^data\.batch_size: expected a whole number, got 'many'$"):
        restore(cast("dict[str, Any]", config), ["data.batch_size=many"], "best.ckpt")


def build_all(config: DictConfig) -> None:
    network = build_network(config, 19)
    build_codec(config, CITYSCAPES, network)
    build(config.loss, names=CITYSCAPES.names)
    build(config.optimizer)(network, 1)
    build(config.data, seed=0)
    build(config.curriculum)


def test_only_arguments_get_a_key() -> None:
    with pytest.raises(InputError, match=r"^a\.ckpt: expected a file"), within("model"):
        raise InputError("a.ckpt: expected a file, got none")
    expected = r"^model\.head\.depth: expected at least 1, got 0$"
    with pytest.raises(ArgumentError, match=expected), within("model"), within("head"):
        expect_at_least(1, depth=0)
