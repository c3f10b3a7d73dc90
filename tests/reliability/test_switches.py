"""Settings of Lightning's trainer: each works, or is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from panoptic.commands import app
from tests.reliability.tiny_runs import TINY, refused, run, summary

SHORT = (*TINY, "trainer.max_epochs=1", "hydra.run.dir=run")
REFUSED = {
    "trainer.accelerator=gpu": "trainer: expected settings that Lightning's Trainer takes: ",
    "trainer.accelerator=abacus": "trainer: expected settings that Lightning's Trainer takes: ",
    "trainer.devices=0": "trainer: expected settings that Lightning's Trainer takes: ",
    "+trainer.accumulate_grad_batches=0": "trainer.accumulate_grad_batches: expected at least 1, got 0",
    "+trainer.accumulate_grad_batches=0.5": "trainer.accumulate_grad_batches: expected a whole number, got 0.5",
    "+trainer.overfit_batches=1": "trainer.overfit_batches: expected none",
    "+trainer.strategy=ddp_spawn": "trainer.strategy: expected ddp or auto",
    "+trainer.profiler=nonsense": "trainer: expected settings that Lightning's Trainer takes: ",
    "+trainer.max_time=soon": "trainer: expected settings that Lightning's Trainer takes: ",
    "+trainer.limit_train_batches=-1": "trainer: expected settings that Lightning's Trainer takes: ",
    "+trainer.enable_checkpointing=true": "trainer.enable_checkpointing: expected none",
    "trainer.nonfinite=0": "trainer.nonfinite: expected at least 1, got 0",
}


@pytest.mark.parametrize("switch", REFUSED)
def test_a_setting_that_cannot_work_is_refused(switch, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert REFUSED[switch] in refused(capsys, *SHORT, switch)
    assert not Path("run").exists()


WORKS = {  # and the steps that they leave; settings that do not bear on each other share a run
    "+trainer.fast_dev_run=true": 1,
    "+trainer.limit_train_batches=2 +trainer.limit_val_batches=0": 2,
    "+trainer.val_check_interval=0.5 +trainer.profiler=simple": 4,
    "+trainer.accumulate_grad_batches=3 +trainer.detect_anomaly=true +trainer.max_time=00:01:00:00": 2,
    "+trainer.max_steps=3 +trainer.val_check_interval=2": 3,
}


@pytest.mark.parametrize("switches", WORKS)
def test_settings_that_work(switches, capsys):
    run(*SHORT, *switches.split())
    found = summary("run")
    assert found["steps"] == WORKS[switches]
    assert (found["best_checkpoint"] == "best.ckpt") == ("limit_val" not in switches)
    assert Path("run/checkpoints/last.ckpt").is_file()


def test_a_folder_that_cannot_be_made_is_named(capsys):
    Path("file").touch()
    assert "file/run: expected to read or write it, got: Not a directory" in refused(
        capsys, *TINY, "hydra.run.dir=file/run"
    )


def test_a_folder_that_cannot_be_written_is_named(monkeypatch, capsys):
    def read_only(path: Path, *_: object, **options: object):
        if path.name == ".lock":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *_, **options)

    opened = Path.open
    monkeypatch.setattr(Path, "open", read_only)
    assert "run: expected a folder that can be written, got: Permission denied" in refused(capsys, *SHORT)


def test_a_sweep_under_torchrun_is_refused_by_its_first_process(monkeypatch, capsys):
    monkeypatch.setattr(app, "OTHERS_WAIT", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert "--multirun: expected one process, got 2 of torchrun" in refused(capsys, "--multirun", *TINY, "seed=0,1")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as ended:
        run("--multirun", *TINY, "seed=0,1")
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "")
