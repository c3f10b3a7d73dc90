"""Panoptic segmentation with adaptive cross-scale attention fusion.

What is exported here is imported at its first use: importing the package imports no torch. Where torch is not
installed, ``Predictor.from_onnx`` and what needs no tensors work.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from panoptic.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from panoptic.errors import InputError
    from panoptic.inference.predictor import Predictor
    from panoptic.labels import Category, LabelSpace
    from panoptic.metrics import BoundaryF1, BoundaryPanopticQuality, MeanIoU, PanopticQuality
    from panoptic.results import Result
    from panoptic.runtime.predictor import OnnxPredictor
    from panoptic.segments import Segments

__version__ = "0.1.0"

__all__ = [
    "BoundaryF1",
    "BoundaryPanopticQuality",
    "Category",
    "InputError",
    "LabelSpace",
    "MeanIoU",
    "OnnxPredictor",
    "PanopticQuality",
    "Predictor",
    "Result",
    "Segments",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "BoundaryF1": "panoptic.metrics",
        "BoundaryPanopticQuality": "panoptic.metrics",
        "Category": "panoptic.labels",
        "InputError": "panoptic.errors",
        "LabelSpace": "panoptic.labels",
        "MeanIoU": "panoptic.metrics",
        "OnnxPredictor": "panoptic.runtime.predictor",
        "PanopticQuality": "panoptic.metrics",
        "Predictor": "panoptic.inference.predictor" if find_spec("torch") else "panoptic.runtime.without_torch",
        "Result": "panoptic.results",
        "Segments": "panoptic.segments",
    },
)
