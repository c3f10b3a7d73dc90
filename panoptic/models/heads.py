"""Heads of Panoptic-DeepLab (Cheng et al. 2020): class logits, and a center heatmap with offsets.

Both work at the stride of the fused map and predict at a finer one by sub-pixel convolution, which costs one 1x1
convolution and keeps small things separate.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import expect_at_least
from panoptic.models.layers import SubpixelConv, conv_norm_act, separable_conv_norm_act

OFFSET_UNIT = 16.0
"""Scale of raw offsets, in cells: offsets are tens of cells, and layers learn values near 1 faster."""


def _tower(in_channels: int, channels: int, depth: int, separable: bool) -> nn.Sequential:
    layer = separable_conv_norm_act if separable else conv_norm_act
    return nn.Sequential(*(layer(channels if i else in_channels, channels) for i in range(depth)))


class SemanticHead(nn.Module):
    """Head for class logits.

    Args:
        in_channels: Number of channels of the fused map.
        num_classes: Number of classes.
        channels: Number of channels of the convolutions.
        depth: Number of convolutions.
        upsample: Factor from the size of the fused map to that of the prediction.
        separable: Whether the convolutions are depthwise-separable ones of 5x5, which take less time, rather than full
            ones of 3x3.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        channels: int = 128,
        depth: int = 2,
        upsample: int = 4,
        separable: bool = False,
    ) -> None:
        super().__init__()
        expect_at_least(
            1,
            channels=channels,
            depth=depth,
            upsample=upsample,
        )
        self.upsample = upsample
        self.tower = _tower(in_channels, channels, depth, separable)
        self.logits = SubpixelConv(channels, num_classes, upsample)

    def forward(self, fused: Float[Tensor, "B D h w"]) -> Float[Tensor, "B C H W"]:
        """Compute class logits."""
        return self.logits(self.tower(fused))


class InstanceHead(nn.Module):
    """Head for the center heatmap and the offsets.

    Args:
        in_channels: Number of channels of the fused map.
        channels: Number of channels of the convolutions.
        depth: Number of convolutions.
        upsample: Factor from the size of the fused map to that of the prediction.
        separable: Whether the convolutions are depthwise-separable ones of 5x5, which take less time, rather than full
            ones of 3x3.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self, in_channels: int, channels: int = 128, depth: int = 2, upsample: int = 4, separable: bool = False
    ) -> None:
        super().__init__()
        expect_at_least(
            1,
            channels=channels,
            depth=depth,
            upsample=upsample,
        )
        self.upsample = upsample
        self.tower = _tower(in_channels, channels, depth, separable)
        # sigmoid(-4) is 0.02: most cells are no center, and training should not start with learning that.
        self.center = SubpixelConv(channels, 1, upsample, bias=-4.0)
        self.offset = SubpixelConv(channels, 2, upsample)

    def forward(self, fused: Float[Tensor, "B D h w"]) -> tuple[Float[Tensor, "B H W"], Float[Tensor, "B 2 H W"]]:
        """Compute logits of the center heatmap, and offsets (dy, dx) in cells of the prediction."""
        features = self.tower(fused)
        return self.center(features).squeeze(1), OFFSET_UNIT * self.offset(features)
