"""Counts and sums of pixels by a key, such as the segment or the class that each belongs to.

A pixel adds to the place of its key. On a GPU, threads that add to one place at the same time wait for each other, and
neighboring pixels mostly share their key. So there every key gets as many places as there is room for, which the pixels
take in turn; these are summed in the end.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Int64, Shaped
from torch import Tensor

PLACES = 1 << 20
"""Numbers that a table may have for each image on a GPU."""

MOST_LANES = 256
"""Places that a key may have: beyond, nothing is gained."""


def count_by_key(keys: Int[Tensor, "B P"], bins: int) -> Int64[Tensor, "B bins"]:
    """Number of pixels of each key.

    Args:
        keys: of each pixel, from 0 to ``bins`` - 1.
        bins: number of keys.
    """
    return sum_by_key(keys, bins, None)[0]


def sum_by_key(
    keys: Int[Tensor, "B P"], bins: int, *values: Shaped[Tensor, "B P"] | None
) -> list[Int64[Tensor, "B bins"] | Float[Tensor, "B bins"]]:
    """Sums of values over the pixels of each key, exact where they are whole numbers.

    Args:
        keys: of each pixel, from 0 to ``bins`` - 1.
        bins: number of keys.
        values: of each pixel, summed one by one; ``None`` counts pixels.
    """
    lanes = _lanes(bins, keys.device)
    places = keys.long()
    if lanes > 1:
        places = places * lanes + torch.arange(keys.shape[1], device=keys.device) % lanes
    sums = []
    for value in values:
        value = places.new_ones(()).expand(places.shape) if value is None else value
        table = value.new_zeros(len(keys), bins * lanes).scatter_add_(1, places, value)
        sums.append(table if lanes == 1 else table.view(len(keys), bins, lanes).sum(2))
    return sums


def _lanes(bins: int, device: torch.device) -> int:
    """Places of each key, a power of two."""
    if device.type == "cpu":
        return 1
    return 1 << max(min(PLACES // bins, MOST_LANES).bit_length() - 1, 0)
