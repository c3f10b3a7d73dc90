"""Runs that a signal ends: they save their state within the epoch, and go on as if nothing had been."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import torch

from panoptic.commands.app import command
from panoptic.commands.train import train
from panoptic.data.sampler import KeySampler
from panoptic.errors import InputError
from panoptic.training.callbacks.interruptions import Interruptions, seconds_of
from panoptic.training.callbacks.throughput import Throughput
from tests.reliability.test_one_folder import scalars
from tests.reliability.tiny_runs import TINY, history, run, same, summary, weights


def signalled(step: int, number: int, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """A run that gets a signal within a step, counted from 0, and its status."""

    def send(self: Throughput, trainer, module, batch, batch_idx) -> None:
        original(self, trainer, module, batch, batch_idx)
        if trainer.global_step == step and not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    sent: list[int] = []
    original = Throughput.on_train_batch_start
    with monkeypatch.context() as patch:
        patch.setattr(Throughput, "on_train_batch_start", send)
        with pytest.raises(SystemExit) as ended:
            command("train", train, arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def position() -> tuple[int, int]:
    """Steps and finished epochs of the last checkpoint."""
    content = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    return content["global_step"], content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]


@pytest.mark.slow
def test_nothing_is_repeated_or_skipped_after_three_signals(unbroken, monkeypatch, capsys):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    assert signalled(1, signal.SIGTERM, monkeypatch, *TINY, "hydra.run.dir=run") == 143
    assert position() == (2, 0)
    assert "panoptic: stopped by SIGTERM; its state is saved, and resume=" in capsys.readouterr().err
    assert signalled(5, signal.SIGINT, monkeypatch, "resume=run", "data.workers=1") == 130
    assert position() == (6, 1)
    assert signalled(7, signal.SIGUSR1, monkeypatch, "resume=run") == 138  # in the last step of an epoch
    assert position() == (8, 2)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == before
    run("resume=run", "data.workers=0")
    assert same(weights("run"), weights(unbroken))
    assert same(weights("run", "best"), weights(unbroken, "best"))
    for key in ("epochs", "steps", "best", "last"):
        assert summary("run")[key] == summary(unbroken)[key], key
    assert scalars(Path("run")) == scalars(unbroken)
    stops = [e["signal"] for e in history("run") if e["event"] == "stop"]
    assert stops == ["SIGTERM", "SIGINT", "SIGUSR1"]


@pytest.mark.soak
def test_a_run_killed_after_an_interval_loses_the_steps_since(unbroken, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(self, trainer, module, batch, batch_idx) -> None:
        if trainer.global_step == 7:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Interruptions, "on_train_batch_start", kill)
        with pytest.raises(Killed):
            run(*TINY, "checkpoint.every=0s", "hydra.run.dir=run")
    assert position() == (7, 1)
    run("resume=run")
    assert same(weights("run"), weights(unbroken))


@pytest.mark.soak
def test_accumulated_gradients_are_not_cut(monkeypatch):
    settings = (*TINY, "trainer.max_epochs=1", "data.train_size=10", "+trainer.accumulate_grad_batches=2")
    run(*settings, "hydra.run.dir=whole")
    assert signalled(0, signal.SIGTERM, monkeypatch, *settings, "hydra.run.dir=run") == 143
    assert position() == (1, 0)
    run("resume=run")
    assert same(weights("run"), weights("whole"))


SLURM = {
    **{"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"},
    **{"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NNODES": "1"},
}


@pytest.mark.soak
def test_slurm_queues_the_job_again_and_nothing_is_left_or_read_elsewhere(unbroken, monkeypatch, capsys):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    Path("bin").mkdir()
    Path("bin/scontrol").write_text('#!/bin/sh\necho "$@" > asked.txt\n')
    Path("bin/scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", "bin", prepend=os.pathsep)
    shutil.copy(unbroken / "checkpoints" / "last.ckpt", "hpc_ckpt_1.ckpt")  # of somebody else
    assert signalled(2, signal.SIGUSR1, monkeypatch, *TINY, "resume=auto", "hydra.run.dir=runs/run") == 138
    assert Path("asked.txt").read_text() == "requeue 7\n"
    assert "job 7 is queued again" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["asked.txt", "bin", "hpc_ckpt_1.ckpt", "runs"]
    Path("asked.txt").unlink()
    assert signalled(4, signal.SIGTERM, monkeypatch, *TINY, "resume=auto", "hydra.run.dir=runs/run") == 143
    assert not Path("asked.txt").exists()
    run(*TINY, "resume=auto", "hydra.run.dir=runs/run")
    assert same(weights("runs/run"), weights(unbroken))


def test_a_resumed_epoch_gives_the_remaining_keys():
    def keys(epoch: int, skipped: int = 0, rank: int = 0) -> list:
        sampler = KeySampler(7, seed=1, strength=lambda epoch: 1.0, epoch_size=10, rank=rank, world=2)
        sampler.skip(2, skipped)
        sampler.set_epoch(epoch)
        assert len(sampler) == 5
        return list(sampler)

    for rank in (0, 1):
        assert keys(2, 2, rank) == keys(2, 0, rank)[2:]
        assert keys(3, 2, rank) == keys(3, 0, rank)


def test_durations():
    assert [seconds_of(text) for text in ("90s", "10min", "1.5h", "0s")] == [90, 600, 5400, 0]
    for text in ("10", "min", "-1s", "1d"):
        with pytest.raises(InputError, match=r"checkpoint.every: expected a duration"):
            seconds_of(text)
