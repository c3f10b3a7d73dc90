"""The formats that can be converted, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from panoptic.data.convert import cityscapes, coco_instances, cvat, instance_masks, labelme, masks, voc, yolo_seg
from panoptic.data.convert.records import Listing

FORMATS: dict[str, Callable[[Path, Path | None], Listing]] = {
    "instance_masks": instance_masks.listing,
    "coco_instances": coco_instances.listing,
    "masks": masks.listing,
    "labelme": labelme.listing,
    "yolo_seg": yolo_seg.listing,
    "voc": voc.listing,
    "cvat": cvat.listing,
    "cityscapes": cityscapes.listing,
}
"""Functions that list a data set in a folder, with its images in another if that is given."""

ALONE = ("instance_masks", "yolo_seg", "cityscapes")
"""Formats whose images are found by their layout alone."""
