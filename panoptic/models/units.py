"""Responses of the hidden units of a fusion's MLP: whether they vary, as they must for α to vary over images."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from panoptic.utils.precision import widest

ACTIVE = 0.01
"""Least standard deviation of the output of an active unit, over images and places; weights of units are about 0.1."""


class HiddenUnits:
    """Context that records the outputs of the hidden units of a fusion, if it has any.

    It watches the module ``activation``, which :class:`~panoptic.models.AdaptiveFusion`,
    :class:`~panoptic.models.FeaturesFusion` and :class:`~panoptic.models.LocalFusion` have. Sums stay on the device.

    Args:
        fusion: Fusion to watch.
    """

    def __init__(self, fusion: nn.Module) -> None:
        self._activation = getattr(fusion, "activation", None)
        self._hook: Any = None
        self._count = 0
        self._sums: Tensor | None = None  # of outputs and of their squares

    def __enter__(self) -> HiddenUnits:
        if self._activation is not None:
            self._hook = self._activation.register_forward_hook(self._record)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    @torch.compiler.disable  # its counts would make a compiled network compile again for every batch
    @torch.no_grad()
    def _record(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        values = output.detach().float().movedim(1, -1).flatten(0, -2)  # [images and places, units]
        sums = widest(torch.stack([values.sum(0), values.square().sum(0)]))
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += len(values)

    def active_share(self) -> float | None:
        """Return the share of units whose output varies by at least :data:`ACTIVE`; ``None`` without any output."""
        if self._sums is None:
            return None
        mean, square = self._sums / self._count
        return float(((square - mean**2).clamp(min=0).sqrt() >= ACTIVE).float().mean())
