"""Lightning's trainer and the callbacks of a run."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from omegaconf import DictConfig, OmegaConf

from panoptic.config.composing import build
from panoptic.errors import InputError, expect_at_least
from panoptic.training.callbacks.calibration import Calibration
from panoptic.training.callbacks.checkpoints import Checkpoints
from panoptic.training.callbacks.finite import Finite
from panoptic.training.callbacks.fusion import FusionMonitor
from panoptic.training.callbacks.interruptions import Interruptions, seconds_of
from panoptic.training.callbacks.limit import ThingLimit
from panoptic.training.callbacks.patience import Patience
from panoptic.training.callbacks.pictures import Pictures
from panoptic.training.callbacks.progress import progress_callbacks
from panoptic.training.callbacks.summary import Summary
from panoptic.training.callbacks.throughput import Throughput
from panoptic.training.checkpoint_plugin import AtomicCheckpointIO
from panoptic.training.dashboard import build_logger
from panoptic.training.resuming import Start
from panoptic.utils.precision import has_fast_bfloat16


def build_trainer(config: DictConfig, folder: Path, first_step: int = 0) -> Trainer:
    """Build Lightning's trainer, without its progress bar and checkpoints: the run's callbacks do both.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        first_step: Step that training begins with; what the dashboard has from there on is replaced.

    Raises:
        InputError: If the trainer does not take its settings.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # tips, and what was looked for and not found
    settings = cast("dict[str, Any]", OmegaConf.to_container(config.trainer, resolve=True))
    settings.pop("nonfinite", None)  # of the callback
    if settings.get("precision") == "auto":
        settings["precision"] = default_precision(settings.get("accelerator", "auto"))
    _check_settings(settings)
    _check_devices(settings)
    # A run too short for its first validation would end without a score and without a best checkpoint.
    settings["check_val_every_n_epoch"] = min(settings["check_val_every_n_epoch"], settings["max_epochs"])
    settings |= {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}
    settings |= {"num_sanity_val_steps": 0, "use_distributed_sampler": False}  # the sampler takes its own share
    plugins: list[Any] = [AtomicCheckpointIO()]
    if SLURMEnvironment.detect() and not TorchElasticEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))
    # Lightning goes on from files named hpc_ckpt_* in its root, which would be the current folder.
    settings |= {"plugins": plugins, "default_root_dir": folder}
    try:
        return Trainer(**settings, logger=build_logger(config, folder, first_step) or False)
    except InputError:
        raise
    except Exception as error:  # Lightning's MisconfigurationException is no more than that
        raise InputError(f"trainer: expected settings that Lightning's Trainer takes: {error}") from error


OWN = (
    *("plugins", "callbacks", "logger", "default_root_dir", "enable_progress_bar", "enable_checkpointing"),
    *("enable_model_summary", "num_sanity_val_steps", "use_distributed_sampler", "barebones"),
    *("reload_dataloaders_every_n_epochs",),
)
"""Settings of Lightning's trainer that are not to be chosen."""


def _check_settings(settings: Mapping[str, Any]) -> None:
    """Raise for settings that Lightning takes and that do not work here.

    Raises:
        InputError: If there is one.
    """
    for key in OWN:
        if key in settings:
            raise InputError(f"trainer.{key}: expected none, since a run sets it itself")
    if settings.get("overfit_batches"):
        raise InputError(
            "trainer.overfit_batches: expected none, since a sample depends on the epoch as well; a small data set "
            "does it (data.train_size for synthetic scenes), with data.epoch_size for longer epochs"
        )
    if settings.get("accumulate_grad_batches") is not None:
        accumulated = settings["accumulate_grad_batches"]
        if not isinstance(accumulated, int):
            raise InputError(f"trainer.accumulate_grad_batches: expected a whole number, got {accumulated!r}")
        expect_at_least(1, trainer__accumulate_grad_batches=accumulated)
    if settings.get("gradient_clip_val") is not None:
        expect_at_least(0, trainer__gradient_clip_val=settings["gradient_clip_val"])
    strategy = str(settings.get("strategy", "auto"))
    if any(word in strategy for word in ("spawn", "fork", "notebook")):
        raise InputError(
            f"trainer.strategy: expected ddp or auto, with processes that torchrun or SLURM starts, got {strategy!r}"
        )


def _check_devices(settings: Mapping[str, Any]) -> None:
    """Raise for more processes on a CPU than it has processors, which would each take the memory of a run.

    Raises:
        InputError: If there are more than that, and more than two.
    """
    on_cpu = settings.get("accelerator") == "cpu" or not torch.cuda.is_available()
    devices, most = str(settings.get("devices")), max(2, os.cpu_count() or 1)
    count = int(devices) if devices.isdecimal() else 1
    if on_cpu and count > most:
        raise InputError(f"trainer.devices: expected at most {most} processes on this machine's CPU, got {count}")


def default_precision(accelerator: str) -> str:
    """Return half precision where the device computes in it, else single."""
    if torch.cuda.is_available() and accelerator in ("auto", "gpu", "cuda"):
        return "16-mixed"
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    return "bf16-mixed" if on_cpu and has_fast_bfloat16("cpu") else "32-true"


def build_callbacks(start: Start, folder: Path, record: Mapping[str, Any]) -> list[Callback]:
    """Build the callbacks of a run.

    Args:
        start: What the run begins from.
        folder: Folder of the run.
        record: Record that is stored in checkpoints.
    """
    config = start.config
    callbacks: list[Callback] = [build(config.curriculum), Pictures(config.callbacks.pictures), *progress_callbacks()]
    patience = None if config.callbacks.patience is None else Patience(folder, config.callbacks.patience)
    if patience is not None:
        callbacks.append(patience)
    if config.logger._target_ is not None:
        callbacks.append(LearningRateMonitor("step"))
    throughput = Throughput()
    finite = Finite(folder, config.trainer.nonfinite)
    checkpoints = Checkpoints(folder, start.best_scores)
    callbacks += [FusionMonitor(), ThingLimit(config.codec.max_things), Calibration()]
    every = config.checkpoint.every
    interruptions = Interruptions(checkpoints, None if every is None else seconds_of(every))
    summary = Summary(folder, record, checkpoints, throughput, finite, patience)
    # Checkpoints come last, so that nothing is saved of a run that a callback ends.
    return [*callbacks, throughput, finite, summary, interruptions, checkpoints]
