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
    places, lanes = _places(keys, bins)
    return _total(places, lanes, bins, places.new_ones(()).expand(places.shape))


def sum_by_key(
    keys: Int[Tensor, "B P"], bins: int, *values: Shaped[Tensor, "B P"] | None
) -> list[Int64[Tensor, "B bins"] | Float[Tensor, "B bins"]]:
    """Sums of values over the pixels of each key, exact where they are whole numbers.

    Args:
        keys: of each pixel, from 0 to ``bins`` - 1.
        bins: number of keys.
        values: of each pixel, summed one by one; ``None`` counts pixels.
    """
    places, lanes = _places(keys, bins)
    ones = places.new_ones(()).expand(places.shape)
    return [_total(places, lanes, bins, ones if value is None else value) for value in values]


def _places(keys: Int[Tensor, "B P"], bins: int) -> tuple[Int64[Tensor, "B P"], int]:
    """The place that each pixel adds to, and how many a key has."""
    lanes = _lanes(bins, keys.device)
    if lanes == 1:
        return keys.long(), lanes
    return keys.long() * lanes + torch.arange(keys.shape[1], device=keys.device) % lanes, lanes


def _total(
    places: Int64[Tensor, "B P"], lanes: int, bins: int, value: Shaped[Tensor, "B P"]
) -> Shaped[Tensor, "B bins"]:
    table = value.new_zeros(len(places), bins * lanes).scatter_add_(1, places, value)
    return table if lanes == 1 else table.view(len(places), bins, lanes).sum(2)


def _lanes(bins: int, device: torch.device) -> int:
    """Places of each key, a power of two."""
    if device.type == "cpu":
        return 1
    return 1 << max(min(PLACES // bins, MOST_LANES).bit_length() - 1, 0)
