"""The formats that can be converted, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from panoptic.data.convert import coco_instances, instance_masks
from panoptic.data.convert.records import Listing

FORMATS: dict[str, Callable[[Path, Path | None], Listing]] = {
    "instance_masks": instance_masks.listing,
    "coco_instances": coco_instances.listing,
}
"""Functions that list a data set in a folder, with its images in another if that is given."""
