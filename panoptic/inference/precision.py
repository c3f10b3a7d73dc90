"""Precision that networks compute in when they predict."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from panoptic.errors import InputError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Types of the network's convolutions, by name. Weights stay in single precision."""


def check_precision(name: str) -> None:
    """Raise if a name is not in :data:`PRECISIONS`.

    Raises:
        InputError: If the name is unknown; the message lists the known names.
    """
    if name not in PRECISIONS:
        raise InputError(f"precision: expected {', '.join(PRECISIONS)}, got {name!r}")


def computing_in(name: str, device: torch.device) -> AbstractContextManager:
    """Let convolutions and matrix products compute in a precision, for a block.

    Args:
        name: Key of :data:`PRECISIONS`.
        device: Device that computes.
    """
    return torch.autocast(device.type, PRECISIONS[name], enabled=name != "fp32")
