"""Inference: predictor, test-time augmentation, BatchNorm folding and compilation. Exports are imported lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panoptic.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from panoptic.inference.compiling import compile_network
    from panoptic.inference.folding import fold_batchnorm
    from panoptic.inference.predictor import Predictor

__all__ = [
    "Predictor",
    "compile_network",
    "fold_batchnorm",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Predictor": "panoptic.inference.predictor",
        "compile_network": "panoptic.inference.compiling",
        "fold_batchnorm": "panoptic.inference.folding",
    },
)
