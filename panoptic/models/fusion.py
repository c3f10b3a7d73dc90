"""Fusion: one map from three levels, F = α₁·F_high + α₂·F_mid + α₃·F_low.

The variants differ in where α comes from, and in nothing else: they share one signature,
``forward(levels, complexity) -> (fused, alpha)``, and are chosen by the config. α sums to 1 over the levels. All start
at, or within a hundredth of, uniform weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.errors import expect_at_least
from panoptic.models.complexity import ComplexityEstimate

Levels = Sequence[Float[Tensor, "B C _ _"]]
FusedAndAlpha = tuple[Float[Tensor, "B C h w"], Float[Tensor, "B L *place"]]


class UniformFusion(nn.Module):
    """The mean of the levels: the ablation that says what choosing is worth."""

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        self.num_levels = num_levels

    def forward(self, levels: Levels, complexity: ComplexityEstimate) -> FusedAndAlpha:
        alpha = levels[0].new_full((len(levels[0]), self.num_levels), 1.0 / self.num_levels)
        return weighted_sum(levels, alpha), alpha


class StaticFusion(nn.Module):
    """Learned weights that are the same for every image."""

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_levels))

    def forward(self, levels: Levels, complexity: ComplexityEstimate) -> FusedAndAlpha:
        alpha = self.logits.softmax(0).expand(len(levels[0]), -1)
        return weighted_sum(levels, alpha), alpha


class AdaptiveFusion(nn.Module):
    """Weights per image: α = softmax(MLP([complexity, pooled features])).

    Args:
        channels: of each level.
        num_levels: L.
        hidden: width of the MLP's hidden layer.
    """

    def __init__(self, channels: int, num_levels: int, hidden: int = 64) -> None:
        super().__init__()
        expect_at_least(1, model__fusion__hidden=hidden)
        self.norm = nn.LayerNorm(num_levels * channels)
        self.hidden = nn.Linear(2 + num_levels * channels, hidden)
        self.logits = _near_uniform(nn.Linear(hidden, num_levels))

    def forward(self, levels: Levels, complexity: ComplexityEstimate) -> FusedAndAlpha:
        pooled = torch.cat([level.mean(dim=(2, 3)) for level in levels], dim=1)
        hidden = F.relu(self.hidden(torch.cat([complexity.image, self.norm(pooled)], dim=1)))
        alpha = self.logits(hidden).softmax(1)
        return weighted_sum(levels, alpha), alpha


class LocalFusion(nn.Module):
    """Weights per place: the same MLP at every cell of the coarsest level, on what is found there.

    Args:
        channels: of each level.
        num_levels: L.
        hidden: width of the MLP's hidden layer.
    """

    def __init__(self, channels: int, num_levels: int, hidden: int = 64) -> None:
        super().__init__()
        expect_at_least(1, model__fusion__hidden=hidden)
        self.norm = nn.LayerNorm(num_levels * channels)
        self.hidden = nn.Linear(2 + num_levels * channels, hidden)
        self.logits = _near_uniform(nn.Linear(hidden, num_levels))

    def forward(self, levels: Levels, complexity: ComplexityEstimate) -> FusedAndAlpha:
        place = levels[-1].shape[-2:]
        pooled = torch.cat([F.adaptive_avg_pool2d(level, place) for level in levels], dim=1)
        local = F.interpolate(complexity.map, size=place, mode="bilinear", align_corners=False)
        inputs = torch.cat([local.movedim(1, -1), self.norm(pooled.movedim(1, -1))], dim=-1)
        logits = self.logits(F.relu(self.hidden(inputs))).movedim(-1, 1)
        # Weights are enlarged after the softmax: a mean of weights that sum to 1 sums to 1.
        alpha = F.interpolate(logits.softmax(1), size=levels[0].shape[-2:], mode="bilinear", align_corners=False)
        return weighted_sum(levels, alpha), alpha


def weighted_sum(levels: Levels, alpha: Float[Tensor, "B L *place"]) -> Float[Tensor, "B C h w"]:
    """Levels, enlarged to the size of the first, times their weights, ``[B L]`` or ``[B L h w]``."""
    size = levels[0].shape[-2:]
    weights = alpha[:, :, None, None, None] if alpha.ndim == 2 else alpha[:, :, None]
    fused = levels[0] * weights[:, 0]
    for i, level in enumerate(levels[1:], start=1):
        fused = fused + F.interpolate(level, size=size, mode="bilinear", align_corners=False) * weights[:, i]
    return fused


def _near_uniform(layer: nn.Linear) -> nn.Linear:
    """Small weights rather than none, so that the layers before it get gradient from the first step."""
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.bias)
    return layer
