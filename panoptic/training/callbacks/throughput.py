"""Throughput of training and time spent waiting for data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


@dataclass
class Spent:
    """Number of images, and the seconds spent on them.

    Attributes:
        images: Number of images.
        working: Seconds spent in training steps.
        waiting: Seconds spent waiting for batches.
    """

    images: int = 0
    working: float = 0.0
    waiting: float = 0.0

    def speed(self) -> dict[str, float]:
        """Return images per second and the share of time spent waiting; empty if no time was spent."""
        seconds = self.working + self.waiting
        if seconds == 0:
            return {}
        return {"images_per_second": self.images / seconds, "share_waiting_for_data": self.waiting / seconds}


class Throughput(Callback):
    """Callback that logs images per second and the share of time that training steps wait for data, per epoch.

    Both are measured in each process over the training steps of an epoch, without validation and without the first
    step, which waits for workers to start. On an accelerator the host runs ahead of the device, so the share is an
    upper bound: a batch that the host waits for may arrive before the device runs out of work.

    Attributes:
        first_step_at: Start of the first step, in seconds since 1970; ``None`` before it.
        epoch: Images and time of the current epoch.
        total: Images and time of all epochs.
    """

    def __init__(self) -> None:
        self.first_step_at: float | None = None
        self.epoch, self.total = Spent(), Spent()
        self._started: float = 0.0
        self._ended: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Reset the measurements of the epoch."""
        self.epoch, self._ended = Spent(), None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Exclude the validation from the waiting time of the next step."""
        self._ended = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the start of the step."""
        self.first_step_at = self.first_step_at or time.time()
        self._started = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the time of the step, unless it is the first of the epoch."""
        ended = time.monotonic()
        if self._ended is not None:
            for spent in (self.epoch, self.total):
                spent.images += len(batch.names)
                spent.waiting += self._started - self._ended
                spent.working += ended - self._started
        self._ended = ended

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the throughput of the epoch, and on CUDA the peak memory."""
        pl_module.log_dict({f"speed/{name}": value for name, value in self.epoch.speed().items()}, sync_dist=True)
        if pl_module.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(pl_module.device) / 2**30
            pl_module.log("speed/peak_memory_gib", peak, sync_dist=True, reduce_fx="max")
