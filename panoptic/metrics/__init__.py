"""Panoptic, boundary and semantic metrics: torchmetrics classes on top of pure functions of segments.

The classes are imported lazily, so that what uses the functions alone, as prediction does, imports no torchmetrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panoptic.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from panoptic.metrics.boundary_f1 import BoundaryF1
    from panoptic.metrics.mean_iou import MeanIoU
    from panoptic.metrics.panoptic_quality import BoundaryPanopticQuality, PanopticQuality

__all__ = ["BoundaryF1", "BoundaryPanopticQuality", "MeanIoU", "PanopticQuality"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BoundaryF1": "panoptic.metrics.boundary_f1",
        "BoundaryPanopticQuality": "panoptic.metrics.panoptic_quality",
        "MeanIoU": "panoptic.metrics.mean_iou",
        "PanopticQuality": "panoptic.metrics.panoptic_quality",
    },
)
