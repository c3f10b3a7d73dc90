"""What a device computes in."""

from __future__ import annotations

import torch


def has_fast_bfloat16(device_type: str) -> bool:
    """Whether matrix products in bfloat16 are faster than in single precision there, rather than emulated."""
    if device_type == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8
    if device_type == "cpu":
        able = getattr(torch.cpu, "get_capabilities", dict)()  # lacking in older versions
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return False
