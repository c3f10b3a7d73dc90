"""Numbers in a checkpoint's configuration take no memory and no time before they are refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hydra import compose

from panoptic.config.composing import with_hydra
from panoptic.errors import InputError
from panoptic.labels import CITYSCAPES
from panoptic.training.checkpoint import build_network, make_record, read_checkpoint
from tests.reliability.tiny_runs import TINY, refused


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """A sound checkpoint."""
    with with_hydra():
        config = compose("train", list(TINY))
    weights = build_network(config, CITYSCAPES.num_classes).state_dict()
    return {
        "panoptic": make_record(config, CITYSCAPES, "random"),
        "state_dict": {f"network.{name}": value for name, value in weights.items()},
        "loops": {"fit_loop": {"epoch_progress": {"current": {"processed": 1}}}},
    }


def altered(content: dict[str, Any], key: str, value: object) -> str:
    """The file of a checkpoint with another number in its configuration."""
    content = copy.deepcopy(content)
    *nodes, name = key.split(".")
    node = content["panoptic"]["config"]
    for part in nodes:
        node = node[part]
    node[name] = value
    torch.save(content, "altered.ckpt")
    return "altered.ckpt"


POOLING = {"_target_": "panoptic.models.PyramidPooling", "_partial_": True, "channels": 8}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("model.fpn.channels", 2**40, "expected at most 16384, got 1099511627776"),
        ("model.fpn.channels", str(2**40), "expected at most 16384, got 1099511627776"),
        ("model.semantic_head.depth", 10**6, "expected at most 256"),
        ("model.instance_head.upsample", 2**20, "expected at most 64"),
        ("model.fusion.hidden", 10**9, "expected at most 65536"),
        ("model.complexity.window", 2**70 + 1, "expected at most 4096, got one of 22 digits"),
        ("model.context", POOLING | {"bins": [1] * 10**5}, "expected at most 64 numbers, got 100000"),
        ("codec.max_things", 10**12, "expected at most 1e+06"),
        ("codec.peak_window", 10**6 + 1, "expected at most 4096"),
        ("codec.sigma", 1e9, "expected at most 100"),
        ("codec.small_area", 2**80, "expected at most 4.6"),
        ("data.height", 2**30, "expected at most 16384"),
        ("data.crop", [32, 2**30], "expected at most 16384"),
        ("data.val_size", 10**12, "expected at most 1e+07"),
        ("data.batch_size", 10**9, "expected at most 65536"),
        ("data.workers", 10**5, "expected at most 1024"),
        ("trainer.devices", 10**6, "expected at most 1024"),
        ("evaluation.shuffles", 10**9, "expected at most 10000"),
    ],
)
def test_numbers_beyond_use_are_refused_by_name(content, key, value, told):
    with pytest.raises(InputError) as error:
        read_checkpoint(altered(content, key, value))
    assert key in str(error.value)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.fpn.channels", 16384),
        ("model.semantic_head.channels", 16384),
        ("model.instance_head.depth", 256),
        ("model.fusion.hidden", 65536),
        ("model.backbone.name", "regnety_2560"),
    ],
)
def test_a_network_larger_than_its_weights_is_refused_before_it_takes_memory(content, key, value, monkeypatch):
    def allocated(self: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        assert parameter is None or parameter.is_meta

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(allocated)
    try:
        with pytest.raises(InputError, match=r"altered.ckpt: expected weights for all of the network that its config"):
            read_checkpoint(altered(content, key, value))
        read_checkpoint(altered(content, "codec.max_things", 1000))
    finally:
        hook.remove()


def test_a_number_that_is_repeated_is_no_weight(content):
    repeated = copy.deepcopy(content)
    name = max(repeated["state_dict"], key=lambda key: repeated["state_dict"][key].numel())
    repeated["state_dict"][name] = torch.zeros(1).expand(2**20, 2**20)
    with pytest.raises(InputError, match="expected weights for all of the network"):
        read_checkpoint(altered(repeated, "model.fpn.channels", 512))


def test_more_processes_than_a_cpu_has_are_refused(capsys):
    assert "trainer.devices: expected at most" in refused(capsys, *TINY, "trainer.devices=1000")
