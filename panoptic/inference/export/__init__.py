"""Export of a network with its decoding to a file that runs without this project. Exports are imported lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panoptic.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from panoptic.inference.export.exporting import Exported, export_checkpoint
    from panoptic.inference.export.graph import ExportedNetwork

__all__ = ["Exported", "ExportedNetwork", "export_checkpoint"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Exported": "panoptic.inference.export.exporting",
        "ExportedNetwork": "panoptic.inference.export.graph",
        "export_checkpoint": "panoptic.inference.export.exporting",
    },
)
