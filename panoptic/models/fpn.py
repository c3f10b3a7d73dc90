"""The feature pyramid (Lin et al. 2017): coarse levels, rich in meaning, flow down into fine ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import expect_at_least
from panoptic.models.layers import conv_norm_act

NUM_LEVELS = 3
"""Levels that come out: P2, P3 and P4. The coarsest input, C5, enters through the top-down path."""


class FPN(nn.Module):
    """From the backbone's four levels to three of equal width, fine to coarse.

    Each level is smoothed before it flows on to the next finer one, not after, as in the paper. Without the top-down
    path levels are kept apart, but for the coarsest two, which become one: each then has what the others lack, and it
    is left to fusion to bring them together.

    Args:
        in_channels: of each of the backbone's levels, fine to coarse.
        channels: of every level that comes out.
        top_down: whether each level flows on to the next finer one.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 128, top_down: bool = True) -> None:
        super().__init__()
        expect_at_least(1, model__fpn__channels=channels)
        self.channels = channels
        self.top_down = top_down
        self.lateral = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.output = nn.ModuleList(conv_norm_act(channels, channels) for _ in range(NUM_LEVELS))

    def forward(self, features: Sequence[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B C _ _"]]:
        *fine, coarsest = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        levels: list[Tensor] = []
        coarser: Tensor | None = coarsest
        for level, output in zip(reversed(fine), reversed(self.output), strict=True):
            if coarser is not None:
                level = level + F.interpolate(coarser, size=level.shape[-2:], mode="nearest")
            levels.insert(0, output(level))
            coarser = levels[0] if self.top_down else None
        return levels
