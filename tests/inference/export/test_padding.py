"""Constant padding is what the layers compute for sides that their strides divide."""

from __future__ import annotations

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from panoptic.inference.export.padding import with_static_padding


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
def test_padding_is_that_of_tensorflow(kernel: int, stride: int, dilation: int):
    layer = Conv2dSame(4, 6, kernel, stride, dilation=dilation, groups=2, bias=kernel == 3)
    network = nn.Sequential(nn.Sequential(layer), nn.ReLU())
    static = with_static_padding(network)
    assert not any(isinstance(module, Conv2dSame) for module in static.modules())
    assert network[0][0] is layer, "the network itself stays"
    for size in ((8, 12), (32, 6)):
        maps = torch.randn(2, 4, *size)
        torch.testing.assert_close(static(maps), network(maps))
