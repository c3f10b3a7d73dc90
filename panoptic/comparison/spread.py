"""Mean and standard deviation over runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

REPLICATES = 2000
"""Number of bootstrap replicates."""


class Spread(NamedTuple):
    """Mean and standard deviation of some values.

    Attributes:
        mean: Mean; NaN without values.
        std: Sample standard deviation; NaN for fewer than two values.
        count: Number of values.
    """

    mean: float
    std: float
    count: int  # type: ignore[assignment]  # shadows tuple.count, which is not used


def spread(values: Iterable[float]) -> Spread:
    """Compute mean and sample standard deviation."""
    array = np.array(list(values), np.float64)
    if not len(array):
        return Spread(math.nan, math.nan, 0)
    return Spread(float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else math.nan, len(array))
