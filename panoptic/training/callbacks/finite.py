"""Steps whose numbers are not finite: they are skipped, counted, and end the run if they come in a row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from panoptic.data import DataModule
from panoptic.errors import NonFiniteError
from panoptic.training.runs import record_event
from panoptic.utils.files import write_json


class Step(NamedTuple):
    """A training step, and its numbers on the device.

    Attributes:
        epoch: Epoch, counted from 0.
        step: Number of steps before it.
        batch: Index of the batch in its epoch.
        names: Names of the images.
        terms: Names of the terms of the loss.
        numbers: Whether it was skipped, how many before it in a row and it are at fault, the norm of the gradient, and
            the terms.
    """

    epoch: int
    step: int
    batch: int
    names: tuple[str, ...]
    terms: tuple[str, ...]
    numbers: Tensor


class Finite(Callback):
    """Callback that skips optimizer steps whose loss or gradient is not finite, and ends the run after some in a row.

    The decision to skip is made on the device, as a gradient scaler makes it, so that such a batch changes no weight.
    With a scaler (``16-mixed``) overflowing gradients are its business: only a loss that is not finite is a fault.
    Numbers are looked at every ``log_every_n_steps`` steps on an accelerator, when the logger waits for them anyway.

    Args:
        folder: Folder of the run.
        limit: Number of faulty steps in a row that end the run; ``None`` never ends it.

    Attributes:
        skipped: Number of steps that were skipped.
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        self.folder = folder
        self.limit = limit
        self.skipped = 0
        self._in_a_row: Tensor | None = None
        self._pending: list[Step] = []
        self._faults: list[Step] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the number of skipped steps."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of skipped steps."""
        self.skipped = int(state_dict["skipped"])

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look whether the numbers are finite, and have the optimizer skip the step if not."""
        terms, names = cast(Any, pl_module).last_step
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = torch.stack([n.float() for n in torch._foreach_norm(gradients)]).norm()
        loss = terms["total"].float()
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        # Gradients are summed up over processes, losses are not: all processes must decide alike.
        finite = norm.isfinite() if trainer.world_size > 1 else norm.isfinite() & loss.isfinite()
        skip = 1 - finite.float()
        fault = 1 - loss.isfinite().float() if scaled else skip
        before = torch.zeros_like(fault) if self._in_a_row is None else self._in_a_row
        self._in_a_row = (before + 1) * fault
        numbers = torch.stack([skip, self._in_a_row, norm, *(value.float() for value in terms.values())])
        batch = trainer.fit_loop.batch_idx
        self._pending.append(Step(trainer.current_epoch, trainer.global_step, batch, names, tuple(terms), numbers))
        on_cpu = numbers.device.type == "cpu"
        if not scaled:  # a scaler sets the same attribute
            found = skip if not on_cpu or bool(skip) else None
            vars(trainer.optimizers[0])["found_inf"] = found
        if on_cpu or len(self._pending) >= cast(Any, trainer).log_every_n_steps:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the remaining steps, and log how many were skipped."""
        self._look(trainer)
        pl_module.log("train/skipped_steps", float(self.skipped), sync_dist=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the run if the losses of a validation are not finite."""
        self._look(trainer)
        losses = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("val/loss")}
        faulty = [name for name, value in losses.items() if not math.isfinite(value)]
        if faulty and self.limit is not None:
            self._end(trainer, {"epoch": trainer.current_epoch + 1, "step": trainer.global_step, "term": faulty[-1]})

    def _look(self, trainer: Trainer) -> None:
        """Fetch the numbers of the pending steps, and end the run if too many in a row are at fault."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        for step, numbers in zip(pending, torch.stack([s.numbers for s in pending]).tolist(), strict=True):
            skip, in_a_row, norm, *terms = numbers
            self.skipped += int(skip)
            if in_a_row == 0:
                self._faults = []
                continue
            self._faults = [*self._faults, step][: self.limit or 1]
            if self.limit is not None and in_a_row >= self.limit:
                self._end_at(trainer, norm, dict(zip(step.terms, terms, strict=True)), int(in_a_row))

    def _end_at(self, trainer: Trainer, norm: float, terms: Mapping[str, float], in_a_row: int) -> NoReturn:
        """End the run for the first of the faulty steps; since then, no weight has changed."""
        first = self._faults[0]
        values = first.numbers.tolist()[3:]
        faulty = [n for n, value in zip(first.terms, values, strict=True) if not math.isfinite(value) and n != "total"]
        data: DataModule = cast(Any, trainer).datamodule
        keys = data.keys_of(first.epoch, first.batch)
        about = {
            "epoch": first.epoch + 1,
            "step": first.step,
            "in_a_row": in_a_row,
            "term": faulty[0] if faulty else "the gradient" if not math.isfinite(norm) else "total",
            "images": list(first.names),
            "keys": [list(key) for key in keys],
        }
        self._end(trainer, about)

    def _end(self, trainer: Trainer, about: dict[str, Any]) -> NoReturn:
        checkpoint = self.folder / "nonfinite.ckpt"
        trainer.save_checkpoint(checkpoint)
        if trainer.is_global_zero:
            write_json(self.folder / "nonfinite.json", about)
            record_event(self.folder, "nonfinite", **about)
        images = f", images {', '.join(about['images'])}" if "images" in about else ""
        repeat = f"; python -m panoptic.training.replay {checkpoint} repeats the step" if "keys" in about else ""
        raise NonFiniteError(
            f"{about['term']}: expected finite numbers, got others in epoch {about['epoch']}, step {about['step']}"
            f"{images}; a lower optimizer.lr may help. {self.folder / 'nonfinite.json'} has the details{repeat}"
        )

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Mark the run if it ended elsewhere for such numbers."""
        path = self.folder / "nonfinite.json"
        if isinstance(exception, NonFiniteError) and trainer.is_global_zero and not path.exists():
            about = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step, "reason": str(exception)}
            write_json(path, about)
            record_event(self.folder, "nonfinite", **about)
