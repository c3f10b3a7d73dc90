"""Losses: modules with the settings, around the functions in :mod:`panoptic.losses.functional`."""

from panoptic.losses.panoptic_loss import CenterLoss, ComplexityLoss, OffsetLoss, PanopticLoss, SemanticLoss

__all__ = ["CenterLoss", "ComplexityLoss", "OffsetLoss", "PanopticLoss", "SemanticLoss"]
