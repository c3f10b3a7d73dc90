"""Scores of a result against the truth that a visitor has, by the project's own metric."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from panoptic.data.coco.json import SegmentTable, load, read_labels
from panoptic.data.coco.reader import read_ids
from panoptic.demo_page.uploads import Limits, Upload, check_pixels, read_upload, stored
from panoptic.errors import InputError
from panoptic.labels import LabelSpace
from panoptic.metrics import PanopticQuality
from panoptic.results import Result
from panoptic.segments import Segments


class Quality(NamedTuple):
    """Quality of a category, or a mean over categories, each in 0..1.

    Attributes:
        name: Name of the category, or ``all``, ``things`` or ``stuff``.
        pq: Panoptic quality.
        sq: Segmentation quality.
        rq: Recognition quality.
    """

    name: str
    pq: float
    sq: float
    rq: float


def read_truth(png: Upload, table: Upload, labels: LabelSpace, limits: Limits) -> Segments:
    """Read the truth of an image in COCO panoptic format.

    Args:
        png: PNG of ids, R + 256 G + 256² B.
        table: JSON file of the data set, in which the entry of ``annotations`` with the PNG's name counts, or the only
            one; or an object with ``segments_info``, such as that entry alone.
        labels: Label space that its category ids belong to.
        limits: Largest uploads.

    Raises:
        InputError: If a file cannot be read, they do not belong together, or the categories are others.
    """
    content = read_upload(table, load)
    path = Path(table.name)  # for messages only
    entry = {"image_id": 0, "file_name": png.name, "segments_info": _entry(content, path, png.name, labels)}
    ids, classes, crowd, _ = SegmentTable.parse({"annotations": [entry]}, path, labels, [0]).rows(0)
    with stored(png) as file:
        check_pixels(file, limits)
        rows = read_ids(file, ids, path)
    return Segments(torch.from_numpy(rows), torch.from_numpy(classes), torch.from_numpy(crowd))


def _entry(content: dict[str, Any], path: Path, png: str, labels: LabelSpace) -> Any:
    """Return the ``segments_info`` of a PNG."""
    if "segments_info" in content:
        return content["segments_info"]
    if "categories" in content and not labels.has_categories_of(found := read_labels(content, path)):
        raise InputError(f"{path}: expected the categories of the checkpoint, {labels.difference(found)}")
    entries = content.get("annotations")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: expected an object with segments_info or annotations, got neither")
    named = entries if len(entries) == 1 else [entry for entry in entries if entry.get("file_name") == png]
    if len(named) != 1 or "segments_info" not in named[0]:
        raise InputError(f"{path}: expected one annotation with segments_info for {png}, got {len(named)}")
    return named[0]["segments_info"]


def segments_of(result: Result) -> Segments:
    """Return the segments of a result as tensors, as metrics take them."""
    rows = max(max((s.id for s in result.segments), default=0), int(result.ids.max(initial=0)))
    classes, scores = torch.full((rows,), -1), torch.zeros(rows)
    for segment in result.segments:
        classes[segment.id - 1], scores[segment.id - 1] = segment.class_index, segment.score
    ids = torch.from_numpy(np.array(result.ids, dtype=np.int32))
    return Segments(ids, classes, torch.zeros(rows, dtype=torch.bool), scores)


def score(result: Result, truth: Segments) -> list[Quality]:
    """Score a result: means over all categories, things and stuff, then each category that occurs.

    Args:
        result: Result of a prediction.
        truth: True segments of the image.

    Raises:
        InputError: If the sizes differ.
    """
    if tuple(truth.size) != result.size:
        expected, got = (f"{width} x {height}" for height, width in (result.size, truth.size))
        raise InputError(f"truth: expected the size of the image, {expected}, got {got}")
    metric = PanopticQuality(result.labels)
    metric.update(segments_of(result), truth)
    scores = {key: float(value) for key, value in metric.compute().items()}
    means = [Quality(n or "all", *(scores[f"{key}{n and '_'}{n}"] for key in KEYS)) for n in ("", "things", "stuff")]
    categories = [Quality(name, *(scores[f"{key}/{name}"] for key in KEYS)) for name in result.labels.names]
    return [*means, *(quality for quality in categories if not math.isnan(quality.pq))]


KEYS = ("pq", "sq", "rq")
