"""The curriculum: stages by epoch, and how strength comes to the data."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from lightning.pytorch import LightningModule, Trainer

from panoptic.errors import InputError
from panoptic.training.callbacks.curriculum import Curriculum


def test_three_stages_by_hand():
    curriculum = Curriculum(stages=3, epochs_per_stage=4)
    assert [curriculum.stage(epoch) for epoch in range(14)] == [0] * 4 + [1] * 4 + [2] * 6
    assert [curriculum.strength(epoch) for epoch in (0, 3, 4, 7, 8, 100)] == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


def test_four_stages_by_hand():
    curriculum = Curriculum(stages=4, epochs_per_stage=1)
    assert [curriculum.strength(epoch) for epoch in range(5)] == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])


def test_strength_rises_from_where_it_starts():
    curriculum = Curriculum(stages=3, epochs_per_stage=2, start=0.5)
    assert [curriculum.strength(epoch) for epoch in range(6)] == [0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    assert Curriculum(stages=1, epochs_per_stage=1, start=0.5).strength(0) == 1.0


@pytest.mark.parametrize("start", [-0.1, 1.1])
def test_start_out_of_range_is_named(start):
    with pytest.raises(InputError, match=rf"curriculum.start: expected a number in 0\.\.1, got {start}"):
        Curriculum(stages=2, epochs_per_stage=1, start=start)


def test_one_stage_is_full_strength_from_the_start():
    curriculum = Curriculum(stages=1, epochs_per_stage=5)
    assert [(curriculum.stage(epoch), curriculum.strength(epoch)) for epoch in (0, 4, 5, 50)] == [(0, 1.0)] * 4


def test_setup_hands_strength_to_the_data():
    data = SimpleNamespace(strength=lambda epoch: 0.25)
    curriculum = Curriculum(stages=3, epochs_per_stage=2)
    curriculum.setup(Mock(spec=Trainer, datamodule=data), Mock(spec=LightningModule), "fit")
    assert [data.strength(epoch) for epoch in (0, 2, 4)] == [0.0, 0.5, 1.0]


def test_stage_and_strength_are_logged_once_an_epoch():
    logged = {}

    def log_dict(values, **options):
        logged[values["curriculum/stage"]] = values["curriculum/strength"]
        assert options == {"on_epoch": True, "on_step": False, "sync_dist": True}

    curriculum = Curriculum(stages=3, epochs_per_stage=2)
    for epoch in range(6):
        module = Mock(spec=LightningModule, log_dict=log_dict)
        curriculum.on_train_epoch_end(Mock(spec=Trainer, current_epoch=epoch), module)
    assert logged == {1.0: 0.0, 2.0: 0.5, 3.0: 1.0}  # people count stages from 1


@pytest.mark.parametrize("key", ["stages", "epochs_per_stage"])
def test_settings_below_one_are_named(key):
    with pytest.raises(InputError, match=f"^{key}: expected at least 1, got 0"):
        Curriculum(**{"stages": 3, "epochs_per_stage": 1, key: 0})
