"""Synthetic street scenes with the classes of Cityscapes: a data set that needs no download.

``python -m panoptic.scenes`` writes them to disk. What is exported here is imported when it is first asked for, so that
the help of that command does without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from panoptic.scenes.source import GENERATOR_VERSION, SyntheticSource, render_scene

__all__ = ["GENERATOR_VERSION", "SyntheticSource", "render_scene"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("panoptic.scenes.source"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
