"""A budget of time: the length of a run from a timed warm-up, so that its schedule ends when the time does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from omegaconf import DictConfig, OmegaConf

from panoptic.data.datamodule import DataModule
from panoptic.errors import InputError
from panoptic.training.callbacks.interruptions import seconds_of
from panoptic.training.module import PanopticModule
from panoptic.training.resuming import Start
from panoptic.training.trainer import build_trainer

WARM_UP = 8
"""Training batches and validation batches that are timed, beside the first ones."""

RESERVE = 0.03
"""Share of the budget for what is not timed: checkpoints and the start of loaders."""


@dataclass(frozen=True)
class Pace:
    """What takes how long.

    Attributes:
        batch: Seconds for a training batch, waiting for data included.
        validation: Seconds for a validation.
    """

    batch: float
    validation: float


def batches_within(seconds: float, pace: Pace, *, epochs: int, validations: int, spent: float = 0.0) -> int:
    """Return the number of training batches in an epoch so that a run takes a given time.

    Args:
        seconds: Time that is left for the run.
        pace: What takes how long.
        epochs: Number of epochs.
        validations: Number of validations.
        spent: Seconds of the budget that are over.

    Raises:
        InputError: If there is no time for one batch an epoch.
    """
    left = seconds * (1 - RESERVE) - validations * pace.validation
    batches = int(left / pace.batch / epochs) if left > 0 else 0
    if batches < 1:
        least = (epochs * pace.batch + validations * pace.validation) / (1 - RESERVE)
        raise InputError(
            f"budget: expected at least {spent + least:.0f} s, {spent:.0f} s to start and to find the pace and "
            f"{least:.0f} s for a step of each epoch ({epochs}) and the validations ({validations}, each "
            f"{pace.validation:.1f} s), got {spent + seconds:.0f} s; fewer trainer.max_epochs take less"
        )
    return batches


@dataclass(eq=False)  # callbacks are told apart, not compared
class Stopwatch(Callback):
    """Callback that times batches, from the end of one to the end of the next.

    Attributes:
        clock: Seconds since any time.
        training: Seconds of training batches, without the first.
        validation: Seconds of validation batches, without the first.
    """

    clock: Callable[[], float] = time.monotonic
    training: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    _ended: float | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Time a training batch."""
        self._add(self.training, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew, since loading starts."""
        self._ended = None

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
        """Time a validation batch."""
        self._add(self.validation, pl_module)

    def _add(self, durations: list[float], module: LightningModule) -> None:
        if module.device.type == "cuda":
            import torch

            torch.cuda.synchronize(module.device)  # the host runs ahead
        now = self.clock()
        if self._ended is not None:
            durations.append(now - self._ended)
        self._ended = now

    def pace(self, prefetched: int, val_batches: int) -> Pace:
        """Return how long batches and validations took.

        Args:
            prefetched: Number of training batches at the beginning that had been loaded while nothing was trained.
            val_batches: Number of batches of a whole validation.
        """
        training = self.training[prefetched:] or self.training
        if not training:
            raise InputError("budget: expected at least two training batches an epoch to time, got fewer images")
        return Pace(statistics.fmean(training), val_batches * statistics.fmean(self.validation or training))


def measure(
    config: DictConfig,
    folder: Path,
    module: LightningModule,
    data: DataModule,
    build: Callable[[DictConfig, Path], Trainer],
    clock: Callable[[], float] = time.monotonic,
) -> Pace:
    """Time a few training and validation batches, and leave weights and random states as they were.

    Args:
        config: Configuration of the run.
        folder: Folder of the run, where nothing is written.
        module: What is trained.
        data: Data of the run.
        build: Builds a trainer from a configuration and a folder.
        clock: Seconds since any time.
    """
    prefetched = 2 * data.workers + 1  # and the first steps, which are slower
    short = config.copy()
    short.logger._target_ = None
    OmegaConf.set_struct(short.trainer, False)
    batches = {"limit_train_batches": prefetched + WARM_UP, "limit_val_batches": WARM_UP}
    short.trainer.update({"max_epochs": 1, "check_val_every_n_epoch": 1, **batches})
    before = {key: value.detach().clone() for key, value in module.state_dict().items()}
    stopwatch = Stopwatch(clock)
    epoch_size, data.epoch_size = data.epoch_size, (prefetched + WARM_UP) * data.batch_size
    with isolate_rng():
        trainer = build(short, folder)
        cast("Any", trainer).callbacks.append(stopwatch)
        try:
            trainer.fit(module, datamodule=data)
        except SystemExit:
            if trainer.interrupted:  # Lightning ends the process, without a word
                raise KeyboardInterrupt from None
            raise
    data.epoch_size = epoch_size
    module.load_state_dict(before)
    val_batches = -(-len(data.val_source) // data.evaluation_batch_size)
    return stopwatch.pace(prefetched, val_batches)


def choose_steps(
    start: Start, folder: Path, trainer: Trainer, module: PanopticModule, data: DataModule, started: float
) -> dict[str, Any]:
    """Set the number of samples in an epoch by the budget of a run, in its configuration, record and data.

    A run that goes on keeps what was chosen at its beginning.

    Args:
        start: What the run begins from.
        folder: Folder of the run.
        trainer: Trainer of the run.
        module: What is trained.
        data: Data of the run.
        started: When the command began, by :func:`time.monotonic`.

    Returns:
        What was chosen and measured, for the history of the run; empty without a budget.

    Raises:
        InputError: If the budget is too small, or there are several processes.
    """
    config = start.config
    if config.budget is None or start.resumed is not None:
        return {}
    if trainer.world_size > 1:
        raise InputError(f"budget: expected one process, got {trainer.world_size}; data.epoch_size sets the steps")
    pace = measure(config, folder, module, data, build_trainer)
    epochs = config.trainer.max_epochs
    validations = epochs // min(config.trainer.check_val_every_n_epoch, epochs)
    spent = time.monotonic() - started
    left = seconds_of(config.budget, "budget") - spent
    batches = batches_within(left, pace, epochs=epochs, validations=validations, spent=spent)
    config.data.epoch_size = data.epoch_size = batches * config.data.batch_size
    module.record["config"]["data"]["epoch_size"] = data.epoch_size
    return {
        "steps": batches * epochs // trainer.accumulate_grad_batches,
        "epoch_size": data.epoch_size,
        "seconds_left": round(left, 1),
        "seconds_per_batch": round(pace.batch, 4),
        "seconds_per_validation": round(pace.validation, 2),
    }
