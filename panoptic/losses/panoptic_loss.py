"""One thin module per loss, and the sum of them all."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from panoptic.codec import Outputs, Targets
from panoptic.errors import InputError, expect_at_least
from panoptic.losses import functional


class SemanticLoss(nn.Module):
    """Boundary-aware cross-entropy; see :func:`~panoptic.losses.functional.semantic_loss`.

    Raises:
        InputError: if ``boundary_weight`` is negative, ``hard_pixels`` not in (0, 1] or ``class_balance`` not in
            [0, 1].
    """

    def __init__(self, boundary_weight: float = 2.0, hard_pixels: float = 1.0, class_balance: float = 0.0) -> None:
        super().__init__()
        expect_at_least(0, loss__boundary_weight=boundary_weight)
        if not 0 < hard_pixels <= 1:
            raise InputError(f"loss.hard_pixels: expected a share in (0, 1], got {hard_pixels}")
        if not 0 <= class_balance <= 1:
            raise InputError(f"loss.class_balance: expected a number in [0, 1], got {class_balance}")
        self.boundary_weight = boundary_weight
        self.hard_pixels = hard_pixels
        self.class_balance = class_balance

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        return functional.semantic_loss(
            outputs.semantic,
            targets.semantic,
            targets.semantic_weight,
            boundary_weight=self.boundary_weight,
            hard_pixels=self.hard_pixels,
            class_balance=self.class_balance,
        )


class CenterLoss(nn.Module):
    """Focal loss of the center heatmap; see :func:`~panoptic.losses.functional.center_loss`."""

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        return functional.center_loss(outputs.center, targets.center, targets.center_weight)


class OffsetLoss(nn.Module):
    """Absolute error of the offsets; see :func:`~panoptic.losses.functional.offset_loss`."""

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        return functional.offset_loss(outputs.offset, targets.offset, targets.offset_weight)


class ComplexityLoss(nn.Module):
    """Error of the predicted complexity; see :func:`~panoptic.losses.functional.complexity_loss`."""

    def forward(self, outputs: Outputs, targets: Targets) -> Float[Tensor, ""]:
        return functional.complexity_loss(
            outputs.complexity,
            targets.complexity,
            outputs.complexity_map,
            targets.complexity_map,
            outputs.complexity_cells,
            targets.complexity_cells,
        )


class PanopticLoss(nn.Module):
    """The weighted sum of the four losses.

    Args:
        boundary_weight: of the pixels on semantic boundaries; 1 treats all pixels alike.
        hard_pixels: share of the pixels, the hardest, that the semantic loss takes.
        class_balance: how much rare classes gain in the semantic loss, 0..1.
        semantic: weight of the semantic loss.
        center: weight of the center loss.
        offset: weight of the offset loss.
        complexity: weight of the complexity loss.
    """

    def __init__(
        self,
        boundary_weight: float = 2.0,
        hard_pixels: float = 1.0,
        class_balance: float = 0.0,
        semantic: float = 1.0,
        center: float = 1.0,
        offset: float = 0.05,
        complexity: float = 0.1,
    ) -> None:
        super().__init__()
        expect_at_least(
            0, loss__semantic=semantic, loss__center=center, loss__offset=offset, loss__complexity=complexity
        )
        self.losses = nn.ModuleDict(
            {
                "semantic": SemanticLoss(boundary_weight, hard_pixels, class_balance),
                "center": CenterLoss(),
                "offset": OffsetLoss(),
                "complexity": ComplexityLoss(),
            }
        )
        self.weights = {"semantic": semantic, "center": center, "offset": offset, "complexity": complexity}

    def forward(self, outputs: Outputs, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """Each loss before its weight by name, and ``total``, their weighted sum."""
        terms = {name: loss(outputs, targets) for name, loss in self.losses.items()}
        return {**terms, "total": sum(self.weights[name] * value for name, value in terms.items())}
