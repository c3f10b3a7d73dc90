"""Early stopping: by PQ, from the middle of the schedule on, and with its reason."""

from __future__ import annotations

import json
import math
from unittest.mock import Mock

import torch
from lightning.pytorch import LightningModule, Trainer

from panoptic.training.callbacks.patience import Patience


def ended(callback: Patience, scores: list[float], first: int = 0, of: int = 10) -> int | None:
    """Return the epoch of ``of`` after which the callback ends the run, or ``None``."""
    for epoch, score in enumerate(scores, first):
        trainer = Mock(
            spec=Trainer,
            callback_metrics={} if math.isnan(score) else {"val/pq": torch.tensor(score), "val/loss": -score},
            current_epoch=epoch,
            global_step=10 * (epoch + 1),
            estimated_stepping_batches=10 * of,
            is_global_zero=True,
            should_stop=False,
        )
        callback.on_validation_end(trainer, Mock(spec=LightningModule))
        if trainer.should_stop:
            return epoch + 1
    return None


def test_a_run_without_a_higher_pq_ends_and_says_why(tmp_path, capsys):
    callback = Patience(tmp_path, 3)
    assert ended(callback, [0.1, 0.2, 0.4, 0.3, 0.5, 0.4, 0.5, 0.3, 0.2]) == 8
    reason = "no validation PQ above 0.5000 (epoch 5) in 3 validations, callbacks.patience=3"
    assert callback.reason == reason
    assert capsys.readouterr().out == f"stopped early, after epoch 8: {reason}\n"
    event = json.loads((tmp_path / "history.jsonl").read_text())
    assert (event["event"], event["epochs"], event["reason"]) == ("early_stop", 8, reason)


def test_the_first_half_of_the_schedule_does_not_count(tmp_path):
    falling = [0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert ended(Patience(tmp_path, 2), falling) == 6  # validations 5 and 6 of 10
    assert ended(Patience(tmp_path, 2), falling, of=20) is None
    assert ended(Patience(tmp_path, 0), falling) == 5


def test_a_run_whose_pq_rises_goes_on(tmp_path):
    callback = Patience(tmp_path, 1)
    assert ended(callback, [i / 100 for i in range(10)]) is None
    assert callback.reason is None


def test_a_validation_without_pq_is_one_without_a_higher_one(tmp_path):
    assert ended(Patience(tmp_path, 2), [0.5] + [math.nan] * 9) == 6


def test_a_resumed_run_goes_on_counting(tmp_path):
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.4, 0.4, 0.4]
    before, after = Patience(tmp_path, 3), Patience(tmp_path, 3)
    assert ended(before, scores[:7]) is None
    after.load_state_dict(before.state_dict())
    assert ended(after, scores[7:], first=7) == 8
