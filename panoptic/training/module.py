"""The LightningModule: steps, optimizer, metric bookkeeping. It knows no architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.regression import MeanAbsoluteError

from panoptic.codec import Codec, Outputs, Targets
from panoptic.complexity import COMPLEXITY_NAMES
from panoptic.data.batch import Batch
from panoptic.metrics import BoundaryF1, BoundaryPanopticQuality, MeanIoU, PanopticQuality
from panoptic.segments import Segments

Optimization = Callable[..., tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]]


class Evaluated(NamedTuple):
    """What a validation step leaves to callbacks."""

    outputs: Outputs
    targets: Targets
    prediction: Segments


class PanopticModule(LightningModule):
    """Trains a network.

    Args:
        network: from plain RGB to :class:`~panoptic.codec.Outputs`.
        codec: at the network's strides.
        loss: from outputs and targets to terms by name, ``total`` among them.
        optimization: makes optimizer and schedule from ``parameters`` and ``total_steps``.
        record: plain containers that every checkpoint carries under the key ``panoptic``.
    """

    def __init__(
        self, network: nn.Module, codec: Codec, loss: nn.Module, optimization: Optimization, record: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.network = network
        self.codec = codec
        self.loss = loss
        self.optimization = optimization
        self.record = dict(record)
        metrics = (PanopticQuality, BoundaryPanopticQuality, BoundaryF1, MeanIoU)
        self.quality = MetricCollection([metric(codec.labels) for metric in metrics], prefix="val/")
        self.complexity_error = nn.ModuleDict({name: MeanAbsoluteError() for name in COMPLEXITY_NAMES})

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        targets = self.codec.encode(batch.segments)
        outputs = self.network(batch.images)
        terms = self.loss(outputs, targets)
        self._log_terms("train", terms, outputs, len(batch.names))
        return terms["total"]

    def validation_step(self, batch: Batch, batch_idx: int) -> Evaluated:
        with torch.autocast(self.device.type, enabled=False):  # scores are those that evaluation repeats, in fp32
            return self._evaluate(batch)

    def _evaluate(self, batch: Batch) -> Evaluated:
        targets = self.codec.encode(batch.segments)
        outputs = self.network(batch.images)
        prediction = self.codec.decode(outputs, batch.segments.size)
        self._log_terms("val", self.loss(outputs, targets), outputs, len(batch.names))
        self.quality.update(prediction, batch.segments, sizes=batch.sizes)
        for i, name in enumerate(COMPLEXITY_NAMES):
            predicted, true = outputs.complexity[:, i].float(), targets.complexity[:, i]
            self.complexity_error[name].update(predicted, true)
            options = {"on_epoch": True, "batch_size": len(true), "sync_dist": True}
            self.log(f"complexity/{name}_predicted", predicted.mean(), **options)
            self.log(f"complexity/{name}_true", true.mean(), **options)
        return Evaluated(outputs, targets, prediction)

    def on_validation_epoch_end(self) -> None:
        scores = self.quality.compute()
        # Every process has computed the same from the counts of all: their mean is that value.
        self.log_dict({name: value.float() for name, value in scores.items() if not value.isnan()}, sync_dist=True)
        self.quality.reset()
        for name, error in self.complexity_error.items():
            self.log(f"complexity/{name}_mean_absolute_error", error)

    def _log_terms(self, split: str, terms: Mapping[str, Tensor], outputs: Outputs, size: int) -> None:
        options = {
            "on_step": split == "train",
            "on_epoch": split == "val",
            "batch_size": size,
            "sync_dist": split == "val",
        }
        self.log(f"{split}/loss", terms["total"].detach(), **options)
        self.log_dict({f"{split}/loss_{k}": v.detach() for k, v in terms.items() if k != "total"}, **options)
        alpha = outputs.alpha_of_image.detach().float().mean(0)
        # Level 0 is P2: the name of a level of a pyramid is the logarithm of its stride.
        self.log_dict({f"{split}/alpha_P{i + 2}": a for i, a in enumerate(alpha.unbind())}, **options)

    def configure_optimizers(self) -> dict[str, Any]:
        total_steps = int(self.trainer.estimated_stepping_batches)
        optimizer, schedule = self.optimization(self.network.parameters(), total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["panoptic"] = self.record
