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
BOUND = 2.0
"""Of the absolute logits of learned weights: α of a level stays between 0.009 and 0.96."""

STEP = 0.1
"""What the last layer of an MLP for α is multiplied by. Optimizers move all weights by steps of one size, which is much
for three logits that all features add up to: without it α runs into its bounds and stays there."""

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
        alpha = _bounded(self.logits[None]).softmax(1).expand(len(levels[0]), -1)
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
        # A layer for each, so that two numbers weigh as much as hundreds of features from the start.
        self.from_complexity = nn.Linear(2, hidden)
        self.from_features = nn.Linear(num_levels * channels, hidden)
        self.logits = _near_uniform(nn.Linear(hidden, num_levels))

    def forward(self, levels: Levels, complexity: ComplexityEstimate) -> FusedAndAlpha:
        pooled = torch.cat([level.mean(dim=(2, 3)) for level in levels], dim=1)
        hidden = F.relu(self.from_complexity(complexity.image) + self.from_features(self.norm(pooled)))
        alpha = _bounded(STEP * self.logits(hidden)).softmax(1)
        return weighted_sum(levels, alpha), alpha


class LocalFusion(nn.Module):
    """Weights per place: the same MLP at every cell of the finest level, on the features and the complexity there and
    the complexity of the image.

    Args:
        channels: of each level.
        num_levels: L.
        hidden: width of the MLP's hidden layer.
    """

    def __init__(self, channels: int, num_levels: int, hidden: int = 16) -> None:
        super().__init__()
        expect_at_least(1, model__fusion__hidden=hidden)
        self.from_complexity = nn.Linear(2, hidden)
        self.from_places = nn.Conv2d(2, hidden, 1, bias=False)
        self.from_features = nn.ModuleList(nn.Conv2d(channels, hidden, 1, bias=False) for _ in range(num_levels))
        self.logits = _near_uniform(nn.Conv2d(hidden, num_levels, 1))

    def forward(self, levels: Levels, complexity: ComplexityEstimate) -> FusedAndAlpha:
        size = levels[0].shape[-2:]
        # A layer of each level at its own size, enlarged and added, is one layer of all levels at the finest.
        hidden = self.from_complexity(complexity.image)[:, :, None, None]
        hidden = hidden + _enlarged(self.from_places(complexity.map), size)
        for layer, level in zip(self.from_features, levels, strict=True):
            hidden = hidden + _enlarged(layer(level), size)
        alpha = _bounded(STEP * self.logits(F.relu(hidden))).softmax(1)
        return weighted_sum(levels, alpha), alpha


def weighted_sum(levels: Levels, alpha: Float[Tensor, "B L *place"]) -> Float[Tensor, "B C h w"]:
    """Levels, enlarged to the size of the first, times their weights, ``[B L]`` or ``[B L h w]``."""
    size = levels[0].shape[-2:]
    weights = alpha[:, :, None, None, None] if alpha.ndim == 2 else alpha[:, :, None]
    fused = levels[0] * weights[:, 0]
    for i, level in enumerate(levels[1:], start=1):
        fused = fused + _enlarged(level, size) * weights[:, i]
    return fused


def _enlarged(level: Float[Tensor, "B C _ _"], size: Sequence[int]) -> Float[Tensor, "B C h w"]:
    return F.interpolate(level, size=tuple(size), mode="bilinear", align_corners=False)


def _bounded(logits: Float[Tensor, "B L *place"]) -> Float[Tensor, "B L *place"]:
    """Logits about their mean that never shut a level off: an α of 0 has no gradient to bring the level back."""
    return BOUND * torch.tanh((logits - logits.mean(1, keepdim=True)) / BOUND)


def _near_uniform(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """Small weights rather than none, so that the layers before it get gradient from the first step."""
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.bias)
    return layer
