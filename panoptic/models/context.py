"""Context for the coarsest level of the backbone, before the feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import ArgumentError, expect_at_least
from panoptic.models.layers import conv_norm_act

Inside = tuple[int, int]
"""Rows and columns of the level that are in the image, also in part. Cells beyond them are padding."""


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
        expect_at_least(1, channels=channels)
        if not bins or min(bins) < 1:
            raise ArgumentError("bins", f"expected numbers of at least 1, got {list(bins)}")
        self.bins = tuple(bins)
        self.channels = channels
        width = -(-channels // len(bins))
        self.branches = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for _ in bins)
        self.output = conv_norm_act(in_channels + width * len(bins), channels, kernel=1)

    def forward(self, level: Float[Tensor, "B C h w"], inside: Inside) -> Float[Tensor, "B D h w"]:
        """Add means over parts of the image to each cell.

        Args:
            level: Coarsest level of the backbone.
            inside: Rows and columns of the level that are in the image. Cells beyond them do not count.
        """
        rows, columns = inside
        image, padding = level[..., :rows, :columns], (0, level.shape[3] - columns, 0, level.shape[2] - rows)
        parts = [level]
        for bins, branch in zip(self.bins, self.branches, strict=True):
            pooled = _transformed(image, _pooling(rows, bins, level.device), _pooling(columns, bins, level.device))
            values = F.relu(branch(pooled.to(level.dtype)))
            spread = _transformed(values, _resizing(rows, bins, level.device), _resizing(columns, bins, level.device))
            parts.append(F.pad(spread.to(level.dtype), padding))
        return self.output(torch.cat(parts, dim=1))


def _transformed(
    maps: Float[Tensor, "B C h w"], down: Float[Tensor, "H h"], across: Float[Tensor, "W w"]
) -> Float[Tensor, "B C H W"]:
    """Multiply the columns of maps by one matrix and their rows by another, in single precision."""
    with torch.autocast(maps.device.type, enabled=False):
        return down @ maps.float() @ across.T


def _pooling(length: int, bins: int, device: torch.device) -> Float[Tensor, "bins length"]:
    """Return the matrix of adaptive average pooling to the given number of bins, or to the length if that is smaller.

    As a matrix, it has the same size whatever the length, so that a network can be recorded for images of any size.
    The bins beyond the length are 0.
    """
    number, cell = torch.arange(bins, device=device)[:, None], torch.arange(length, device=device)
    used = torch.full((), length, device=device).clamp(max=bins)
    first, end = number * length // used, ((number + 1) * length + used - 1) // used
    inside = (cell >= first) & (cell < end) & (number < used)
    return inside / inside.sum(1, keepdim=True).clamp(min=1)


def _resizing(length: int, bins: int, device: torch.device) -> Float[Tensor, "length bins"]:
    """Return the matrix of linear interpolation from these bins to the length, between the centers of cells."""
    number, cell = torch.arange(bins, device=device), torch.arange(length, device=device)[:, None]
    used = torch.full((), length, device=device).clamp(max=bins)
    position = ((cell + 0.5) * used / length - 0.5).clamp(min=0.0)
    lower = position.floor()
    share = position - lower
    upper = torch.minimum(lower + 1, used - 1)
    return (number == lower) * (1 - share) + (number == upper) * share
