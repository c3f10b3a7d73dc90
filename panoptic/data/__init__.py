"""Data sets: readers, caches, augmentation, batching and loaders. Exports are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from panoptic.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from panoptic.data.batch import Batch
    from panoptic.data.cityscapes import CityscapesSource
    from panoptic.data.coco.reader import CocoPanopticSource
    from panoptic.data.coco.writer import CityscapesPanopticWriter, CocoPanopticWriter
    from panoptic.data.data_sets import CityscapesData, CocoPanopticData, SyntheticData
    from panoptic.data.datamodule import DataModule
    from panoptic.data.sample import Sample, Source

__all__ = [
    "Batch",
    "CityscapesData",
    "CityscapesPanopticWriter",
    "CityscapesSource",
    "CocoPanopticData",
    "CocoPanopticSource",
    "CocoPanopticWriter",
    "DataModule",
    "Sample",
    "Source",
    "SyntheticData",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Batch": "panoptic.data.batch",
        "CityscapesData": "panoptic.data.data_sets",
        "CityscapesPanopticWriter": "panoptic.data.coco.writer",
        "CityscapesSource": "panoptic.data.cityscapes",
        "CocoPanopticData": "panoptic.data.data_sets",
        "CocoPanopticSource": "panoptic.data.coco.reader",
        "CocoPanopticWriter": "panoptic.data.coco.writer",
        "DataModule": "panoptic.data.datamodule",
        "Sample": "panoptic.data.sample",
        "Source": "panoptic.data.sample",
        "SyntheticData": "panoptic.data.data_sets",
    },
)
