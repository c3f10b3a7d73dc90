"""``full`` on its scenes for as many steps as there is time for, then its ablation, each with its scores."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.record import Record
from benchmarks.gpu.runs import OutOfTime, speed_of_run, train
from benchmarks.gpu.setting import SHORT_RUN, Setting

VARIANTS = {"adaptive": "ablation=off", "uniform": "ablation=on"}
SCORES = (
    "pq",
    "sq",
    "rq",
    "pq_things",
    "pq_stuff",
    "boundary_pq",
    "boundary_f1",
    "mean_iou",
)
EPOCHS = 8
"""That a run is cut into."""
MOST_STEPS = 20_000
"""Of a run: as many as the experiment has."""
BESIDE = 40.0
"""Seconds that a run takes beside its steps: to start, to paint the scenes, to score."""
POINTS = 60
"""Of a loss curve."""
MARGIN = 0.92
"""Share of the steps for which there seems to be time that are made."""


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
    """Time a short run, then train and score each variant in an equal share of the time."""
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
    for i, variant in enumerate(plan.variants):
        seconds = record.left() / (len(plan.variants) - i)
        epochs, size = planned(setting, speed["images_per_second"], seconds, plan.steps)
        folder = setting.folder / "runs" / variant
        record.measure(
            variant,
            lambda f=folder, v=variant, e=epochs, n=size, s=seconds: scored_run(setting, f, v, e, n, overrides, s),
        )
        record.measure(f"{variant}, loss", lambda f=folder: loss_curve(f))
        weights = setting.folder / f"full_{variant}.ckpt"
        record.measure(f"{variant}, checkpoint, MB", lambda f=folder, w=weights: save_weights(f, w))
        shutil.rmtree(folder.parent, ignore_errors=True)


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
    return figures(folder) | {"steps asked for": epochs * size // setting.run_batch, "stopped": stopped}


def figures(folder: Path) -> dict[str, Any]:
    """What a run's folder says, as far as it came."""
    found: dict[str, Any] = {}
    if (folder / "summary.json").is_file():
        summary = json.loads((folder / "summary.json").read_text())
        kept = ("steps", "epochs", "seconds", "training", "precision", "device", "versions", "parameters")
        found |= {name: summary[name] for name in kept}
        found["config"] = {key: summary["config"][key] for key in ("optimizer", "data", "curriculum", "loss", "seed")}
        found["val"] = {name: summary["last"][f"val/{name}"] for name in SCORES}
    scores = folder / "evaluate_test" / "scores.json"
    if scores.is_file():
        test = json.loads(scores.read_text())
        found["test"] = {name: test["all"][name] for name in ("pq", "sq", "rq")}
        found["test"] |= {f"pq_{group}": test[group]["pq"] for group in ("things", "stuff")}
        found["test"] |= {"boundary_pq": test["boundary_pq"]["all"]["pq"]}
        found["test"] |= {name: test[name] for name in ("boundary_f1", "mean_iou")}
        found["test images"], found["fusion"] = test["images"], test["fusion"]
    return found


def loss_curve(folder: Path) -> list[tuple[int, float]]:
    """Step and training loss, means over equal stretches of the run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = {file.parent for file in folder.rglob("events.out.tfevents.*")}
    accumulator = EventAccumulator(str(events), size_guidance={"scalars": 0})
    accumulator.Reload()
    points = accumulator.Scalars("train/loss")
    stretch = max(-(-len(points) // POINTS), 1)
    parts = [points[i : i + stretch] for i in range(0, len(points), stretch)]
    return [(part[-1].step, sum(point.value for point in part) / len(part)) for part in parts]


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
