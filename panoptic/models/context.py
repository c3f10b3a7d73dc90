"""Context for the coarsest level of the backbone, before the feature pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import InputError, expect_at_least
from panoptic.models.layers import conv_norm_act

Inside = tuple[float, float]
"""Height and width of the image in cells of the level, beyond which cells are padding."""


class NoContext(nn.Module):
    """Identity.

    Args:
        in_channels: Number of channels of the level.

    Attributes:
        channels: Number of channels of the result.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.channels = in_channels

    def forward(self, level: Float[Tensor, "B C h w"], inside: Inside) -> Float[Tensor, "B C h w"]:
        """Return the level."""
        return level


class PyramidPooling(nn.Module):
    """Pyramid pooling (Zhao et al. 2017, "Pyramid Scene Parsing Network"): means over grids of a few large cells.

    A class that is hard to tell in a small part of an image is easier to tell by what the rest shows. Branches have no
    normalization, whose statistics over a cell or two of each image in a small batch would be noise.

    Args:
        in_channels: Number of channels of the level.
        channels: Number of channels of the result. Each grid gets an equal share of it, rounded up.
        bins: Rows and columns of each grid. A grid finer than the level is that of the level.

    Attributes:
        channels: Number of channels of the result.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, in_channels: int, channels: int = 256, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        expect_at_least(1, model__context__channels=channels)
        if not bins or min(bins) < 1:
            raise InputError(f"model.context.bins: expected numbers of at least 1, got {list(bins)}")
        self.bins = tuple(bins)
        self.channels = channels
        width = -(-channels // len(bins))
        self.branches = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for _ in bins)
        self.output = conv_norm_act(in_channels + width * len(bins), channels, kernel=1)

    def forward(self, level: Float[Tensor, "B C h w"], inside: Inside) -> Float[Tensor, "B D h w"]:
        """Add means over parts of the image to each cell.

        Args:
            level: Coarsest level of the backbone.
            inside: Height and width of the image in cells of the level. Cells beyond them do not count.
        """
        rows, columns = (math.ceil(side) for side in inside)
        image = level[..., :rows, :columns]
        parts = [level]
        for bins, branch in zip(self.bins, self.branches, strict=True):
            pooled = F.adaptive_avg_pool2d(image, (min(bins, rows), min(bins, columns)))
            spread = F.interpolate(F.relu(branch(pooled)), (rows, columns), mode="bilinear", align_corners=False)
            parts.append(F.pad(spread, (0, level.shape[3] - columns, 0, level.shape[2] - rows)))
        return self.output(torch.cat(parts, dim=1))
