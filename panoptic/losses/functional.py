"""The losses as pure functions. All reduce to a scalar that is 0, with gradient 0, where nothing counts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from panoptic.segments import VOID
from panoptic.utils.counting import count_by_key

LEAST_VARIANCE = 0.05
"""Of the log areas of things in a cell, in :func:`cell_loss`: a standard deviation of a fifth of the area."""

CELLS_PER_THING = 256
"""In :func:`cell_loss`, a batch counts as one with at least a thing for so many cells."""


def semantic_boundary(semantic: Int64[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """Where the gradient magnitude of the label map is not zero.

    The gradient is the central difference in each direction, so that the pixels on both sides of an edge are boundary.
    A label is a name, not a quantity: all that counts of a difference is whether there is one. The image's border is no
    boundary, the edge of void is.
    """
    vertical, horizontal = (torch.zeros_like(semantic, dtype=torch.bool) for _ in range(2))
    vertical[:, 1:-1] = semantic[:, 2:] != semantic[:, :-2]
    horizontal[:, :, 1:-1] = semantic[:, :, 2:] != semantic[:, :, :-2]
    # At the border a one-sided difference, as numpy.gradient has it.
    for edge, inner in ((0, 1), (-1, -2)):
        if semantic.shape[1] > 1:
            vertical[:, edge] = semantic[:, edge] != semantic[:, inner]
        if semantic.shape[2] > 1:
            horizontal[:, :, edge] = semantic[:, :, edge] != semantic[:, :, inner]
    return vertical | horizontal


def semantic_loss(
    logits: Float[Tensor, "B C H W"],
    semantic: Int64[Tensor, "B H W"],
    weight: Float[Tensor, "B H W"],
    *,
    boundary_weight: float = 2.0,
    hard_pixels: float = 1.0,
    class_balance: float = 0.0,
) -> Float[Tensor, ""]:
    """Boundary-aware cross-entropy, averaged over the pixels that are not void.

    With weights, the mean is weighted: a weight says how much a pixel counts against the others, and does not scale the
    loss as a whole.

    Args:
        logits: of each class.
        semantic: class, or void.
        weight: of each pixel beside its boundary weight.
        boundary_weight: how much more a pixel on a boundary between classes counts than one that is not.
        hard_pixels: share, in (0, 1], of the pixels of the batch that count: those with the highest weighted loss
            (hard-pixel mining, Yang et al. 2019); 1 takes all.
        class_balance: how much rare classes gain, in [0, 1]: with n pixels of a class in the batch, each counts by
            n to the power of minus this, so that classes count by n at 0, by its square root at 0.5, and alike at 1.
    """
    if class_balance > 0:
        weight = weight * _rarity(semantic, logits.shape[1], class_balance)
    weight = weight * torch.where(semantic_boundary(semantic), boundary_weight, 1.0) * (semantic != VOID)
    loss = F.cross_entropy(logits.float(), semantic, ignore_index=VOID, reduction="none") * weight
    if hard_pixels < 1.0:
        loss, hardest = loss.flatten().topk(max(int(hard_pixels * loss.numel()), 1))
        weight = weight.flatten()[hardest]
    return _ratio(loss.sum(), weight.sum())


def _rarity(semantic: Int64[Tensor, "B H W"], num_classes: int, power: float) -> Float[Tensor, "B H W"]:
    """For each pixel, the number of pixels of its class in the batch to the power of minus ``power``."""
    index = torch.where(semantic == VOID, num_classes, semantic).flatten()
    (count,) = count_by_key(index[None], num_classes + 1).float()
    return (count.clamp(min=1) ** -power)[index].view_as(semantic)


def center_loss(
    logits: Float[Tensor, "B H W"], heatmap: Float[Tensor, "B H W"], weight: Float[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Penalty-reduced focal loss of the center heatmap, a mean over things.

    Places near a center are hardly punished for being high; the exponents are those of CornerNet (Law and Deng 2018)
    and CenterNet (Zhou et al. 2019), α = 2 and β = 4. An image without things still teaches that there is no center.
    """
    logits = logits.float()
    probability = logits.sigmoid()
    is_center = heatmap >= 1.0
    at_center = -F.logsigmoid(logits) * (1 - probability) ** 2
    elsewhere = -F.logsigmoid(-logits) * probability**2 * (1 - heatmap) ** 4
    total = (torch.where(is_center, at_center, elsewhere) * weight).sum()
    return total / (is_center * weight).sum().clamp(min=1)


def offset_loss(
    offset: Float[Tensor, "B 2 H W"], target: Float[Tensor, "B 2 H W"], weight: Float[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Mean absolute error of the offsets over the pixels of things, in cells, both directions added."""
    error = (offset.float() - target).abs().sum(1)
    return _ratio((error * weight).sum(), weight.sum())


def complexity_loss(
    image: Float[Tensor, "B 2"],
    image_target: Float[Tensor, "B 2"],
    places: Float[Tensor, "B 2 h w"],
    places_target: Float[Tensor, "B 2 h w"],
    cells: Float[Tensor, "B 3 h w"],
    cells_target: Float[Tensor, "B 3 h w"],
) -> Float[Tensor, ""]:
    """Smooth absolute error of both complexity numbers, of the image and per place, and :func:`cell_loss`, added."""
    numbers = F.smooth_l1_loss(image.float(), image_target) + F.smooth_l1_loss(places.float(), places_target)
    return numbers + cell_loss(cells, cells_target)


def cell_loss(cells: Float[Tensor, "B 3 h w"], target: Float[Tensor, "B 3 h w"]) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence of what is said of the things of each cell from the truth, per thing.

    The number of things of a cell is taken for a Poisson variable and the logarithms of their areas for normal ones,
    as in a marked Poisson process (Daley and Vere-Jones 2003): up to a constant, the divergence is the negative
    log-likelihood of the things of the cell. The sum over all cells is divided by the number of things of the batch, or
    by one for :data:`CELLS_PER_THING` cells if that is more: a batch with next to none must not outweigh all others.

    Args:
        cells: expected number of things, mean and variance of their log areas.
        target: number of things, mean and variance of their log areas; a variance of :data:`LEAST_VARIANCE` is added
            to both, or single things, whose variance is 0, would weigh without bounds.
    """
    expected, mean, variance = cells.float().unbind(1)
    count, true_mean, true_variance = target.unbind(1)
    variance, true_variance = variance + LEAST_VARIANCE, true_variance + LEAST_VARIANCE
    of_count = expected - count + torch.xlogy(count, count) - torch.xlogy(count, expected.clamp(min=1e-30))
    of_areas = (true_variance + (true_mean - mean) ** 2) / variance - 1 + (variance / true_variance).log()
    return (of_count + count * of_areas / 2).sum() / count.sum().clamp(min=max(count.numel() / CELLS_PER_THING, 1.0))


def _ratio(total: Float[Tensor, ""], weight: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """``total / weight``, and 0 where the weight is 0, without waiting for the device."""
    return total / torch.where(weight > 0, weight, 1.0)
