"""Real runs: the commands of the project, in processes of their own that end in time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.record import CHECKOUT, without_paths
from benchmarks.gpu.setting import Setting

GRACE = 15.0
"""Seconds that a run gets to end once it is told to."""


class OutOfTime(RuntimeError):
    """A command had to be stopped."""


def command(module: str, *arguments: str, seconds: float) -> str:
    """Run a command of the project; return what it printed.

    Raises:
        OutOfTime: if it was still running after so many seconds; it was then asked to end, and ended.
        RuntimeError: if it failed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=max(seconds - GRACE, 1.0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            said, _ = process.communicate(timeout=GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        raise OutOfTime(f"{module}: stopped after {seconds - GRACE:.0f} s: {without_paths(said)[-2000:]}") from None
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}: {said[-4000:]}")
    return said


def train(setting: Setting, folder: Path, *overrides: str, seconds: float) -> dict[str, Any]:
    """Train ``full`` in a folder; return its summary."""
    precision = ["trainer.precision=bf16-mixed"] if setting.hardware.device.type == "cpu" else []
    command(
        "panoptic.train",
        "experiment=full",
        "model.backbone.weights=random",
        f"trainer.accelerator={setting.hardware.device.type.replace('cuda', 'gpu')}",
        "trainer.devices=1",
        *precision,
        *setting.overrides,
        *overrides,
        f"hydra.run.dir={folder}",
        seconds=seconds,
    )
    return json.loads((folder / "summary.json").read_text())


def speed_of_run(setting: Setting, *overrides: str, seconds: float) -> dict[str, float]:
    """Images a second and the share of the time that steps wait for data, of a run that is not kept."""
    folder = setting.work / "short"
    try:
        summary = train(setting, folder, *overrides, seconds=seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {name: summary["training"][name] for name in ("images_per_second", "share_waiting_for_data")} | {
        "seconds": summary["seconds"],
        "precision": summary["precision"],
    }
