"""A budget of time: steps by hand, a stopwatch with a clock of its own, and a tiny run."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer

from panoptic.errors import InputError
from panoptic.training.budget import RESERVE, Pace, Stopwatch, batches_within
from tests.commands.small_runs import TINY, run


@pytest.mark.parametrize(
    ("seconds", "pace", "epochs", "validations", "batches"),
    [
        (1000, Pace(1.0, 0.0), 1, 1, 970),
        (1000, Pace(1.0, 0.0), 4, 1, 242),
        (1000, Pace(0.5, 85.0), 4, 2, 400),
        (1000, Pace(0.5, 85.0), 4, 4, 315),
    ],
)
def test_steps_and_validations_fill_the_time(seconds, pace, epochs, validations, batches) -> None:
    assert batches_within(seconds, pace, epochs=epochs, validations=validations) == batches
    spent = epochs * batches * pace.batch + validations * pace.validation
    assert 0 <= (1 - RESERVE) * seconds - spent < epochs * pace.batch


def test_too_little_time_is_told_with_what_it_takes() -> None:
    for_the_rest = r"107 s for a step of each epoch \(4\) and the validations \(2, each 50\.0 s\)"
    with pytest.raises(
        InputError, match=rf"at least 107 s, 0 s to start .* and {for_the_rest}, got 97 s; fewer trainer.max_epochs"
    ):
        batches_within(97, Pace(1.0, 50.0), epochs=4, validations=2)
    with pytest.raises(InputError, match=rf"at least 172 s, 65 s to start .* and {for_the_rest}, got 60 s"):
        batches_within(-5, Pace(1.0, 50.0), epochs=4, validations=2, spent=65)


def test_the_stopwatch_leaves_out_what_comes_before_a_first_batch() -> None:
    times = iter([10.0, 11.0, 13.0, 16.0, 100.0, 100.5, 101.5])
    stopwatch = Stopwatch(clock=lambda: next(times))
    trainer, module = Mock(spec=Trainer), Mock(spec=LightningModule, device=torch.device("cpu"))
    for i in range(4):
        stopwatch.on_train_batch_end(trainer, module, None, None, i)
    stopwatch.on_validation_start(trainer, module)
    for i in range(3):
        stopwatch.on_validation_batch_end(trainer, module, None, None, i)
    assert stopwatch.training == [1.0, 2.0, 3.0]
    assert stopwatch.validation == [0.5, 1.0]
    assert stopwatch.pace(prefetched=0, val_batches=10) == Pace(2.0, 7.5)
    assert stopwatch.pace(prefetched=2, val_batches=10) == Pace(3.0, 7.5)
    assert stopwatch.pace(prefetched=5, val_batches=10) == Pace(2.0, 7.5)  # an epoch of few batches


def test_a_run_has_the_steps_that_it_had_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """With a pace of the test's own; the same steps without a budget give the same weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Stopwatch, "pace", lambda self, prefetched, val_batches: Pace(500.0, 0.0))
    small = ["experiment=quick", *TINY, "trainer.max_epochs=2", "data.batch_size=2", "callbacks.pictures=0"]
    run("train", *small, "budget=1h", "hydra.run.dir=timed")
    assert "6 steps, to end within 1h" in capsys.readouterr().out  # 3492 s, less the start, for steps of 500 s
    summary = json.loads(Path("timed/summary.json").read_text())
    assert (summary["steps"], summary["epochs"], summary["config"]["data"]["epoch_size"]) == (6, 2, 6)
    assert yaml.safe_load(Path("timed/config.yaml").read_text())["data"]["epoch_size"] == 6
    events = [json.loads(line) for line in Path("timed/history.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "budget", "end"]
    assert (events[1]["steps"], events[1]["seconds_per_batch"]) == (6, 500.0)

    run("train", *small, "data.epoch_size=6", "hydra.run.dir=counted")
    one, other = (torch.load(f"{run}/checkpoints/last.ckpt", weights_only=True) for run in ("timed", "counted"))
    assert all(torch.equal(value, other["state_dict"][key]) for key, value in one["state_dict"].items())

    run("train", "resume=timed", "trainer.max_epochs=3")
    assert json.loads(Path("timed/summary.json").read_text())["steps"] == 9


@pytest.mark.parametrize("budget", ["soon", "10", "0s", "-5min"])
def test_a_budget_that_is_none_gets_a_sentence(budget: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        run("train", "experiment=quick", f"budget={budget}")
    assert capsys.readouterr().err.startswith("panoptic: budget: expected a ")
