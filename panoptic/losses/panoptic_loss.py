"""Modules of the individual losses, and their weighted sum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from panoptic.codec import Outputs, Targets
from panoptic.errors import ArgumentError, expect_at_least
from panoptic.losses import functional
from panoptic.segments import VOID


class SemanticLoss(nn.Module):
    """Boundary-aware cross-entropy; see :func:`~panoptic.losses.functional.semantic_loss`.

    Args:
        boundary_weight: Weight of pixels on semantic boundaries, relative to other pixels.
        hard_pixels: Fraction of the pixels, in (0, 1], that contribute: those with the highest loss.
        class_balance: Exponent in [0, 1] of the reweighting of rare classes.
        class_weights: Weight of the pixels of each class; by default 1.

    Raises:
        InputError: If ``boundary_weight`` is negative, ``hard_pixels`` not in (0, 1] or ``class_balance`` not in
            [0, 1].
    """

    weight_of_class: Tensor | None

    def __init__(
        self,
        boundary_weight: float = 2.0,
        hard_pixels: float = 1.0,
        class_balance: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        table = None
        if class_weights is not None:
            table = torch.ones(VOID + 1)
            table[: len(class_weights)] = torch.tensor(class_weights)
        self.register_buffer("weight_of_class", table, persistent=False)
        expect_at_least(0, boundary_weight=boundary_weight)
        if not 0 < hard_pixels <= 1:
            raise ArgumentError("hard_pixels", f"expected a share in (0, 1], got {hard_pixels}")
        if not 0 <= class_balance <= 1:
            raise ArgumentError("class_balance", f"expected a number in [0, 1], got {class_balance}")
        self.boundary_weight = boundary_weight
        self.hard_pixels = hard_pixels
        self.class_balance = class_balance

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        """Compute the loss."""
        weight = targets.semantic_weight
        if self.weight_of_class is not None:
            weight = weight * self.weight_of_class[targets.semantic]
        return functional.semantic_loss(
            outputs.semantic,
            targets.semantic,
            weight,
            boundary_weight=self.boundary_weight,
            hard_pixels=self.hard_pixels,
            class_balance=self.class_balance,
        )


class DiceLoss(nn.Module):
    """Soft Dice loss of the classes; see :func:`~panoptic.losses.functional.dice_loss`."""

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        """Compute the loss."""
        return functional.dice_loss(outputs.semantic, targets.semantic)


class CenterLoss(nn.Module):
    """Penalty-reduced focal loss of the center heatmap; see :func:`~panoptic.losses.functional.center_loss`."""

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        """Compute the loss."""
        return functional.center_loss(outputs.center, targets.center, targets.center_weight)


class OffsetLoss(nn.Module):
    """Absolute error of the offsets; see :func:`~panoptic.losses.functional.offset_loss`."""

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        """Compute the loss."""
        return functional.offset_loss(outputs.offset, targets.offset, targets.offset_weight)


class ComplexityLoss(nn.Module):
    """Error of the predicted complexity; see :func:`~panoptic.losses.functional.complexity_loss`."""

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        """Compute the loss."""
        return functional.complexity_loss(
            outputs.complexity,
            targets.complexity,
            outputs.complexity_map,
            targets.complexity_map,
            outputs.complexity_cells,
            targets.complexity_cells,
        )


class PanopticLoss(nn.Module):
    """Weighted sum of the losses. The Dice loss and that of levels are left out where their weight is 0.

    Args:
        boundary_weight: Weight of pixels on semantic boundaries in the semantic loss. 1 weights all pixels equally.
        hard_pixels: Fraction of the pixels, in (0, 1], that contribute to the semantic loss: the hardest ones.
        class_balance: Exponent in [0, 1] of the reweighting of rare classes in the semantic loss.
        class_weights: Weight in the semantic loss of the pixels of some categories, by name; by default 1.
        dice: Weight of the Dice loss, which counts all classes equally.
        levels: Weight of the losses of the heads for each level alone, which supervise levels (Chen et al. 2016,
            "Attention to Scale"). Their mean over levels counts, with the weights of the other terms.
        semantic: Weight of the semantic loss.
        center: Weight of the center loss.
        offset: Weight of the offset loss.
        complexity: Weight of the complexity loss.
        names: Names of all classes, if ``class_weights`` are given.

    Raises:
        InputError: If a weight is negative, a setting of the semantic loss is out of range, or a weight is given for a
            category that does not exist.
    """

    def __init__(  # noqa: PLR0913  # a weight for each term
        self,
        boundary_weight: float = 2.0,
        hard_pixels: float = 1.0,
        class_balance: float = 0.0,
        dice: float = 0.0,
        levels: float = 0.0,
        semantic: float = 1.0,
        center: float = 1.0,
        offset: float = 0.05,
        complexity: float = 0.1,
        *,
        class_weights: Mapping[str, float] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.levels = levels
        self.weights = {
            "semantic": semantic,
            "center": center,
            "offset": offset,
            "complexity": complexity,
            **({"dice": dice} if dice else {}),
        }
        expect_at_least(0, **self.weights, levels=levels)
        by_class = weights_by_class(class_weights, names)
        self.losses = nn.ModuleDict(
            {
                "semantic": SemanticLoss(boundary_weight, hard_pixels, class_balance, by_class),
                "center": CenterLoss(),
                "offset": OffsetLoss(),
                "complexity": ComplexityLoss(),
                **({"dice": DiceLoss()} if dice else {}),
            }
        )

    @property
    def needs_levels(self) -> bool:
        """Whether the loss takes the outputs for each level."""
        return self.levels > 0

    def forward(
        self, outputs: Outputs, targets: Targets, of_levels: Sequence[Outputs] = ()
    ) -> dict[str, Float[Tensor, ""]]:
        """Return each unweighted loss by name, and their weighted sum as ``total``.

        Args:
            outputs: Network outputs.
            targets: Training targets.
            of_levels: Outputs for each level alone; by default their loss is left out.
        """
        terms = {name: loss(outputs, targets) for name, loss in self.losses.items()}
        total = sum(self.weights[name] * value for name, value in terms.items())
        if of_levels:
            shared = {name: loss for name, loss in self.losses.items() if name != "complexity"}
            terms["levels"] = sum(
                self.weights[name] * loss(level, targets) for level in of_levels for name, loss in shared.items()
            ) / len(of_levels)
            total = total + self.levels * terms["levels"]
        return {**terms, "total": total}


def weights_by_class(weights: Any, names: Sequence[str]) -> list[float] | None:
    """Return the weight of each class, 1 where none is given; ``None`` if none is given at all.

    Args:
        weights: Numbers by names of categories.
        names: Names of all classes.

    Raises:
        InputError: If it is something else.
    """
    if weights is None or weights == {}:
        return None
    if not isinstance(weights, Mapping):
        raise ArgumentError("class_weights", f"expected numbers by names of categories, {{pole: 4}}, got {weights!r}")
    unknown = [name for name in weights if name not in names]
    if unknown:
        raise ArgumentError("class_weights", f"expected names of categories ({', '.join(names)}), got {unknown[0]!r}")
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise ArgumentError(f"class_weights.{name}", f"expected a number of at least 0, got {weight!r}")
    return [float(weights.get(name, 1.0)) for name in names]
