"""The complexity estimator: object density and scale variance, from the finest level of the pyramid.

The two numbers are defined in :mod:`panoptic.complexity`, from segments; the estimator is supervised with them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import expect_at_least
from panoptic.models.layers import conv_norm_act


class ComplexityEstimate(NamedTuple):
    """Object density and scale variance, both at least 0.

    Attributes:
        image: of the whole image.
        map: per place, over the codec's window.
    """

    image: Float[Tensor, "B 2"]
    map: Float[Tensor, "B 2 gh gw"]


class ComplexityEstimator(nn.Module):
    """A small convolutional network on the finest level.

    Args:
        in_channels: of that level.
        channels: of its own layers.

    Attributes:
        stride: cells of the finest level per cell of the map.
    """

    stride = 4

    def __init__(self, in_channels: int, channels: int = 64) -> None:
        super().__init__()
        expect_at_least(1, model__complexity__channels=channels)
        self.features = nn.Sequential(
            conv_norm_act(in_channels, channels, stride=2), conv_norm_act(channels, channels, stride=2)
        )
        self.per_place = nn.Conv2d(channels, 2, 1)
        self.per_image = nn.Sequential(nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, 2))

    def forward(self, finest: Float[Tensor, "B C h w"]) -> ComplexityEstimate:
        features = self.features(finest)
        image = self.per_image(features.mean(dim=(2, 3)))
        return ComplexityEstimate(F.softplus(image), F.softplus(self.per_place(features)))
