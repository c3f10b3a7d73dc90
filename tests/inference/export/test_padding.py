"""Constant padding is what the layers compute for sides that their strides divide."""

from __future__ import annotations

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from panoptic.inference.export.padding import with_static_padding
from panoptic.models import Backbone
from panoptic.models.depthwise import DepthwiseConv2d


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


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_padding_of_depthwise_convolutions(kernel: int, stride: int):
    network = nn.Sequential(DepthwiseConv2d(4, kernel, stride, padding=None))
    static = with_static_padding(network)
    maps = torch.randn(2, 4, 32, 6)
    torch.testing.assert_close(static(maps), network(maps))
    assert network[0].pads_same, "the network itself stays"


def test_no_padding_of_a_backbone_depends_on_the_size():
    """With one that does, recording takes hours."""
    backbone = Backbone("tf_efficientnet_lite0", "random")

    def depend(module: nn.Module) -> list[nn.Module]:
        return [each for each in module.modules() if isinstance(each, Conv2dSame) or getattr(each, "pads_same", False)]

    assert len(depend(backbone)) > 1
    assert depend(with_static_padding(backbone)) == []
