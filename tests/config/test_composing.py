"""Errors of arguments name the keys of what is built."""

from __future__ import annotations

import pytest
from hydra import compose
from omegaconf import DictConfig

from panoptic.config.composing import build, with_hydra
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
        ("codec.sigma=0", "codec.sigma: expected a positive number of cells, got 0.0"),
        ("loss.hard_pixels=0", "loss.hard_pixels: expected a share in (0, 1], got 0.0"),
        ("loss.levels=-1", "loss.levels: expected at least 0, got -1.0"),
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
