"""Compilation with ``torch.compile``, if it is available."""

from __future__ import annotations

import warnings

import torch
from torch import nn


def compile_network(network: nn.Module, device: torch.device | str) -> bool:
    """Set up a network for ``torch.compile`` in place; warn and leave it unchanged if that does not work.

    The network is compiled at the first call and again for new sizes, which takes up to minutes. The names of its
    weights do not change.

    Args:
        network: Network on its final device.
        device: Device of the network.

    Returns:
        Whether the network will be compiled.
    """
    reason = _compile_error(torch.device(device))
    if reason is not None:
        warnings.warn(f"compile=true: torch.compile does not work here ({reason}); going on without", stacklevel=2)
        return False
    network.compile()
    return True


def _compile_error(device: torch.device) -> str | None:
    """Compile a tiny function for a device; return the error in one line, or ``None`` if it works."""
    try:
        values = torch.ones(8, device=device)
        torch.compile(lambda x: (x * 2).relu().sum())(values)
    except Exception as error:  # missing compiler, missing Triton, unsupported Python: each raises its own type
        return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
    return None
