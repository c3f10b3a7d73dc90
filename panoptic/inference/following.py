"""Identities of things over the frames of a video, by overlap from each frame to the next."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment

from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.counting import count_by_key

LEAST_IOU = 0.2
"""Smallest IoU of a thing in two consecutive frames."""


class Follower:
    """Gives each segment of a frame a number that it keeps as long as it overlaps itself in the frame before.

    Stuff of class ``c`` has the number ``c + 1`` in all frames. Things have further ones. They keep them where the sum
    of the IoU of all pairs of things of one class is the largest; pairs of less than :data:`LEAST_IOU` are none.

    Args:
        labels: Label space of the segments.
    """

    def __init__(self, labels: LabelSpace) -> None:
        self.labels = labels
        self._last: Segments | None = None
        self._numbers = np.zeros(0, dtype=np.int64)
        self._next = len(labels) + 1

    def follow(self, segments: Segments) -> Int64[np.ndarray, " N"]:
        """Return the numbers of the segments of the next frame.

        Args:
            segments: Segments of one frame; of the size of those before, or nothing is followed.
        """
        classes = segments.classes.numpy()
        numbers = classes + 1
        is_thing = np.array(self.labels.is_thing)[classes]
        things = np.flatnonzero(is_thing)
        numbers[things] = 0
        if self._last is not None and self._last.size == segments.size:
            for before, after in self._pairs(self._last, segments, things):
                numbers[after] = self._numbers[before]
        for row in things:
            if numbers[row] == 0:
                numbers[row] = self._next
                self._next += 1
        self._last, self._numbers = segments, numbers
        return numbers

    def _pairs(self, last: Segments, segments: Segments, things: np.ndarray) -> list[tuple[int, int]]:
        """Return pairs of rows of the same thing in two frames."""
        earlier = np.flatnonzero(np.array(self.labels.is_thing)[last.classes.numpy()])
        if len(earlier) == 0 or len(things) == 0:
            return []
        iou = _iou(last, segments)[np.ix_(earlier, things)]
        iou[last.classes.numpy()[earlier][:, None] != segments.classes.numpy()[things]] = 0
        rows, columns = linear_sum_assignment(np.where(iou >= LEAST_IOU, iou, 0), maximize=True)
        return [(int(earlier[r]), int(things[c])) for r, c in zip(rows, columns, strict=True) if iou[r, c] >= LEAST_IOU]


def _iou(a: Segments, b: Segments) -> Float64[np.ndarray, "N M"]:
    """Return the IoU of all pairs of segments of two maps."""
    rows, columns = len(a.classes) + 1, len(b.classes) + 1
    keys = a.ids.flatten().long() * columns + b.ids.flatten()
    shared = count_by_key(keys[None], rows * columns)[0].view(rows, columns).to(torch.float64).numpy()
    union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    return (shared / np.maximum(union, 1))[1:, 1:]
