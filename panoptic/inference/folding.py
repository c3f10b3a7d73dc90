"""Folding of BatchNorm into the preceding convolutions: equivalent inference with fewer passes over feature maps."""

from __future__ import annotations

import copy

from torch import nn
from torch.fx.experimental.optimization import fuse

from panoptic.models.depthwise import restore_depthwise


def fold_batchnorm(network: nn.Module) -> nn.Module:
    """Return a copy of a network in evaluation mode, with BatchNorm folded into the preceding convolutions.

    The modules inside each part of the network are traced to find the convolution before each BatchNorm; modules that
    cannot be traced stay unchanged. Outputs differ by rounding errors only. The copy cannot be trained.

    Args:
        network: Network to copy; its direct children are the parts.
    """
    folded = copy.deepcopy(network).eval()
    restore_depthwise(folded)
    for part in folded.children():
        for name, module in part.named_children():
            setattr(part, name, _fold(module))
    return folded


def _fold(module: nn.Module) -> nn.Module:
    if not any(isinstance(inner, nn.BatchNorm2d) for inner in module.modules()):
        return module
    try:
        return fuse(module)
    except Exception:  # tracing runs the module's code on proxies, which can raise anything
        for name, inner in module.named_children():
            setattr(module, name, _fold(inner))
        return module
