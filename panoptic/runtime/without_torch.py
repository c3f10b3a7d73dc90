"""What ``panoptic.Predictor`` is where torch is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from panoptic.errors import InputError
from panoptic.runtime.predictor import OnnxPredictor


class Predictor:
    """Way to :class:`~panoptic.runtime.predictor.OnnxPredictor`; checkpoints need torch."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        _need_torch("Predictor")

    @classmethod
    def load(cls, *arguments: Any, **options: Any) -> NoReturn:
        """Raise, since a checkpoint cannot be loaded.

        Raises:
            InputError: Always.
        """
        _need_torch("Predictor.load")

    @classmethod
    def from_pretrained(cls, *arguments: Any, **options: Any) -> NoReturn:
        """Raise, since a shared network cannot be loaded.

        Raises:
            InputError: Always.
        """
        _need_torch("Predictor.from_pretrained")

    @classmethod
    def from_onnx(cls, file: str | Path, **options: Any) -> OnnxPredictor:
        """Return the predictor of an exported network; see :class:`~panoptic.runtime.predictor.OnnxPredictor`."""
        return OnnxPredictor(file, **options)


def _need_torch(name: str) -> NoReturn:
    raise InputError(
        f"{name}: expected torch, which is not installed; Predictor.from_onnx predicts without it, from a file that "
        "python -m panoptic.export wrote"
    )
