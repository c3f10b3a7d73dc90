"""Fusion of three levels into one map, F = α₁·F_high + α₂·F_mid + α₃·F_low.

The variants differ only in how α is computed. They share the signature ``forward(levels, complexity, inside, pooled) ->
(fused, alpha)`` and are selected in the configuration. α sums to 1 over the levels. Initially, all weights are uniform
to within 0.01, but for those drawn at random. α is in single precision for all, so that variants differ in it alone.

What an MLP for α is given is standardized by running statistics over images. Pooled features otherwise share one large
direction over all images, along which an optimizer soon drives the hidden units out of the range where they respond.
For the same reason, these small layers have an optimizer of their own: see ``adamw_lr``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.complexity import window_sums
from panoptic.errors import expect_at_least
from panoptic.models.complexity import ComplexityEstimate
from panoptic.models.layers import RunningStandardization

Levels = Sequence[Float[Tensor, "B C _ _"]]
"""Levels of the feature pyramid, fine to coarse."""

FusedAndAlpha = tuple[Float[Tensor, "B C h w"], Float[Tensor, "B L *place"]]
"""Fused map, and fusion weights α of the levels: ``[B L]``, or ``[B L h w]`` if local."""

BOUND = 2.0
"""Bound of the absolute logits of learned weights; it keeps α between 0.009 and 0.96."""

SIZE_WINDOW = 3
"""Side of the window in cells of the complexity map over which :class:`SizedFusion` looks for things."""

Inside = tuple[float, float] | None
"""Height and width of the image in cells of the finest level, beyond which cells are padding; ``None`` if none is."""

Pooled = Float[Tensor, "B LC"] | None
"""Result of :func:`pool` for whole images, where the levels are of a part of them; ``None`` to compute it."""


class UniformFusion(nn.Module):
    """Mean of the levels, the ablation that shows the value of choosing weights.

    Args:
        channels: Number of channels of each level, unused.
        num_levels: Number of levels.
    """

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        self.num_levels = num_levels

    def forward(
        self, levels: Levels, complexity: ComplexityEstimate, inside: Inside = None, pooled: Pooled = None
    ) -> FusedAndAlpha:
        """Fuse levels with uniform weights."""
        alpha = torch.full((levels[0].shape[0], self.num_levels), 1.0 / self.num_levels, device=levels[0].device)
        return weighted_sum(levels, alpha), alpha


class StaticFusion(nn.Module):
    """Learned weights, the same for all images.

    Args:
        channels: Number of channels of each level, unused.
        num_levels: Number of levels.
        lr: Learning rate of the weights, under AdamW.

    Attributes:
        adamw_lr: Learning rate under AdamW, which optimizers of this project respect; see :mod:`panoptic.training`.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, channels: int, num_levels: int, lr: float = 0.01) -> None:
        super().__init__()
        expect_at_least(0, lr=lr)
        self.adamw_lr = lr
        self.logits = nn.Parameter(torch.zeros(num_levels))

    def forward(
        self, levels: Levels, complexity: ComplexityEstimate, inside: Inside = None, pooled: Pooled = None
    ) -> FusedAndAlpha:
        """Fuse levels with the learned weights."""
        alpha = _bound(self.logits[None]).softmax(1).expand(levels[0].shape[0], -1)
        return weighted_sum(levels, alpha), alpha


class RandomFusion(nn.Module):
    """Weights drawn anew for each image in training, uniformly from the simplex; uniform weights in evaluation.

    It makes a network that works with any weights, to measure what choosing them could gain. Draws are those of
    PyTorch's generator on the device of the levels, so that a resumed run has other draws than an unbroken one.

    Args:
        channels: Number of channels of each level, unused.
        num_levels: Number of levels.
    """

    def __init__(self, channels: int, num_levels: int) -> None:
        super().__init__()
        self.num_levels = num_levels

    def forward(
        self, levels: Levels, complexity: ComplexityEstimate, inside: Inside = None, pooled: Pooled = None
    ) -> FusedAndAlpha:
        """Fuse levels with random weights, or with uniform ones in evaluation."""
        shape, device = (levels[0].shape[0], self.num_levels), levels[0].device
        # Exponential variables divided by their sum have the distribution Dirichlet(1, ..., 1).
        draws = torch.empty(shape, device=device).exponential_() if self.training else torch.ones(shape, device=device)
        alpha = draws / draws.sum(1, keepdim=True)
        return weighted_sum(levels, alpha), alpha


class AdaptiveFusion(nn.Module):
    """Weights per image, α = softmax(MLP([complexity, pooled features])).

    Args:
        channels: Number of channels of each level.
        num_levels: Number of levels.
        hidden: Width of the hidden layer of the MLP.
        lr: Learning rate of the MLP, under AdamW.

    Attributes:
        adamw_lr: Learning rate under AdamW, which optimizers of this project respect; see :mod:`panoptic.training`.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, channels: int, num_levels: int, hidden: int = 64, lr: float = 1e-3) -> None:
        super().__init__()
        expect_at_least(1, hidden=hidden)
        expect_at_least(0, lr=lr)
        self.adamw_lr = lr
        self.standardize_complexity = RunningStandardization(2)
        self.standardize_features = RunningStandardization(num_levels * channels)
        # Separate layers, so that two complexity values initially have as much weight as hundreds of features.
        self.from_complexity = nn.Linear(2, hidden)
        self.from_features = nn.Linear(num_levels * channels, hidden)
        self.activation = nn.SiLU()
        self.logits = _init_near_uniform(nn.Linear(hidden, num_levels))

    def forward(
        self, levels: Levels, complexity: ComplexityEstimate, inside: Inside = None, pooled: Pooled = None
    ) -> FusedAndAlpha:
        """Fuse levels with weights from the complexity of the image and the pooled features."""
        features = self.standardize_features(pool(levels, inside) if pooled is None else pooled)
        hidden = self.activation(self.from_complexity(self.measures(complexity)) + self.from_features(features))
        alpha = _bound(self.logits(hidden)).softmax(1)
        return weighted_sum(levels, alpha), alpha

    def measures(self, complexity: ComplexityEstimate) -> Float[Tensor, "B 2"]:
        """Return what the MLP is given of the complexity: density and scale variance of the image, standardized."""
        return self.standardize_complexity(complexity.image)


class FeaturesFusion(AdaptiveFusion):
    """Weights per image from the pooled features alone, the ablation that shows what complexity adds to them.

    The MLP is that of :class:`AdaptiveFusion`, with 0, the mean, in place of the complexity.
    """

    def measures(self, complexity: ComplexityEstimate) -> Float[Tensor, "B 2"]:
        """Return zeros."""
        return torch.zeros_like(complexity.image)


class LocalFusion(nn.Module):
    """Weights per place, from an MLP shared by all cells of the finest level.

    Inputs are the features and the complexity at the cell, and the complexity of the image.

    Args:
        channels: Number of channels of each level.
        num_levels: Number of levels.
        hidden: Width of the hidden layer of the MLP.
        lr: Learning rate of the MLP, under AdamW.

    Attributes:
        adamw_lr: Learning rate under AdamW, which optimizers of this project respect; see :mod:`panoptic.training`.

    Raises:
        InputError: If an argument is out of range.
    """

    def __init__(self, channels: int, num_levels: int, hidden: int = 16, lr: float = 1e-3) -> None:
        super().__init__()
        expect_at_least(1, hidden=hidden)
        expect_at_least(0, lr=lr)
        self.adamw_lr = lr
        self.num_levels = num_levels
        self.standardize_complexity = RunningStandardization(2)
        self.standardize_places = RunningStandardization(2)
        self.from_complexity = nn.Linear(2, hidden)
        self.from_places = nn.Conv2d(2, hidden, 1, bias=False)
        # Features of places need no standardization: BatchNorm precedes them.
        self.from_features = nn.ModuleList(nn.Conv2d(channels, hidden, 1, bias=False) for _ in range(num_levels))
        self.activation = nn.SiLU()
        self.logits = _init_near_uniform(nn.Conv2d(hidden, num_levels, 1))

    def forward(
        self, levels: Levels, complexity: ComplexityEstimate, inside: Inside = None, pooled: Pooled = None
    ) -> FusedAndAlpha:
        """Fuse levels with weights per cell of the finest level."""
        size = levels[0].shape[-2:]
        # Applying a 1x1 convolution to each level and adding the upsampled results is equivalent to one convolution of
        # all levels at the finest size.
        hidden = self.from_complexity(self.standardize_complexity(complexity.image))[:, :, None, None]
        hidden = hidden + _resize(self.hidden_of_places(complexity), size)
        for layer, level in zip(self.from_features, levels, strict=True):
            hidden = hidden + _resize(layer(level), size)
        logits = self.logits(self.activation(hidden)).float() + _resize(self.prior(complexity), size)
        alpha = _bound(logits).softmax(1)
        return weighted_sum(levels, alpha), alpha

    def hidden_of_places(self, complexity: ComplexityEstimate) -> Float[Tensor, "B hidden gh gw"]:
        """Return what the complexity at each place adds to the hidden units."""
        places = complexity.map
        rows = self.standardize_places(places.permute(0, 2, 3, 1).flatten(0, 2))
        return self.from_places(rows.view(places.shape[0], *places.shape[2:], 2).permute(0, 3, 1, 2))

    def prior(self, complexity: ComplexityEstimate) -> Float[Tensor, "B L gh gw"]:
        """Return zeros, what is added to the logits at each place."""
        return complexity.map.new_zeros(1).expand(complexity.map.shape[0], self.num_levels, *complexity.map.shape[2:])


class SizedFusion(LocalFusion):
    """Local fusion that is also told the size of the things around a place, and prefers the level that fits it.

    As boxes are assigned to levels in feature pyramids (Lin et al. 2017), things of twice the side belong one level
    higher. The logits of a place get -β·(l - l₀)² for level l, where l₀ is the binary logarithm of the side of the
    things around it, up to a constant. β and the constant are learned. Where no things are expected, nothing is added.

    Args:
        channels: Number of channels of each level.
        num_levels: Number of levels.
        hidden: Width of the hidden layer of the MLP.
        lr: Learning rate of the MLP, under AdamW.
    """

    def __init__(self, channels: int, num_levels: int, hidden: int = 16, lr: float = 1e-3) -> None:
        super().__init__(channels, num_levels, hidden, lr)
        self.standardize_sizes = RunningStandardization(1)
        self.from_sizes = nn.Conv2d(1, hidden, 1, bias=False)
        self.preference = nn.Parameter(torch.tensor(0.01))  # β; not 0, so that the constant has gradients
        # Cells are as large as those of the coarsest level: things of this size initially belong to the middle level.
        self.middle = nn.Parameter(torch.tensor(1.0))

    def hidden_of_places(self, complexity: ComplexityEstimate) -> Float[Tensor, "B hidden gh gw"]:
        """Return what complexity and sizes at each place add to the hidden units."""
        known, sizes = self._sizes(complexity)
        rows = self.standardize_sizes(sizes.flatten()[:, None]).view_as(sizes)
        return super().hidden_of_places(complexity) + self.from_sizes((known * rows)[:, None])

    def prior(self, complexity: ComplexityEstimate) -> Float[Tensor, "B L gh gw"]:
        """Return what sizes at each place add to the logits."""
        known, sizes = self._sizes(complexity)
        level = torch.arange(self.num_levels, device=sizes.device)[:, None, None]
        distance = (level - (sizes + self.middle)[:, None]).clamp(-2, 2)
        return -self.preference * known[:, None] * distance**2

    @staticmethod
    def _sizes(complexity: ComplexityEstimate) -> tuple[Float[Tensor, "B gh gw"], Float[Tensor, "B gh gw"]]:
        """Return how sure it is that there are things near a place, in 0..1, and the binary logarithm of their side."""
        count, mean, _ = complexity.cells.float().unbind(1)
        number, total = window_sums(torch.stack([count, count * mean], 1), SIZE_WINDOW).unbind(1)
        return number / (number + 1), total / number.clamp(min=1e-3) / (2 * math.log(2))


def pool(levels: Levels, inside: Inside = None) -> Float[Tensor, "B LC"]:
    """Average each level over the image, and concatenate the averages.

    Args:
        levels: Feature levels, fine to coarse.
        inside: Height and width of the image in cells of the finest level. Cells beyond them are left out; those that
            are partly in the image count as whole.
    """
    height, width = inside or levels[0].shape[-2:]
    pooled = []
    for level in levels:
        rows = math.ceil(height * level.shape[2] / levels[0].shape[2])
        columns = math.ceil(width * level.shape[3] / levels[0].shape[3])
        pooled.append(level[..., :rows, :columns].mean(dim=(2, 3)))
    return torch.cat(pooled, dim=1)


def weighted_sum(levels: Levels, alpha: Float[Tensor, "B L *place"]) -> Float[Tensor, "B C h w"]:
    """Resize levels to the size of the first, and sum them with weights.

    Args:
        levels: Feature levels.
        alpha: Weights ``[B L]`` or ``[B L h w]``.
    """
    size = levels[0].shape[-2:]
    weights = alpha[:, :, None, None, None] if alpha.ndim == 2 else alpha[:, :, None]
    fused = levels[0] * weights[:, 0]
    for i, level in enumerate(levels[1:], start=1):
        fused = fused + _resize(level, size) * weights[:, i]
    return fused


def _resize(level: Float[Tensor, "B C _ _"], size: Sequence[int]) -> Float[Tensor, "B C h w"]:
    return F.interpolate(level, size=tuple(size), mode="bilinear", align_corners=False)


def _bound(logits: Float[Tensor, "B L *place"]) -> Float[Tensor, "B L *place"]:
    """Center and bound logits, so that no α becomes 0: it would have no gradient to recover."""
    logits = logits.float()
    return BOUND * torch.tanh((logits - logits.mean(1, keepdim=True)) / BOUND)


def _init_near_uniform(layer: nn.Linear | nn.Conv2d) -> nn.Linear | nn.Conv2d:
    """Initialize with small weights, not 0, so that preceding layers have gradients from the first step."""
    assert layer.bias is not None
    nn.init.normal_(layer.weight, std=1e-3)
    nn.init.zeros_(layer.bias)
    return layer
