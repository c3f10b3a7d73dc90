"""Prediction with an exported network, with numpy, Pillow and ONNX Runtime alone. Nothing here imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panoptic.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from panoptic.runtime.predictor import OnnxPredictor

__all__ = ["OnnxPredictor"]

__getattr__, __dir__ = lazy_exports(__name__, {"OnnxPredictor": "panoptic.runtime.predictor"})
