"""BatchNorm folded into the convolutions before it: the same network at inference, with fewer passes over its maps."""

from __future__ import annotations

import copy

from torch import nn
from torch.fx.experimental.optimization import fuse


def fold_batchnorm(network: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode, in which convolutions do what the BatchNorm after them did.

    Which follows which is read off the data flow, by tracing the modules inside each part of the network; those that
    cannot be traced stay as they are. Outputs differ by rounding alone. The copy cannot be trained.

    Args:
        network: whose children are its parts.
    """
    folded = copy.deepcopy(network).eval()
    for part in folded.children():
        for name, module in part.named_children():
            setattr(part, name, _folded(module))
    return folded


def _folded(module: nn.Module) -> nn.Module:
    if not any(isinstance(inner, nn.BatchNorm2d) for inner in module.modules()):
        return module
    try:
        return fuse(module)
    except Exception:  # tracing runs the module's own code on stand-ins, which may fail in any way
        for name, inner in module.named_children():
            setattr(module, name, _folded(inner))
        return module
