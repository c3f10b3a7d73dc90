"""Layers shared by several parts of the network.

Normalization is BatchNorm throughout, even at a batch size of 4. Every normalized map has at least 32 cells per image
at 128x256 (fewer for smaller crops) and far more at 512x1024, enough for reliable statistics, and at inference
BatchNorm can be folded into the preceding convolution, unlike GroupNorm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from panoptic.errors import ArgumentError
from panoptic.models.depthwise import convert_depthwise


def conv_norm(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Create a convolution, padded to keep the size up to the stride, and BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out_channels)
    )


def conv_norm_act(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Create a convolution, padded to keep the size up to the stride, BatchNorm and ReLU."""
    return nn.Sequential(*conv_norm(in_channels, out_channels, kernel, stride), nn.ReLU(inplace=True))


def separable_conv_norm_act(in_channels: int, out_channels: int, kernel: int = 5) -> nn.Sequential:
    """Create a depthwise convolution and one of 1x1, each with BatchNorm and ReLU: a depthwise-separable convolution.

    It has few weights and few products to compute, so that its kernel can be wide (Cheng et al. 2020).
    """
    depthwise = nn.Conv2d(in_channels, in_channels, kernel, 1, kernel // 2, groups=in_channels, bias=False)
    norm_act = nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True)
    layers = nn.Sequential(depthwise, *norm_act, *conv_norm_act(in_channels, out_channels, kernel=1))
    convert_depthwise(layers)
    return layers


def set_norm_momentum(module: nn.Module, momentum: float) -> None:
    """Set the weight of a batch in the running statistics of all BatchNorm layers of a module.

    Raises:
        InputError: If ``momentum`` is not in (0, 1].
    """
    if not 0 < momentum <= 1:
        raise ArgumentError("norm_momentum", f"expected a number in (0, 1], got {momentum}")
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = momentum


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of all BatchNorm layers of a module as they are; batches are still normalized."""
    momenta = {layer: layer.momentum for layer in module.modules() if isinstance(layer, _BatchNorm)}
    try:
        for layer in momenta:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in momenta.items():
            layer.momentum = momentum


class RunningStandardization(nn.Module):
    """Standardize the columns of a matrix by their running mean and variance over the rows of earlier batches.

    Unlike BatchNorm, training uses the running statistics too, so that a few rows per batch are enough, rows do not
    depend on each other, and training and inference compute the same.

    Args:
        columns: Number of columns.
        momentum: Weight of a batch in the running statistics. The first batches count equally.
        bound: Bound of the absolute values, for inputs unlike those before.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, columns: int, momentum: float = 0.02, bound: float = 5.0) -> None:
        super().__init__()
        self.momentum = momentum
        self.bound = bound
        self.register_buffer("running_mean", torch.zeros(columns))
        self.register_buffer("running_var", torch.ones(columns))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long))

    def forward(self, rows: Float[Tensor, "N columns"]) -> Float[Tensor, "N columns"]:
        """Standardize rows, in single precision; in training, update the statistics afterwards."""
        with torch.autocast(rows.device.type, enabled=False):
            rows = rows.float()
            standard = ((rows - self.running_mean) * (self.running_var + 1e-6).rsqrt()).clamp(-self.bound, self.bound)
            if self.training:
                self._update(rows.detach())
        return standard

    @torch.no_grad()
    def _update(self, rows: Float[Tensor, "N columns"]) -> None:
        self.num_batches_tracked += 1
        rate = self.num_batches_tracked.reciprocal().clamp(min=self.momentum)
        shift = rows.mean(0) - self.running_mean
        # Variance of the mixture of the earlier rows, with weight 1 - rate, and these.
        spread = rows.var(0, correction=0) - self.running_var + (1 - rate) * shift**2
        finite = shift.isfinite() & spread.isfinite()  # an overflow would stay in the statistics for ever
        self.running_var += torch.where(finite, rate * spread, 0.0)
        self.running_mean += torch.where(finite, rate * shift, 0.0)


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
