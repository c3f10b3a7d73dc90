"""Feature pyramid network (Lin et al. 2017): a top-down path from coarse, semantic levels to fine ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import expect_at_least
from panoptic.models.layers import conv_norm_act

NUM_LEVELS = 3
"""Number of output levels: P2, P3 and P4. The coarsest input, C5, enters through the top-down path."""


class FPN(nn.Module):
    """Feature pyramid from the four levels of the backbone to three of equal width, fine to coarse.

    Unlike in the paper, each level is smoothed before it is passed on to the next finer one, not after. Without the
    top-down path, levels stay separate, except that the coarsest two are merged. Each level then has information that
    the others lack, and combining them is left to the fusion.

    Args:
        in_channels: Number of channels of each level of the backbone, fine to coarse.
        channels: Number of channels of each output level.
        top_down: Whether to pass each level on to the next finer one.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 128, top_down: bool = True) -> None:
        super().__init__()
        expect_at_least(1, channels=channels)
        self.channels = channels
        self.top_down = top_down
        self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.output = nn.ModuleList(conv_norm_act(channels, channels) for _ in range(NUM_LEVELS))

    def forward(self, features: Sequence[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B C _ _"]]:
        """Compute the levels of the pyramid, fine to coarse."""
        *fine, coarsest = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        levels: list[Tensor] = []
        coarser: Tensor | None = coarsest
        for level, output in zip(reversed(fine), reversed(self.output), strict=True):
            if coarser is not None:
                level = level + F.interpolate(coarser, size=level.shape[-2:], mode="nearest")
            levels.insert(0, output(level))
            coarser = levels[0] if self.top_down else None
        return levels
