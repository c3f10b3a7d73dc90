"""Signals that end a run: it saves its state first, within an epoch too, and says how to go on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from panoptic.errors import InputError, Stopped
from panoptic.training.callbacks.checkpoints import Checkpoints

SIGNALS = tuple(s for name in ("SIGINT", "SIGTERM", "SIGUSR1") if (s := getattr(signal, name, None)) is not None)
UNITS = {"s": 1, "min": 60, "h": 3600}


LONGEST = 366 * 86400.0
"""Seconds of the longest duration that is taken for one."""


def seconds_of(duration: str, key: str = "checkpoint.every") -> float:
    """Return the seconds of a duration such as ``90s``, ``10min`` or ``2h``.

    Args:
        duration: Text to read.
        key: Key of the configuration that it comes from, for the message.

    Raises:
        InputError: If it is something else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|h)", duration)
    if match is None:
        raise InputError(f"{key}: expected a duration such as 90s, 10min or 2h, got {duration!r}")
    seconds = float(match[1]) * UNITS[match[2]]
    if seconds > LONGEST:
        raise InputError(f"{key}: expected at most a year, got {duration}")
    return seconds


class Interruptions(Callback):
    """Callback that saves ``last.ckpt`` within epochs: after an interval, and when a signal asks the run to end.

    SIGINT (Ctrl-C), SIGTERM and SIGUSR1 end the run after the step that they come in; a second one ends it at once.
    Within the last step of an epoch and its validation, the run ends after the epoch. A checkpoint is saved after steps
    of the optimizer, and not before a validation, so that a resumed run repeats and skips nothing.

    Args:
        checkpoints: Callback that keeps the checkpoints.
        every: Seconds between checkpoints within epochs; ``None`` saves none of these.

    Attributes:
        received: Signal that asked the run to end.
    """

    def __init__(self, checkpoints: Checkpoints, every: float | None) -> None:
        self.checkpoints = checkpoints
        self.every = every
        self.received: int | None = None
        self._is_saved = False
        self._saved_at = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the signals; Lightning restores the handlers of before at the end."""
        self._saved_at = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            os.write(2, b"saving the state of the run, to end after this step; again ends it at once\n")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save a checkpoint if it is time."""
        if not self._can_save(trainer, batch_idx):
            return
        is_due = self.every is not None and time.monotonic() - self._saved_at >= self.every
        if self._agreed(trainer, batch_idx, is_due or self.received is not None):
            self.checkpoints.save_last(trainer)
            self._saved_at = time.monotonic()
            # Other processes may have got the signal.
            self._is_saved = self._agreed(trainer, batch_idx, self.received is not None)

    @staticmethod
    def _can_save(trainer: Trainer, batch_idx: int) -> bool:
        done = batch_idx + 1
        is_last = done >= trainer.num_training_batches
        interval = trainer.val_check_batch
        is_validated = isinstance(interval, int) and interval > 0 and done % interval == 0
        return not is_last and not is_validated and done % trainer.accumulate_grad_batches == 0

    @staticmethod
    def _agreed(trainer: Trainer, batch_idx: int, wish: bool) -> bool:
        """Return whether any process wishes something; several processes ask each other now and then only."""
        if trainer.world_size == 1:
            return wish
        if (batch_idx + 1) % getattr(trainer, "log_every_n_steps", 1):
            return False
        return trainer.strategy.reduce_boolean_decision(wish, all=False)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """End the run once its state is saved, and what was logged of the step is written."""
        if self._is_saved:
            raise Stopped(self.received or signal.SIGTERM)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the run after an epoch within whose end the signal came."""
        received = self.received is not None
        if received if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(received, all=False):
            raise Stopped(self.received or signal.SIGTERM)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the interval from the checkpoint of the epoch."""
        self._saved_at = time.monotonic()


def requeue() -> str | None:
    """Have SLURM queue this job again, and say so; ``None`` without SLURM."""
    job = os.environ.get("SLURM_JOB_ID")
    if "SLURM_ARRAY_JOB_ID" in os.environ and "SLURM_ARRAY_TASK_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    if job is None:
        return None
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"job {job} could not be queued again: scontrol: {error.strerror}"
    if done.returncode:
        return f"job {job} could not be queued again: {done.stderr.strip()}"
    return f"job {job} is queued again"
