"""The complexity estimator: object density and scale variance, from the finest level of the pyramid.

The two numbers are defined in :mod:`panoptic.complexity`, from segments; the estimator is supervised with them. It
predicts what they are made of: for each cell, how many things have their center there, and mean and variance of the
logarithm of their areas. Both numbers follow by their definition, of a window around a place and of the whole image,
so that what is learned of one serves the other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import InputError, expect_at_least
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
        window: side of the window of the map in its cells, odd: the codec's.

    Attributes:
        stride: cells of the finest level per cell of the map.

    Raises:
        InputError: if an argument is out of range.
    """

    stride = 4

    def __init__(self, in_channels: int, channels: int = 64, window: int = 5) -> None:
        super().__init__()
        expect_at_least(1, model__complexity__channels=channels)
        if window < 1 or window % 2 == 0:
            raise InputError(f"model.complexity.window: expected an odd number of cells, got {window}")
        self.window = window
        self.features = nn.Sequential(
            conv_norm_act(in_channels, channels, stride=2), conv_norm_act(channels, channels, stride=2)
        )
        self.moments = nn.Conv2d(channels, 3, 1)
        with torch.no_grad():
            self.moments.bias.copy_(torch.tensor([-2.0, 0.0, 0.0]))  # most cells have no thing: softplus(-2) is 0.13

    def forward(self, finest: Float[Tensor, "B C h w"]) -> ComplexityEstimate:
        features = self.features(finest)
        with torch.autocast(finest.device.type, enabled=False):  # sums over many cells
            count, mean, variance = self.moments(features.float()).unbind(1)
            count, variance = F.softplus(count), F.softplus(variance)
            sums = torch.stack([count, count * mean, count * (variance + mean**2)], dim=1)
            windows = F.avg_pool2d(sums, self.window, 1, self.window // 2, divisor_override=1)
            return ComplexityEstimate(_numbers(sums.sum((2, 3))), _numbers(windows))


def _numbers(sums: Float[Tensor, "B 3 *place"]) -> Float[Tensor, "B 2 *place"]:
    """Object density and scale variance from number, sum and sum of squares of log areas."""
    count, total, squares = sums.unbind(1)
    count_or_more = count.clamp(min=1e-3)
    variance = squares / count_or_more - (total / count_or_more) ** 2
    return torch.stack([count.log1p(), variance.clamp(min=0)], dim=1)
