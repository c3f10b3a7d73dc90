"""``full`` on its scenes for as many steps as there is time for, then its ablation, each with its scores."""

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
"""That a run is cut into."""
MOST_STEPS = 20_000
"""Of a run: as many as the experiment has."""
BESIDE = 60.0 + GRACE
"""Seconds that a run takes beside its steps: to start, to paint the scenes, to score, and to end if it has to."""
MARGIN = 0.8
"""Share of the steps for which there seems to be time that are made: epochs begin and end more slowly."""


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        variants: names of :data:`VARIANTS`.
        steps: of each; ``None`` makes as many as there is time for.
        overrides: of the runs, beyond the recipe of short runs.
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
    if speed is None:  # what fails in seconds would fail after minutes
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
    """Epochs, and samples in each, that make the steps asked for, or those that there is time for.

    Epochs are few, whatever the number of scenes, since each ends with a checkpoint.
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
    """Train a variant; its scores on val and test, and its speed, as far as it came in its time."""
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
    """Write what evaluation and prediction need of a run's checkpoint, kernels in half precision; return megabytes."""
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
