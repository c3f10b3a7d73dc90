"""Two processes, as torchrun starts them, on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY = (
    "model.backbone.name=test_resnet",
    *("data.height=64", "data.width=128", "data.crop=[64,128]", "data.workers=0", "data.batch_size=2"),
    *("data.train_size=6", "data.val_size=3", "data.test_size=1", "data.epoch_size=10"),
    *("callbacks.pictures=1", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.max_epochs=1"),
)


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_processes_train_together_and_score_like_one(tmp_path: Path) -> None:
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
    said = run(*torchrun, "panoptic.train", "experiment=quick", *TINY, "hydra.run.dir=run", cwd=tmp_path)
    assert "2 x cpu" in said
    assert said.count("epoch 1/1") == 1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["steps"] == 2  # five samples for each process, in batches of two
    arguments = ("checkpoint=run/checkpoints/last.ckpt", "split=val", "output=out")
    run("panoptic.evaluate", *arguments, cwd=tmp_path)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    for name in ("pq", "sq", "rq"):
        assert summary["last"][f"val/{name}"] == pytest.approx(scores["all"][name], abs=1e-6)
    assert summary["last"]["val/mean_iou"] == pytest.approx(scores["mean_iou"], abs=1e-6)
