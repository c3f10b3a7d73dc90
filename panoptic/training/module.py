"""LightningModule with the training steps, optimizer and metrics, independent of the architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.regression import MeanAbsoluteError

from panoptic.codec import Codec, Outputs, Targets
from panoptic.complexity import COMPLEXITY_NAMES
from panoptic.data.batch import Batch
from panoptic.losses import PanopticLoss
from panoptic.metrics import BoundaryF1, BoundaryPanopticQuality, MeanIoU, PanopticQuality
from panoptic.models import PanopticNetwork
from panoptic.segments import Segments

Optimization = Callable[..., tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]]


class Evaluated(NamedTuple):
    """Results of a validation step, for callbacks.

    Attributes:
        outputs: Network outputs.
        targets: Training targets.
        prediction: Decoded segments.
    """

    outputs: Outputs
    targets: Targets
    prediction: Segments


class PanopticModule(LightningModule):
    """LightningModule that trains a panoptic network.

    Args:
        network: Network from RGB images to :class:`~panoptic.codec.Outputs`.
        codec: Codec for the network's strides.
        loss: Loss from outputs and targets to terms by name, including ``total``.
        optimization: Function of the network and ``total_steps`` that returns an optimizer and a schedule.
        record: Plain containers to store in every checkpoint under the key ``panoptic``.

    Attributes:
        last_step: Terms of the loss of the last training step, and the names of its images, for callbacks.
    """

    def __init__(
        self,
        network: PanopticNetwork,
        codec: Codec,
        loss: PanopticLoss,
        optimization: Optimization,
        record: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.network = network
        self.codec = codec
        self.loss = loss
        self.optimization = optimization
        self.record = dict(record)
        self.last_step: tuple[dict[str, Tensor], tuple[str, ...]] = {}, ()
        metrics = (PanopticQuality, BoundaryPanopticQuality, BoundaryF1, MeanIoU)
        self.quality = MetricCollection([metric(codec.labels) for metric in metrics], prefix="val/")
        self.complexity_error = nn.ModuleDict({name: MeanAbsoluteError() for name in COMPLEXITY_NAMES})

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute and log the loss of a batch."""
        assert batch.segments is not None  # the training data set refuses images without ground truth
        extents = batch.extents if batch.is_padded else None
        targets = self.codec.encode(batch.segments, extents)
        if self.loss.needs_levels:
            outputs, of_levels = self.network.with_levels(batch.images, extents)
        else:
            outputs, of_levels = self.network(batch.images, extents=extents), []
        terms = self.loss(outputs, targets, of_levels)
        self.last_step = {name: value.detach() for name, value in terms.items()}, batch.names
        self._log_terms("train", terms, outputs, len(batch.names))
        return terms["total"]

    def validation_step(  # type: ignore[override]  # Lightning passes outputs of any type on to callbacks
        self, batch: Batch, batch_idx: int
    ) -> Evaluated:
        """Compute losses and predictions of a batch, and update the metrics."""
        with torch.autocast(self.device.type, enabled=False):  # fp32, so that evaluation reproduces the scores
            return self._evaluate(batch)

    def _evaluate(self, batch: Batch) -> Evaluated:
        assert batch.segments is not None  # splits for validation have ground truth
        extents = batch.extents if batch.is_padded else None
        targets = self.codec.encode(batch.segments, extents)
        outputs = self.network(batch.images, extents=extents)
        prediction = self.codec.decode(outputs, batch.segments.size)
        self._log_terms("val", self.loss(outputs, targets), outputs, len(batch.names))
        self.quality.update(prediction, batch.segments, sizes=batch.sizes)
        for i, name in enumerate(COMPLEXITY_NAMES):
            predicted, true = outputs.complexity[:, i].float(), targets.complexity[:, i]
            cast(MeanAbsoluteError, self.complexity_error[name]).update(predicted, true)
            options: dict[str, Any] = {"on_epoch": True, "batch_size": len(true), "sync_dist": True}
            self.log(f"complexity/{name}_predicted", predicted.mean(), **options)
            self.log(f"complexity/{name}_true", true.mean(), **options)
        return Evaluated(outputs, targets, prediction)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the epoch."""
        scores = self.quality.compute()
        # Metrics are synchronized: all processes have the same values, which a mean over processes preserves.
        self.log_dict({name: value.float() for name, value in scores.items() if not value.isnan()}, sync_dist=True)
        self.quality.reset()
        for name, error in self.complexity_error.items():
            self.log(f"complexity/{name}_mean_absolute_error", cast(MeanAbsoluteError, error))

    def _log_terms(self, split: str, terms: Mapping[str, Tensor], outputs: Outputs, size: int) -> None:
        options: dict[str, Any] = {
            "on_step": split == "train",
            "on_epoch": split == "val",
            "batch_size": size,
            "sync_dist": split == "val",
        }
        self.log(f"{split}/loss", terms["total"].detach(), **options)
        self.log_dict({f"{split}/loss_{k}": v.detach() for k, v in terms.items() if k != "total"}, **options)
        alpha = outputs.alpha_of_image.detach().float().mean(0)
        # Level 0 is P2: pyramid levels are named by the binary logarithm of their stride.
        self.log_dict({f"{split}/alpha_P{i + 2}": a for i, a in enumerate(alpha.unbind())}, **options)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and its schedule, which advances at every step."""
        total_steps = int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = self.optimization(self.network, total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the record to a checkpoint."""
        checkpoint["panoptic"] = self.record
