"""Layers shared by several parts of the network.

Normalization is BatchNorm throughout, even at a batch size of 4. Every normalized map has at least 32 cells per image
at 128x256 (fewer for smaller crops) and far more at 512x1024, enough for reliable statistics, and at inference
BatchNorm can be folded into the preceding convolution, unlike GroupNorm.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def conv_norm(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Create a convolution, padded to keep the size up to the stride, and BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out_channels)
    )


def conv_norm_act(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Create a convolution, padded to keep the size up to the stride, BatchNorm and ReLU."""
    return nn.Sequential(*conv_norm(in_channels, out_channels, kernel, stride), nn.ReLU(inplace=True))


class SubpixelConv(nn.Module):
    """1x1 convolution to ``factor**2`` predictions per cell, arranged as ``factor x factor`` finer cells.

    The predictions of one cell are initialized equally, to avoid checkerboard artifacts. See Shi et al. 2016 (sub-pixel
    convolution) and Aitken et al. 2017 (initialization).

    Args:
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        factor: Upsampling factor.
        bias: Initial bias.
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int, *, bias: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels * factor**2, 1)
        self.shuffle = nn.PixelShuffle(factor)
        weight = torch.empty(out_channels, in_channels, 1, 1)
        nn.init.normal_(weight, std=0.01)
        with torch.no_grad():
            self.conv.weight.copy_(weight.repeat_interleave(factor**2, dim=0))
        assert self.conv.bias is not None
        nn.init.constant_(self.conv.bias, bias)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D H W"]:
        """Upsample a map."""
        return self.shuffle(self.conv(x))
