"""Losses: the mathematics in :mod:`panoptic.losses.functional`, thin modules that hold their settings here."""

from panoptic.losses.panoptic_loss import CenterLoss, ComplexityLoss, OffsetLoss, PanopticLoss, SemanticLoss

__all__ = ["CenterLoss", "ComplexityLoss", "OffsetLoss", "PanopticLoss", "SemanticLoss"]
