"""Complexity estimator: object density and scale variance from the levels of the feature pyramid.

Both are defined in :mod:`panoptic.complexity`, from segments. The estimator predicts, for each cell, the number of
things with their center in it, and mean and variance of their log areas. Density and scale variance are computed from
these by definition, over a window around each cell and over the whole image, so that both share what is learned. The
estimator is supervised with both and with the predictions per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.complexity import cell_areas, window_sums
from panoptic.errors import ArgumentError, expect_at_least
from panoptic.models.layers import conv_norm, conv_norm_act


class ComplexityEstimate(NamedTuple):
    """Object density and scale variance, both at least 0.

    Attributes:
        image: Object density and scale variance of the whole image.
        map: Object density and scale variance per place, over the window of the codec.
        cells: Expected number of things in each cell, and mean and variance of their log areas; see
            :func:`panoptic.complexity.thing_cells` for the true values.
    """

    image: Float[Tensor, "B 2"]
    map: Float[Tensor, "B 2 gh gw"]
    cells: Float[Tensor, "B 3 gh gw"]


class ComplexityEstimator(nn.Module):
    """Bottom-up path (Liu et al. 2018) from the fine levels, which show small things, to the coarsest level.

    Args:
        in_channels: Number of channels of each level.
        num_levels: Number of levels.
        finest_stride: Pixels per cell of the finest level.
        channels: Number of channels of the layers.
        window: Side of the window of the complexity map in cells, odd, as in the codec.

    Attributes:
        stride: Pixels per cell of the complexity map, which has the size of the coarsest level.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(
        self, in_channels: int, num_levels: int, finest_stride: int = 4, channels: int = 64, window: int = 5
    ) -> None:
        super().__init__()
        expect_at_least(1, channels=channels)
        if window < 1 or window % 2 == 0:
            raise ArgumentError("window", f"expected an odd number of cells, got {window}")
        self.window = window
        self.finest_stride = finest_stride
        self.stride = finest_stride * 2 ** (num_levels - 1)
        widths = [in_channels, *[channels] * (num_levels - 1)]
        self.halve = nn.ModuleList(conv_norm(finer, coarser, stride=2) for finer, coarser in pairwise(widths))
        self.lateral = nn.ModuleList(nn.Conv2d(in_channels, channels, 1) for _ in self.halve)
        self.output = conv_norm_act(channels, channels)
        self.moments = nn.Conv2d(channels, 3, 1)
        assert self.moments.bias is not None
        with torch.no_grad():
            self.moments.bias.copy_(torch.tensor([-2.0, 0.0, 0.0]))  # most cells have no thing: softplus(-2) is 0.13

    def forward(
        self,
        levels: Sequence[Float[Tensor, "B C _ _"]],
        inside: tuple[float, float] | Float[Tensor, "B 2"] | None = None,
    ) -> ComplexityEstimate:
        """Estimate the complexity of a batch.

        Args:
            levels: Levels of the feature pyramid, fine to coarse.
            inside: Height and width of the image, or of each image, in cells of the finest level; the cells beyond them
                are padding and count as empty. By default there is no padding.
        """
        if inside is None:
            inside = (float(levels[0].shape[-2]), float(levels[0].shape[-1]))
        features, *coarser = levels
        for halve, lateral, level in zip(self.halve, self.lateral, coarser, strict=True):
            features = F.relu(halve(features) + lateral(level))
        moments = self.moments(self.output(features))
        with torch.autocast(moments.device.type, enabled=False):  # sums over many cells need full precision
            count, mean, variance = moments.float().unbind(1)
            if isinstance(inside, Tensor):
                size: Tensor | tuple[float, float] = inside * self.finest_stride
            else:
                size = (inside[0] * self.finest_stride, inside[1] * self.finest_stride)
            areas = cell_areas(size, self.stride, count.device, count.shape[-2:])
            count = F.softplus(count) * (areas > 0)
            return complexity_estimate(count, mean, F.softplus(variance), areas, self.window)


def complexity_estimate(
    count: Float[Tensor, "B gh gw"],
    mean: Float[Tensor, "B gh gw"],
    variance: Float[Tensor, "B gh gw"],
    areas: Float[Tensor, "*batch gh gw"],
    window: int,
) -> ComplexityEstimate:
    """Compute object density and scale variance of the image and of a window around each cell, by definition.

    Args:
        count: Number of things in each cell, not necessarily an integer.
        mean: Mean of their log areas.
        variance: Variance of their log areas.
        areas: Area of the image, or of each image, in each cell; see :func:`panoptic.complexity.cell_areas`.
        window: Side of the window in cells, odd.
    """
    sums = torch.stack([count, count * mean, count * (variance + mean**2)], dim=1)
    cells = torch.stack([count, mean, variance], dim=1)
    of_image = _density_and_variance(sums.sum((2, 3)), areas.sum((-2, -1)))
    of_windows = _density_and_variance(
        window_sums(sums, window), window_sums(areas.view(-1, *areas.shape[-2:]), window)
    )
    return ComplexityEstimate(of_image, of_windows, cells)


def _density_and_variance(
    sums: Float[Tensor, "B 3 *place"], area: Float[Tensor, "*areas"]
) -> Float[Tensor, "B 2 *place"]:
    """Compute object density and scale variance from number, sum and sum of squares of log areas."""
    count, total, squares = sums.unbind(1)
    divisor = count.clamp(min=1e-3)
    variance = squares / divisor - (total / divisor) ** 2
    # Windows without any part of the image have neither things nor area.
    density = (count / torch.where(area > 0, area, 1.0)).log1p()
    return torch.stack([density, variance.clamp(min=0)], dim=1)
