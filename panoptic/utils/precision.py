"""Support for reduced precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def widest(values: Tensor) -> Tensor:
    """Return values in float64, or in float32 on devices that have none (Apple's MPS)."""
    return values.to(torch.float32 if values.device.type == "mps" else torch.float64)


def has_fast_bfloat16(device_type: str) -> bool:
    """Return whether matrix products in bfloat16 are faster than in float32 on a device type, not emulated."""
    if device_type == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8
    if device_type == "cpu":
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older versions
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
