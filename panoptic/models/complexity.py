"""The complexity estimator: object density and scale variance, from the levels of the pyramid.

The two numbers are defined in :mod:`panoptic.complexity`, from segments; the estimator is supervised with them, and
with what they are made of, which is what it predicts: for each cell, how many things have their center there, and mean
and variance of the logarithm of their areas. Both numbers follow by their definition, of a window around a place and of
the whole image, so that what is learned of one serves the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import InputError, expect_at_least
from panoptic.models.layers import conv_norm, conv_norm_act


class ComplexityEstimate(NamedTuple):
    """Object density and scale variance, both at least 0.

    Attributes:
        image: of the whole image.
        map: per place, over the codec's window.
        cells: of each place alone the expected number of things, and mean and variance of their log areas, as
            :func:`panoptic.complexity.thing_cells` has them of the truth.
    """

    image: Float[Tensor, "B 2"]
    map: Float[Tensor, "B 2 gh gw"]
    cells: Float[Tensor, "B 3 gh gw"]


class ComplexityEstimator(nn.Module):
    """A bottom-up path over the levels (Liu et al. 2018), from the fine ones, which show small things, to the coarsest.

    Args:
        in_channels: of each level.
        num_levels: how many there are.
        channels: of its own layers.
        window: side of the window of the map in its cells, odd: the codec's.

    Attributes:
        stride: cells of the finest level per cell of the map, which is as fine as the coarsest level.

    Raises:
        InputError: if an argument is out of range.
    """

    def __init__(self, in_channels: int, num_levels: int, channels: int = 64, window: int = 5) -> None:
        super().__init__()
        expect_at_least(1, model__complexity__channels=channels)
        if window < 1 or window % 2 == 0:
            raise InputError(f"model.complexity.window: expected an odd number of cells, got {window}")
        self.window = window
        self.stride = 2 ** (num_levels - 1)
        widths = [in_channels, *[channels] * (num_levels - 1)]
        self.halve = nn.ModuleList(conv_norm(finer, coarser, stride=2) for finer, coarser in pairwise(widths))
        self.lateral = nn.ModuleList(nn.Conv2d(in_channels, channels, 1) for _ in self.halve)
        self.output = conv_norm_act(channels, channels)
        self.moments = nn.Conv2d(channels, 3, 1)
        with torch.no_grad():
            self.moments.bias.copy_(torch.tensor([-2.0, 0.0, 0.0]))  # most cells have no thing: softplus(-2) is 0.13

    def forward(
        self, levels: Sequence[Float[Tensor, "B C _ _"]], inside: tuple[int, int] | None = None
    ) -> ComplexityEstimate:
        """The estimate for a batch.

        Args:
            levels: of the pyramid, fine to coarse.
            inside: rows and columns of the map that belong to the image, where the others are padding: those hold
                nothing.
        """
        features, *coarser = levels
        for halve, lateral, level in zip(self.halve, self.lateral, coarser, strict=True):
            features = F.relu(halve(features) + lateral(level))
        said = self.moments(self.output(features))
        with torch.autocast(said.device.type, enabled=False):  # sums over many cells
            count, mean, variance = said.float().unbind(1)
            count = F.softplus(count)
            if inside is not None:
                (rows, columns), (height, width) = inside, count.shape[-2:]
                count = F.pad(count[..., :rows, :columns], (0, width - columns, 0, height - rows))
            return complexity_estimate(count, mean, F.softplus(variance), self.window)


def complexity_estimate(
    count: Float[Tensor, "B gh gw"], mean: Float[Tensor, "B gh gw"], variance: Float[Tensor, "B gh gw"], window: int
) -> ComplexityEstimate:
    """Both numbers, of the image and of a window around each cell, by their definition.

    Args:
        count: number of things of each cell, which need not be whole.
        mean: of their log areas.
        variance: of their log areas.
        window: side of the window in cells, odd.
    """
    sums = torch.stack([count, count * mean, count * (variance + mean**2)], dim=1)
    windows = F.avg_pool2d(sums, window, 1, window // 2, divisor_override=1)
    cells = torch.stack([count, mean, variance], dim=1)
    return ComplexityEstimate(_numbers(sums.sum((2, 3))), _numbers(windows), cells)


def _numbers(sums: Float[Tensor, "B 3 *place"]) -> Float[Tensor, "B 2 *place"]:
    """Object density and scale variance from number, sum and sum of squares of log areas."""
    count, total, squares = sums.unbind(1)
    count_or_more = count.clamp(min=1e-3)
    variance = squares / count_or_more - (total / count_or_more) ** 2
    return torch.stack([count.log1p(), variance.clamp(min=0)], dim=1)
