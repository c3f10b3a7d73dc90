"""What is known of a split before training: the only category, if there is but one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from panoptic.data.sample import Sample
from panoptic.data.statistics import only_category
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments


class Rows:
    """A source of images of one row, given by the class of each segment; id 0 is void, ``None`` cannot be read."""

    labels = LabelSpace((Category("field", 1, False, (0, 0, 0)), Category("cell", 2, True, (9, 9, 9))))

    def __init__(self, *images: tuple[list[int], list[int]] | None) -> None:
        self.images = images
        self.read_ones: list[int] = []

    @property
    def image_ids(self) -> list[int]:
        return list(range(len(self.images)))

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int, strength: float = 1.0) -> Sample:
        self.read_ones.append(index)
        image = self.images[index]
        if image is None:
            raise InputError("a.png: expected an image, got none")
        ids, classes = image
        crowd = torch.zeros(len(classes), dtype=torch.bool)
        segments = Segments(torch.tensor([ids], dtype=torch.int32), torch.tensor(classes, dtype=torch.int64), crowd)
        return Sample(np.zeros((1, len(ids), 3), np.uint8), segments, str(index))


CELL, BOTH, FULL, EMPTY = ([1, 0], [1]), ([1, 2], [0, 1]), ([1, 1], [1]), ([0, 0], [])


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ((CELL, CELL), 1),
        ((FULL, EMPTY), 1),
        ((None, CELL), 1),
        ((FULL, FULL), None),  # no void
        ((EMPTY, EMPTY), None),  # no category
        ((CELL, BOTH), None),
    ],
)
def test_the_only_category_is_found(images: tuple, expected: int | None) -> None:
    source = Rows(*images)
    assert only_category(source) == (None if expected is None else Rows.labels.names[expected])


def test_no_more_is_read_than_is_needed() -> None:
    source = Rows(BOTH, *[CELL] * 99)
    assert only_category(source) is None
    assert source.read_ones == [0]
    source = Rows(*[CELL] * 100)
    assert only_category(source, samples=3) == Rows.labels.names[1]
    assert source.read_ones == [0, 49, 99]
