"""Training and scoring of ``full`` and its ablation on synthetic scenes, with as many steps as time allows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.record import Record
from benchmarks.gpu.runs import GRACE, OutOfTime, speed_of_run, train
from benchmarks.gpu.setting import SHORT_RUN, Setting
from benchmarks.recording import figures_of_run, loss_curve

VARIANTS = {"adaptive": "ablation=off", "uniform": "ablation=on"}
EPOCHS = 8
"""Number of epochs of a run."""

MOST_STEPS = 20_000
"""Maximum number of steps of a run, equal to that of the experiment."""

BESIDE = 60.0 + GRACE
"""Seconds of a run in addition to its steps: to start, render the scenes, score, and stop if necessary."""

MARGIN = 0.8
"""Fraction of the estimated number of steps to run, since epochs start and end more slowly."""


@dataclass(frozen=True)
class Plan:
    """Runs to train.

    Attributes:
        variants: Names in :data:`VARIANTS`.
        steps: Number of steps per run; ``None`` uses as many as time allows.
        overrides: Overrides in addition to the recipe of short runs.
    """

    variants: tuple[str, ...] = tuple(VARIANTS)
    steps: int | None = None
    overrides: tuple[str, ...] = ()


def run(record: Record, setting: Setting, plan: Plan | None = None) -> None:
    """Time a short run, then train and score each variant for the same number of steps."""
    plan = plan or Plan()
    overrides = (*SHORT_RUN, "data.cache=true", f"data.batch_size={setting.run_batch}", *plan.overrides)
    short = (*setting.short, *overrides, "evaluation.split=test", "evaluation.predictions=false")
    speed = record.measure(
        "timed warm-up, scenes kept in memory", lambda: speed_of_run(setting, *short, seconds=record.left() / 3)
    )
    if speed is None:  # longer runs would fail as well
        record.left_out["runs"] = "the timed warm-up failed"
        record.write()
        return
    share = record.left() / len(plan.variants)
    epochs, size = planned(setting, speed["images_per_second"], share, plan.steps)
    for i, variant in enumerate(plan.variants):
        seconds = record.left() / (len(plan.variants) - i)
        folder = setting.work / variant
        record.measure(
            variant,
            partial(scored_run, setting, folder, variant, epochs, size, overrides, seconds),
        )
        record.measure(f"{variant}, loss", partial(loss_curve, folder))
        weights = setting.folder / f"full_{variant}.ckpt"
        record.measure(f"{variant}, checkpoint, MB", partial(save_weights, folder, weights))
        shutil.rmtree(folder, ignore_errors=True)


def planned(setting: Setting, rate: float, seconds: float, steps: int | None) -> tuple[int, int]:
    """Compute the number of epochs and of samples per epoch.

    There are few epochs, whatever the number of scenes, since each ends with a checkpoint.

    Args:
        setting: Setting of the benchmark.
        rate: Training speed in images per second.
        seconds: Available time.
        steps: Number of steps; ``None`` uses as many as time allows.
    """
    if steps is None:
        seconds -= 0.0 if setting.tiny else BESIDE
        steps = min(int(MARGIN * rate * max(seconds, 1.0) / setting.run_batch), MOST_STEPS)
    epochs = 1 if setting.tiny else EPOCHS
    in_epoch = max(steps // epochs, 1)
    if setting.tiny:
        in_epoch = min(in_epoch, 4)
    return epochs, in_epoch * setting.run_batch


def scored_run(
    setting: Setting, folder: Path, variant: str, epochs: int, size: int, overrides: tuple[str, ...], seconds: float
) -> dict[str, Any]:
    """Train a variant, and return its speed and its scores on val and test, as far as it got within the time limit."""
    sizes = (f"data.{split}_size={count}" for split, count in setting.scenes.items())
    stopped = None
    try:
        train(
            setting,
            folder,
            VARIANTS[variant],
            *sizes,
            *overrides,
            f"data.epoch_size={size}",
            f"trainer.max_epochs={epochs}",
            f"trainer.check_val_every_n_epoch={epochs}",
            "callbacks.patience=null",
            "evaluation.split=test",
            "evaluation.predictions=false",
            seconds=seconds,
        )
    except OutOfTime as error:
        stopped = str(error)
    return figures_of_run(folder) | {"steps asked for": epochs * size // setting.run_batch, "stopped": stopped}


def save_weights(folder: Path, target: Path) -> float:
    """Write the parts of a checkpoint needed for evaluation, with kernels in half precision; return megabytes."""
    content = torch.load(folder / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True)
    weights = {
        name: value.half() if value.ndim > 1 and value.is_floating_point() else value
        for name, value in content["state_dict"].items()
        if name.startswith("network.")
    }
    epochs = content["loops"]["fit_loop"]["epoch_progress"]
    kept = {"panoptic": content["panoptic"], "state_dict": weights, "loops": {"fit_loop": {"epoch_progress": epochs}}}
    torch.save(kept, target)
    return target.stat().st_size / 1e6
