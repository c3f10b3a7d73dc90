"""Panoptic, boundary and semantic metrics: torchmetrics classes on top of pure functions of segments."""

from panoptic.metrics.boundary_f1 import BoundaryF1
from panoptic.metrics.mean_iou import MeanIoU
from panoptic.metrics.panoptic_quality import BoundaryPanopticQuality, PanopticQuality

__all__ = ["BoundaryF1", "BoundaryPanopticQuality", "MeanIoU", "PanopticQuality"]
