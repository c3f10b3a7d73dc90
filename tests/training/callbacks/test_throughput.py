"""Throughput: images per second and waiting, by a clock that the test moves."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from panoptic.training.callbacks import throughput
from panoptic.training.callbacks.throughput import Spent, Throughput


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that stands still but for ``clock.now +=``."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(throughput, "time", SimpleNamespace(monotonic=lambda: clock.now, time=lambda: 5 * clock.now))
    return clock


class Run:
    """Drives the callback as Lightning would, and collects what it logs."""

    def __init__(self, clock) -> None:
        self.clock, self.logged = clock, {}
        self.callback = Throughput()
        self.module = Mock(spec=LightningModule, device=torch.device("cpu"), log_dict=self.log_dict)
        self.trainer = Mock(spec=Trainer)

    def log_dict(self, values, sync_dist) -> None:
        self.logged = dict(values)

    def step(self, waiting: float, working: float, images: int = 4) -> None:
        batch = SimpleNamespace(names=("",) * images)
        self.clock.now += waiting
        self.callback.on_train_batch_start(self.trainer, self.module, batch, 0)
        self.clock.now += working
        self.callback.on_train_batch_end(self.trainer, self.module, None, batch, 0)

    def epoch(self, *steps: tuple[float, float]) -> dict[str, float]:
        self.callback.on_train_epoch_start(self.trainer, self.module)
        for step in steps:
            self.step(*step)
        self.callback.on_train_epoch_end(self.trainer, self.module)
        return self.logged


def test_by_hand(clock):
    # The first step does not count; then 2 x 4 images in 1 + 3 + 2 + 4 = 10 seconds, 3 of them waiting.
    run = Run(clock)
    assert run.epoch((50.0, 7.0), (1.0, 3.0), (2.0, 4.0)) == pytest.approx(
        {"speed/images_per_second": 0.8, "speed/share_waiting_for_data": 0.3}
    )
    assert run.callback.first_step_at == 5 * 150.0


def test_epochs_are_apart_and_the_total_is_of_all(clock):
    run = Run(clock)
    run.epoch((0.0, 1.0), (0.0, 2.0))
    clock.now += 1000.0  # validation between epochs
    assert run.epoch((9.0, 1.0), (6.0, 2.0))["speed/share_waiting_for_data"] == pytest.approx(0.75)
    assert run.callback.total == Spent(images=8, working=4.0, waiting=6.0)
    assert run.callback.first_step_at == 500.0


def test_validation_amid_an_epoch_is_no_waiting(clock):
    run = Run(clock)
    run.callback.on_train_epoch_start(run.trainer, run.module)
    run.step(0.0, 1.0)
    clock.now += 100.0
    run.callback.on_validation_end(run.trainer, run.module)
    run.step(0.0, 1.0)
    run.step(1.0, 3.0)
    assert run.callback.epoch == Spent(images=4, working=3.0, waiting=1.0)


def test_an_epoch_of_one_step_has_no_speed(clock):
    assert Run(clock).epoch((1.0, 1.0)) == {}
    assert Spent().speed() == {}
