"""The heads: a class for each pixel, and a center with offsets for each thing (Panoptic-DeepLab, Cheng et al. 2020).

Both work at the stride of the fused map and predict at a finer one by sub-pixel convolution, which costs one 1x1
convolution and keeps small things apart.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import expect_at_least
from panoptic.models.layers import SubpixelConv, conv_norm_act

OFFSET_UNIT = 16.0
"""Cells per unit of what the layer for offsets gives: offsets are tens of cells, layers learn numbers near 1 sooner."""


def _tower(in_channels: int, channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(conv_norm_act(channels if i else in_channels, channels) for i in range(depth)))


class SemanticHead(nn.Module):
    """Class logits.

    Args:
        in_channels: of the fused map.
        num_classes: C.
        channels: of the convolutions.
        depth: number of 3x3 convolutions.
        upsample: how many times finer than the fused map the prediction is.
    """

    def __init__(
        self, in_channels: int, num_classes: int, channels: int = 128, depth: int = 2, upsample: int = 2
    ) -> None:
        super().__init__()
        expect_at_least(
            1,
            model__semantic_head__channels=channels,
            model__semantic_head__depth=depth,
            model__semantic_head__upsample=upsample,
        )
        self.upsample = upsample
        self.tower = _tower(in_channels, channels, depth)
        self.logits = SubpixelConv(channels, num_classes, upsample)

    def forward(self, fused: Float[Tensor, "B D h w"]) -> Float[Tensor, "B C H W"]:
        return self.logits(self.tower(fused))


class InstanceHead(nn.Module):
    """The logit of the center heatmap, and offsets (dy, dx) in cells of the prediction.

    Args:
        in_channels: of the fused map.
        channels: of the convolutions.
        depth: number of 3x3 convolutions.
        upsample: how many times finer than the fused map the prediction is.
    """

    def __init__(self, in_channels: int, channels: int = 128, depth: int = 2, upsample: int = 2) -> None:
        super().__init__()
        expect_at_least(
            1,
            model__instance_head__channels=channels,
            model__instance_head__depth=depth,
            model__instance_head__upsample=upsample,
        )
        self.upsample = upsample
        self.tower = _tower(in_channels, channels, depth)
        # sigmoid(-4) is 0.02: most places are no center, and training should not begin with unlearning that.
        self.center = SubpixelConv(channels, 1, upsample, bias=-4.0)
        self.offset = SubpixelConv(channels, 2, upsample)

    def forward(self, fused: Float[Tensor, "B D h w"]) -> tuple[Float[Tensor, "B H W"], Float[Tensor, "B 2 H W"]]:
        features = self.tower(fused)
        return self.center(features).squeeze(1), OFFSET_UNIT * self.offset(features)
