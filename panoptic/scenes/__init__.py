"""Synthetic street scenes with the classes of Cityscapes: a data set that needs no download.

``python -m panoptic.scenes`` writes them to disk. Exports are imported at their first use, so that the help of that
command needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from panoptic.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from panoptic.scenes.source import GENERATORS, SyntheticSource, render_scene

__all__ = [
    "GENERATORS",
    "SyntheticSource",
    "render_scene",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "GENERATORS": "panoptic.scenes.source",
        "SyntheticSource": "panoptic.scenes.source",
        "render_scene": "panoptic.scenes.source",
    },
)
