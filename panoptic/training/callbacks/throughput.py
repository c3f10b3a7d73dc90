"""How fast training goes, and what it waits for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


@dataclass
class Spent:
    """Images, and the seconds that went into them."""

    images: int = 0
    working: float = 0.0
    waiting: float = 0.0

    def speed(self) -> dict[str, float]:
        """Images per second and the share of the time spent waiting; nothing where no time was spent."""
        seconds = self.working + self.waiting
        if seconds == 0:
            return {}
        return {"images_per_second": self.images / seconds, "share_waiting_for_data": self.waiting / seconds}


class Throughput(Callback):
    """Logs training images per second and the share of the time in which a step waits for its batch, by epoch.

    Both are of this process, over the training steps of the epoch without the first, which waits for workers to start;
    validation is left out. On an accelerator the host runs ahead of the device, so that the share is an upper bound: a
    batch that the host waits for may come before the device has run out of work.

    Attributes:
        first_step_at: when the first step began, in seconds since 1970; ``None`` before that.
        epoch: what the steps of this epoch took so far.
        total: the same of all epochs.
    """

    def __init__(self) -> None:
        self.first_step_at: float | None = None
        self.epoch, self.total = Spent(), Spent()
        self._started: float = 0.0
        self._ended: float | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epoch, self._ended = Spent(), None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._ended = None  # validation amid an epoch is not waiting

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.first_step_at = self.first_step_at or time.time()
        self._started = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        ended = time.monotonic()
        if self._ended is not None:
            for spent in (self.epoch, self.total):
                spent.images += len(batch.names)
                spent.waiting += self._started - self._ended
                spent.working += ended - self._started
        self._ended = ended

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log_dict({f"speed/{name}": value for name, value in self.epoch.speed().items()}, sync_dist=True)
        if pl_module.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(pl_module.device) / 2**30
            pl_module.log("speed/peak_memory_gib", peak, sync_dist=True, reduce_fx="max")
