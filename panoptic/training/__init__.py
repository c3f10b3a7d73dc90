"""Training: Lightning module, optimizers, checkpoints, run folders and callbacks. Exports are imported lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panoptic.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from panoptic.training.callbacks.curriculum import Curriculum
    from panoptic.training.checkpoint import Checkpoint, read_checkpoint
    from panoptic.training.module import PanopticModule
    from panoptic.training.optim import Muon, adamw_cosine, muon_cosine

__all__ = [
    "Checkpoint",
    "Curriculum",
    "Muon",
    "PanopticModule",
    "adamw_cosine",
    "muon_cosine",
    "read_checkpoint",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Checkpoint": "panoptic.training.checkpoint",
        "Curriculum": "panoptic.training.callbacks.curriculum",
        "Muon": "panoptic.training.optim",
        "PanopticModule": "panoptic.training.module",
        "adamw_cosine": "panoptic.training.optim",
        "muon_cosine": "panoptic.training.optim",
        "read_checkpoint": "panoptic.training.checkpoint",
    },
)
