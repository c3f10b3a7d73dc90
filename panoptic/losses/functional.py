"""Losses as pure functions. Each returns a scalar, which is 0 with gradient 0 if nothing contributes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from panoptic.segments import VOID
from panoptic.utils.counting import count_by_key

LEAST_VARIANCE = 0.05
"""Variance floor for log areas in :func:`cell_loss`: a standard deviation of a fifth of the area."""

CELLS_PER_THING = 256
"""Lower bound for the divisor in :func:`cell_loss`: one thing per this many cells."""


def semantic_boundary(semantic: Int64[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """Return the pixels whose class differs from that of one of their four neighbors.

    These are the pixels where the gradient of the label map, with one-sided differences to either side, is not zero.
    Labels are categorical, so only whether they differ matters. Both sides of an edge are boundary, and so are lines of
    a single pixel. The border of the image is no boundary, the edge of void is.
    """
    boundary = torch.zeros_like(semantic, dtype=torch.bool)
    rows = semantic[:, 1:] != semantic[:, :-1]
    columns = semantic[:, :, 1:] != semantic[:, :, :-1]
    boundary[:, 1:] |= rows
    boundary[:, :-1] |= rows
    boundary[:, :, 1:] |= columns
    boundary[:, :, :-1] |= columns
    return boundary


def semantic_loss(
    logits: Float[Tensor, "B C H W"],
    semantic: Int64[Tensor, "B H W"],
    weight: Float[Tensor, "B H W"],
    *,
    boundary_weight: float = 2.0,
    hard_pixels: float = 1.0,
    class_balance: float = 0.0,
) -> Float[Tensor, ""]:
    """Compute boundary-aware cross-entropy, averaged over the pixels that are not void.

    The mean is weighted: weights are relative between pixels and do not scale the loss as a whole.

    Args:
        logits: Class logits.
        semantic: Class of each pixel, or void.
        weight: Weight of each pixel, multiplied by its boundary weight.
        boundary_weight: Weight of pixels on a boundary between classes, relative to other pixels.
        hard_pixels: Fraction of the pixels of the batch, in (0, 1], that contribute: those with the highest weighted
            loss (hard-pixel mining, Yang et al. 2019). 1 takes all.
        class_balance: Exponent in [0, 1] of the reweighting of rare classes. Each of the n pixels of a class in the
            batch is weighted by n to the power of minus this exponent, so the total weight of a class is proportional
            to n at 0, to the square root of n at 0.5, and equal for all classes at 1.
    """
    if class_balance > 0:
        weight = weight * _rarity(semantic, logits.shape[1], class_balance)
    weight = weight * torch.where(semantic_boundary(semantic), boundary_weight, 1.0) * (semantic != VOID)
    loss = F.cross_entropy(logits.float(), semantic, ignore_index=VOID, reduction="none") * weight
    if hard_pixels < 1.0:
        loss, hardest = loss.flatten().topk(max(int(hard_pixels * loss.numel()), 1))
        weight = weight.flatten()[hardest]
    return _ratio(loss.sum(), weight.sum())


def dice_loss(logits: Float[Tensor, "B C H W"], semantic: Int64[Tensor, "B H W"]) -> Float[Tensor, ""]:
    """Compute the soft Dice loss (Milletari et al. 2016), averaged over the classes that occur in the batch.

    Each class counts equally, whatever its area, so that thin and rare classes do not vanish beside the others. Void
    counts for none.

    Args:
        logits: Class logits.
        semantic: Class of each pixel, or void.
    """
    known = semantic != VOID
    probabilities = logits.float().softmax(1) * known[:, None]
    index = torch.where(known, semantic, 0)[:, None]
    (areas,) = count_by_key(torch.where(known, semantic, logits.shape[1]).flatten()[None], logits.shape[1] + 1).float()
    areas = areas[:-1]
    # Probability of the true class, summed by class: the overlap of prediction and truth.
    true = probabilities.gather(1, index)[:, 0]
    overlap = torch.zeros_like(areas).index_add(0, index.flatten(), true.flatten())
    dice = 2 * overlap / (probabilities.sum((0, 2, 3)) + areas).clamp(min=1)
    present = areas > 0
    return _ratio(torch.where(present, 1 - dice, 0.0).sum(), present.sum().float())


def _rarity(semantic: Int64[Tensor, "B H W"], num_classes: int, power: float) -> Float[Tensor, "B H W"]:
    """Return, for each pixel, the number of pixels of its class in the batch to the power of ``-power``."""
    index = torch.where(semantic == VOID, num_classes, semantic).flatten()
    (count,) = count_by_key(index[None], num_classes + 1).float()
    return (count.clamp(min=1) ** -power)[index].view_as(semantic)


def center_loss(
    logits: Float[Tensor, "B H W"], heatmap: Float[Tensor, "B H W"], weight: Float[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Compute the penalty-reduced focal loss of the center heatmap, averaged over things.

    The penalty for high values is reduced near centers. The exponents are those of CornerNet (Law and Deng 2018) and
    CenterNet (Zhou et al. 2019), α = 2 and β = 4. Images without things contribute too: all cells are negatives.

    Args:
        logits: Logits of the center heatmap.
        heatmap: Target heatmap in 0..1, with 1 at centers.
        weight: Weight of each cell.
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
    """Compute the weighted mean absolute error of the offsets in cells, summed over both directions.

    Args:
        offset: Predicted offsets (dy, dx) in cells.
        target: True offsets (dy, dx) in cells.
        weight: Weight of each cell, 0 off things.
    """
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
    """Compute the sum of :func:`cell_loss` and the smooth L1 losses of the complexity of the image and per place.

    Args:
        image: Predicted object density and scale variance of the image.
        image_target: True values for ``image``.
        places: Predicted object density and scale variance per place.
        places_target: True values for ``places``.
        cells: Predicted statistics of each cell; see :func:`cell_loss`.
        cells_target: True values for ``cells``.
    """
    numbers = F.smooth_l1_loss(image.float(), image_target) + F.smooth_l1_loss(places.float(), places_target)
    return numbers + cell_loss(cells, cells_target)


def cell_loss(cells: Float[Tensor, "B 3 h w"], target: Float[Tensor, "B 3 h w"]) -> Float[Tensor, ""]:
    """Compute the Kullback-Leibler divergence of the predicted things of each cell from the true ones, per thing.

    The number of things in a cell is modeled as a Poisson variable and their log areas as normal variables, as in a
    marked Poisson process (Daley and Vere-Jones 2003). Up to a constant, the divergence is the negative log-likelihood
    of the things in the cell. The sum over all cells is divided by the number of things in the batch, or by one per
    :data:`CELLS_PER_THING` cells if that is more, so that a batch with hardly any things does not outweigh the others.

    :data:`LEAST_VARIANCE` is added to both variances; otherwise the weight of single things, whose variance is 0, would
    be unbounded.

    Args:
        cells: Expected number of things, and mean and variance of their log areas.
        target: True number of things, and mean and variance of their log areas.
    """
    expected, mean, variance = cells.float().unbind(1)
    count, true_mean, true_variance = target.unbind(1)
    variance, true_variance = variance + LEAST_VARIANCE, true_variance + LEAST_VARIANCE
    count_divergence = expected - count + torch.xlogy(count, count) - torch.xlogy(count, expected.clamp(min=1e-30))
    area_divergence = (true_variance + (true_mean - mean) ** 2) / variance - 1 + (variance / true_variance).log()
    divergence = (count_divergence + count * area_divergence / 2).sum()
    return divergence / count.sum().clamp(min=max(count.numel() / CELLS_PER_THING, 1.0))


def _ratio(total: Float[Tensor, ""], weight: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return ``total / weight``, or 0 if the weight is 0, without synchronizing with the device."""
    return total / torch.where(weight > 0, weight, 1.0)
