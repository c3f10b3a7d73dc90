"""Padding of convolutions as constants, where a backbone computes it from the size of its input."""

from __future__ import annotations

import copy

from timm.layers import Conv2dSame
from torch import nn

from panoptic.models.depthwise import DepthwiseConv2d


def with_static_padding(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which convolutions with TensorFlow's padding ("same") have constant padding.

    Padding depends on the size of the input only if a stride does not divide it. The network pads images to a multiple
    of all strides first. With constants, BatchNorm can be folded, and recording takes seconds instead of hours.

    Args:
        network: Network to copy.
    """
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Conv2dSame) or (isinstance(child, DepthwiseConv2d) and child.pads_same):
                setattr(module, name, _static(child))
    return network


def _static(layer: Conv2dSame | DepthwiseConv2d) -> nn.Sequential:
    totals = [
        max(dilation * (kernel - 1) + 1 - stride, 0)
        for kernel, stride, dilation in zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
    ]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    conv = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        (layer.stride[0], layer.stride[1]),
        dilation=(layer.dilation[0], layer.dilation[1]),
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    conv.weight, conv.bias = layer.weight, layer.bias
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), conv)
