"""What the tests of COCO panoptic files share: segments, and data sets of one small image."""

from __future__ import annotations

import torch
from PIL import Image

from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

LABELS = LabelSpace((Category("sky", 7, False, (0, 100, 200)), Category("car", 3, True, (200, 40, 40))))


def make_segments(ids, classes, crowd=None, scores=None):
    crowd = [False] * len(classes) if crowd is None else crowd
    return Segments(
        torch.tensor(ids, dtype=torch.int32),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(crowd, dtype=torch.bool),
        None if scores is None else torch.tensor(scores),
    )


def assert_same(one, other):
    assert one.ids.dtype == other.ids.dtype == torch.int32
    for column in ("ids", "classes", "crowd"):
        assert torch.equal(getattr(one, column), getattr(other, column)), column
    assert (one.scores is None) == (other.scores is None)
    assert one.scores is None or torch.equal(one.scores, other.scores)


def write_image(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (1, 2, 3)).save(path)
