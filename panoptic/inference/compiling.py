"""``torch.compile``, where it can be had."""

from __future__ import annotations

import warnings

import torch
from torch import nn


def compile_network(network: nn.Module, device: torch.device | str) -> bool:
    """Compiles a network in place, for its next calls; warns and leaves it as it is where that is not possible.

    Compiling happens at the first call, and again for other sizes, and takes up to minutes. Names of weights stay.

    Args:
        network: at its place.
        device: that it is on.

    Returns:
        Whether it will be compiled.
    """
    trouble = _trouble(torch.device(device))
    if trouble is not None:
        warnings.warn(f"compile=true: torch.compile does not work here ({trouble}); going on without", stacklevel=2)
        return False
    network.compile()
    return True


def _trouble(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device, found out on a tiny function; else ``None``."""
    try:
        values = torch.ones(8, device=device)
        torch.compile(lambda x: (x * 2).relu().sum())(values)
    except Exception as error:  # no compiler, no Triton, a Python it does not know: each has its own
        return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
    return None
