"""Real runs: commands of the project in separate processes with a time limit."""

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
"""Seconds from the signal to stop until a run is killed."""


class OutOfTime(RuntimeError):
    """Command that exceeded its time limit."""


def command(module: str, *arguments: str, seconds: float) -> str:
    """Run a command of the project, and return its output.

    Args:
        module: Module of the command.
        arguments: Arguments of the command line.
        seconds: Time limit.

    Raises:
        OutOfTime: If the command exceeded its time limit and was stopped.
        RuntimeError: If the command failed.
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
        output, _ = process.communicate(timeout=max(seconds - GRACE, 1.0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        raise OutOfTime(f"{module}: stopped after {seconds - GRACE:.0f} s: {without_paths(output)[-2000:]}") from None
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}: {output[-4000:]}")
    return output


def train(setting: Setting, folder: Path, *overrides: str, seconds: float) -> dict[str, Any]:
    """Train ``full`` in a folder, and return its summary."""
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
    """Measure images per second and the share of time that steps wait for data, in a run that is deleted."""
    folder = setting.work / "short"
    try:
        summary = train(setting, folder, *overrides, seconds=seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {name: summary["training"][name] for name in ("images_per_second", "share_waiting_for_data")} | {
        "seconds": summary["seconds"],
        "precision": summary["precision"],
    }
