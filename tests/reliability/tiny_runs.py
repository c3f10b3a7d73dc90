"""Runs of a second, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from panoptic.commands.app import command
from panoptic.commands.train import train

TINY = (
    "experiment=quick",
    *("model.backbone.name=test_resnet", "model.backbone.weights=random", "model.fpn.channels=8"),
    *("model.complexity.channels=8", "model.semantic_head.channels=8", "model.instance_head.channels=8"),
    *("data.height=32", "data.width=64", "data.crop=[32,64]", "data.workers=0", "data.batch_size=2"),
    *("data.train_size=8", "data.val_size=2", "data.test_size=1", "data.epoch_size=null", "callbacks.pictures=0"),
    *("trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.max_epochs=3"),
    *("trainer.check_val_every_n_epoch=1", "trainer.log_every_n_steps=1"),
)
"""Three epochs of four steps."""


def run(*arguments: str) -> None:
    """The training command in this process."""
    command("train", train, arguments)


def refused(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """The sentence with which the training command ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 1, error
    assert error.count("panoptic: ") == 1
    assert "Traceback" not in error
    return error


def weights(run_folder: str | Path, name: str = "last") -> dict[str, torch.Tensor]:
    return torch.load(Path(run_folder) / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def summary(run_folder: str | Path) -> dict[str, Any]:
    return json.loads((Path(run_folder) / "summary.json").read_text())


def history(run_folder: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(run_folder) / "history.jsonl").read_text().splitlines()]
