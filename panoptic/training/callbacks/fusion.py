"""Monitor of adaptive fusion: whether its weights α vary over images, and the layers that compute them learn."""

from __future__ import annotations

from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from panoptic.models.units import HiddenUnits
from panoptic.training.module import Evaluated

STATIC = 0.005
"""Standard deviation of α over images below which fusion is called static."""

ENOUGH = 8
"""Smallest number of images whose deviation says something."""

ENOUGH_STEPS = 100
"""Smallest number of steps after which a small deviation is remarked on: weights begin nearly uniform."""


class FusionMonitor(Callback):
    """Callback that logs how α varies over validation images, and warns at the end if it does not.

    ``val/alpha_std_P2`` and so on are the standard deviations of α over images, ``val/alpha_active_units`` is the share
    of active hidden units (see :mod:`panoptic.models.units`), and ``train/alpha_gradient`` the norm of the gradient of
    the layer that computes the logits. The last two are logged for fusions with an MLP only. With several processes,
    each value is the mean over their shares of the images.
    """

    def __init__(self) -> None:
        self._alpha: list[Tensor] = []
        self._units: HiddenUnits | None = None
        self._std: list[float] = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Log the norm of the gradient of the logits."""
        logits = getattr(_fusion(pl_module), "logits", None)
        if not isinstance(logits, nn.Module):
            return
        gradients = [p.grad.float() for p in logits.parameters() if p.grad is not None]
        if not gradients:
            return
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            norm = norm / scaler.scale(torch.ones_like(norm))  # optimizers of this kind unscale in their step
        pl_module.log("train/alpha_gradient", norm)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to record."""
        self._alpha.clear()
        self._units = HiddenUnits(_fusion(pl_module))

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Watch the hidden units, in batches alone: other callbacks use the network too."""
        if self._units is not None:
            self._units.__enter__()

    def on_validation_batch_end(  # type: ignore[override]  # the outputs are those of validation_step
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Evaluated,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the weights of the images."""
        self._stop()
        self._alpha.append(outputs.outputs.alpha_of_image.detach().float())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log deviations and the share of active units."""
        units, self._units = self._units, None
        if units is None or not self._alpha:
            return
        std = torch.cat(self._alpha).std(0, correction=0)
        pl_module.log_dict({f"val/alpha_std_P{i + 2}": value for i, value in enumerate(std)}, sync_dist=True)
        share = units.active_share()
        if share is not None:
            pl_module.log("val/alpha_active_units", share, sync_dist=True)
            self._std = std.tolist() if len(torch.cat(self._alpha)) >= ENOUGH else []

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop recording."""
        self._stop()
        self._units = None

    def _stop(self) -> None:
        if self._units is not None:
            self._units.__exit__(None, None, None)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print a warning if the weights of a fusion with an MLP do not vary over images."""
        if not self._std or trainer.global_step < ENOUGH_STEPS or not trainer.is_global_zero:
            return
        if not any(std >= STATIC for std in self._std):
            print(
                "warning: fusion has become static: α, averaged over places, varies over validation images by a "
                f"standard deviation of {max(self._std):.4f}, less than {STATIC}",
                flush=True,
            )


def _fusion(module: LightningModule) -> nn.Module:
    return cast(nn.Module, cast(nn.Module, module.network).fusion)
