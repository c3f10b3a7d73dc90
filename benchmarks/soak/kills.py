"""Processes killed at random moments of a training, and while they save; each training goes on in its folder."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch

import torch

from benchmarks.soak.forking import Process, tell
from benchmarks.soak.records import Row
from benchmarks.soak.setting import STEPS, TINY, run, same, weights
from benchmarks.soak.tables import EQUAL
from panoptic.errors import InputError
from panoptic.training.callbacks.throughput import Throughput
from panoptic.training.checkpoint_plugin import AtomicCheckpointIO
from panoptic.training.resuming import whole_checkpoint

LONGEST = 120.0
"""Seconds after which an attempt hangs."""

PAUSE = 0.04
"""Seconds between the parts of a file that is written slowly."""

PARTS = 8


@dataclass
class Pace:
    """Seconds until the first step, and of an epoch."""

    start: float
    epoch: float


def kill_training(folder: Path, kills: int, saving: int, epochs: int, chance: random.Random) -> tuple[list[Row], dict]:
    """Kill a training again and again, and compare what it ends with to a training that nothing disturbed.

    Args:
        folder: Folder to work in.
        kills: Number of processes to kill.
        saving: Number of those to kill while they save a checkpoint.
        epochs: Epochs of the training.
        chance: Draws the moments.

    Returns:
        A row for each kind of moment, and figures of what was trained again.
    """
    folder.mkdir(parents=True)
    settings = (*TINY, f"trainer.max_epochs={epochs}")
    pace = _unbroken(folder, settings)
    rows = {kind: Row(kind) for kind in ("killed at a random moment", "killed while saving")}
    again: list[int] = []
    finished = 0
    for number in range(kills):
        aimed = chance.random() * (kills - number) < saving - rows["killed while saving"].injected
        reached = _position(folder / "run")[0]
        behind = max(0.0, number * (epochs - 1) / kills - reached)
        slow = 1 + chance.randrange(1 + 2 * round(behind)) if aimed else 0
        process = Process(_watched(_command(folder / "run", settings, chance), slow=slow), folder)
        if aimed:
            events = _kill_while_saving(process, chance, slow)
        else:
            events = _kill_within(process, chance.uniform(0.0, pace.start + pace.epoch * max(0.9, 1 + 2 * behind)))
        outcome = process.wait(LONGEST)
        if outcome.status == 0:  # it was quicker than the kill: another training, for the rest of them
            finished += _is_unbroken(folder)
            shutil.move(folder / "run", folder / f"finished_{number}")
        inside = [e for e in events if e in ("saving", "saved")][-1:] == ["saving"]
        broken = None if outcome.status in (0, -signal.SIGKILL) else f"status {outcome.status}"
        steps = max([int(event.split()[1]) for event in events if event.startswith("step")], default=0)
        if outcome.status and broken is None:
            broken, lost = _loss(folder / "run", steps, reached)
            again.append(lost)
        rows["killed while saving" if inside else "killed at a random moment"].add(
            outcome, broken, f"kill {number}, step {steps}"
        )
    last = Process(_watched(_command(folder / "run", settings, chance)), folder).wait(LONGEST + 10 * epochs)
    equal = last.status == 0 and _is_unbroken(folder)
    if not equal:
        for row in rows.values():
            row.survived = 0
            row.broken.append(f"the last attempt: status {last.status}, other weights: {last.output[-300:]}")
    figures = {
        "epochs": epochs,
        "steps of an epoch": STEPS,
        "trainings": 1 + finished,
        EQUAL: equal,
        "steps trained again after a kill, mean": sum(again) / max(len(again), 1),
        "steps trained again after a kill, most": max(again, default=0),
        "epochs lost beyond the current one": sum(row.lost for row in rows.values()),
    }
    return list(rows.values()), figures


def _unbroken(folder: Path, settings: tuple[str, ...]) -> Pace:
    """Train undisturbed, and measure the pace.

    Raises:
        RuntimeError: If that fails.
    """
    process = Process(_watched((*settings, "hydra.run.dir=unbroken")), folder)
    began, first, last, steps = time.monotonic(), 0.0, 0.0, 0
    while (event := process.event(LONGEST)) is not None:
        if event.startswith("step"):
            last = time.monotonic()
            first = first or last
            steps = int(event.split()[1])
    outcome = process.wait(LONGEST)
    if outcome.status:
        raise RuntimeError(f"expected a whole training, got status {outcome.status}: {outcome.output[-2000:]}")
    return Pace(first - began, (last - first) / max(steps - 1, 1) * STEPS)


def _command(run_folder: Path, settings: tuple[str, ...], chance: random.Random) -> tuple[str, ...]:
    """Return the arguments with which a training goes on, or begins for want of a checkpoint."""
    changes = (f"data.workers={chance.randrange(2)}", f"checkpoint.every={chance.choice(('null', '0s'))}")
    if any((run_folder / "checkpoints").glob("*.ckpt")):
        return (f"resume={run_folder.name}", *changes)
    return (*settings, "resume=auto", f"hydra.run.dir={run_folder.name}", *changes)


def _watched(arguments: tuple[str, ...], *, slow: int = 0) -> Callable[[], None]:
    """Return a task that trains and tells of its steps and its saving, of which that with the number is slow."""
    count: list[int] = []

    def task() -> None:
        def step(self: Throughput, trainer: Any, *others: Any) -> None:
            stepped(self, trainer, *others)
            tell(f"step {trainer.global_step}")

        def save(self: AtomicCheckpointIO, *others: Any, **options: Any) -> None:
            count.append(1)
            tell("saving")
            with _slow_files() if len(count) == slow else nullcontext():
                saved(self, *others, **options)
            tell("saved")

        stepped, saved = Throughput.on_train_batch_end, AtomicCheckpointIO.save_checkpoint
        with (
            patch.object(Throughput, "on_train_batch_end", step),
            patch.object(AtomicCheckpointIO, "save_checkpoint", save),
        ):
            run("train", *arguments)

    return task


class _SlowFile:
    """A file that is written in parts, with pauses."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __enter__(self) -> _SlowFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, content: Any) -> None:
        size = len(content) // PARTS + 1
        for begin in range(0, len(content), size):
            self._file.write(content[begin : begin + size])
            self._file.flush()
            time.sleep(PAUSE)


@contextmanager
def _slow_files() -> Iterator[None]:
    """Slow down what happens to files: writing, flushing and renaming."""

    def slowly(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            time.sleep(PAUSE)
            result = call(*arguments)
            time.sleep(PAUSE)
            return result

        return called

    def slow_open(self: Path, mode: str = "r", *others: Any, **options: Any) -> Any:
        file = opened(self, mode, *others, **options)
        return _SlowFile(file) if mode == "wb" else file

    opened = Path.open
    with (
        patch.object(Path, "open", slow_open),
        patch("os.fsync", slowly(os.fsync)),
        patch("os.replace", slowly(os.replace)),
    ):
        yield


def _kill_within(process: Process, seconds: float) -> list[str]:
    """Kill a process after a time, and return what it told until then."""
    until = time.monotonic() + seconds
    events = []
    while time.monotonic() < until:
        event = process.event(until - time.monotonic())
        if event is not None:
            events.append(event)
        elif time.monotonic() < until:  # it has ended
            break
    process.signal(signal.SIGKILL)
    return [*events, *process.told()]


def _kill_while_saving(process: Process, chance: random.Random, number: int) -> list[str]:
    """Kill a process while it saves for so many times, and return what it told until then."""
    events: list[str] = []
    while events.count("saving") < number:
        event = process.event(LONGEST)
        if event is None:
            break
        events.append(event)
    return [*events, *_kill_within(process, chance.uniform(0.0, PAUSE * (2 * PARTS + 4)))]


def _position(run_folder: Path) -> tuple[float, int]:
    """Return epochs, with their part, and steps of the checkpoint that a run would go on from."""
    try:
        content = torch.load(whole_checkpoint(run_folder)[0], weights_only=True)
    except InputError:
        return 0.0, 0
    return content["global_step"] / STEPS, content["global_step"]


def _loss(run_folder: Path, steps: int, reached: float) -> tuple[str | None, int]:
    """Return the promise that a kill broke, if any, and the number of steps that are to be trained again."""
    epochs, saved = _position(run_folder)
    if epochs < reached:
        return f"an older checkpoint, of epoch {epochs} after {reached}", max(steps - saved, 0)
    if max(steps - 1, 0) // STEPS > saved // STEPS:
        return f"more than the current epoch lost: at step {steps}, saved at {saved}", steps - saved
    return None, max(steps - saved, 0)


def _is_unbroken(folder: Path) -> bool:
    """Return whether a training ended as the one that nothing disturbed."""
    run_folder, unbroken = folder / "run", folder / "unbroken"
    summaries = [json.loads((path / "summary.json").read_text()) for path in (run_folder, unbroken)]
    return (
        all(
            same(*(weights(path / "checkpoints" / f"{name}.ckpt") for path in (run_folder, unbroken)))
            for name in ("last", "best")
        )
        and all(summaries[0][key] == summaries[1][key] for key in ("epochs", "steps", "best", "last"))
        and _dashboard(run_folder) == _dashboard(unbroken)
    )


def _dashboard(run_folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what the dashboard shows of steps and validations."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run_folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith(("speed/", "curriculum/", "epoch", "train/skipped_steps"))
    }
