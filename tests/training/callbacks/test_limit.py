"""Validation images with more things than decoding finds."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from panoptic.codec import Codec
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments
from panoptic.training.callbacks.limit import ThingLimit
from panoptic.training.module import Evaluated

LABELS = LabelSpace((Category("cell", 1, True, (9, 9, 9)),))


def validate(callback: ThingLimit, *counts: int) -> None:
    """An epoch of validation, with some cells in each image."""
    trainer, module = Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False), LightningModule()
    codec = Codec(LABELS, stride=1, complexity_stride=8)
    for count in counts:
        ids = torch.zeros(1, 40, 40, dtype=torch.int32)
        for i in range(count):
            ids[0, i // 20 * 2, i % 20 * 2] = i + 1
        segments = Segments(ids, torch.zeros(1, count, dtype=torch.int64), torch.zeros(1, count, dtype=torch.bool))
        targets = codec.encode(segments)
        result = Evaluated(targets.as_outputs(1), targets, segments)
        callback.on_validation_batch_end(trainer, module, result, None, 0)
    callback.on_validation_epoch_end(trainer, module)


def test_it_is_said_once_with_the_number(capsys: pytest.CaptureFixture) -> None:
    callback = ThingLimit(20)
    validate(callback, 3, 20)
    assert capsys.readouterr().out == ""
    validate(callback, 3, 21, 20)
    said = capsys.readouterr().out
    assert "a validation image holds 21 things, and codec.max_things=20 finds no more than 20" in said
    assert "codec.max_things=42" in said
    validate(callback, 30)
    assert capsys.readouterr().out == ""
