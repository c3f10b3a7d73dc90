"""Layers that several parts share.

Normalization is BatchNorm throughout, also at a batch of 4: every map that is normalized here has at least 32 cells an
image at 128x256 (smaller crops have fewer) and far more at 512x1024, so that its statistics are well founded, and at
inference it folds into the convolution before it, which GroupNorm cannot.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def conv_norm(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm; the size is kept but for the stride."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out_channels)
    )


def conv_norm_act(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU; the size is kept but for the stride."""
    return nn.Sequential(*conv_norm(in_channels, out_channels, kernel, stride), nn.ReLU(inplace=True))


class SubpixelConv(nn.Module):
    """A 1x1 convolution to ``factor**2`` predictions per cell, laid out as ``factor x factor`` finer cells.

    The finer cells of one cell start out equal, so that an untrained head shows no checkerboard. Source: Shi et al.
    2016 (sub-pixel convolution), Aitken et al. 2017 (the initialization).
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int, *, bias: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels * factor**2, 1)
        self.shuffle = nn.PixelShuffle(factor)
        weight = torch.empty(out_channels, in_channels, 1, 1)
        nn.init.normal_(weight, std=0.01)
        with torch.no_grad():
            self.conv.weight.copy_(weight.repeat_interleave(factor**2, dim=0))
        nn.init.constant_(self.conv.bias, bias)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D H W"]:
        return self.shuffle(self.conv(x))
