"""Agreement of two predictions for an image, and the time that two ways to predict take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Bool, Int


def agreeing_pixels(
    ids: Int[np.ndarray, "H W"],
    classes: Int[np.ndarray, " N"],
    other_ids: Int[np.ndarray, "H W"],
    other_classes: Int[np.ndarray, " M"],
) -> int:
    """Count the pixels of :func:`agreement`."""
    return int(agreement(ids, classes, other_ids, other_classes).sum())


def agreement(
    ids: Int[np.ndarray, "H W"],
    classes: Int[np.ndarray, " N"],
    other_ids: Int[np.ndarray, "H W"],
    other_classes: Int[np.ndarray, " M"],
) -> Bool[np.ndarray, "H W"]:
    """Return which pixels have the same class and the same instance, or are void in both.

    Two segments are the same instance if they are of one class and each is the one that covers most of the other.

    Args:
        ids: Segment of each pixel; 0 is void.
        classes: Class of segment ``i + 1``.
        other_ids: The same of another prediction.
        other_classes: The same of another prediction.
    """
    rows, columns = len(classes) + 1, len(other_classes) + 1
    pair = ids.astype(np.int64) * columns + other_ids
    common = np.bincount(pair.ravel(), minlength=rows * columns).reshape(rows, columns)
    common[0, 1:] = common[1:, 0] = 0  # void is no segment, and agrees with void alone
    best, back = common.argmax(1), common.argmax(0)
    same_class = np.append(-1, classes) == np.append(-1, other_classes)[best]
    same = np.zeros((rows, columns), dtype=bool)
    same[np.arange(rows), best] = (back[best] == np.arange(rows)) & same_class
    return same.ravel()[pair]


def seconds_in_turn(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of several calls, run alternately, after one run of each.

    Args:
        calls: Calls by name.
        repeats: Number of timed runs of each.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
