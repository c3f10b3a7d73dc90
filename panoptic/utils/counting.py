"""Counts and sums of pixels by key, such as the id or class of their segment.

Each pixel adds to an accumulator of its key. On a GPU, threads that add to the same accumulator wait for each other,
and neighboring pixels mostly share their key. There, every key has as many accumulators (lanes) as fit in a table of
limited size, which pixels use in turn; they are summed at the end.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Int64, Shaped
from torch import Tensor

PLACES = 1 << 20
"""Maximum number of accumulators per image on a GPU."""

MOST_LANES = 256
"""Maximum number of accumulators per key; more do not make it faster."""


def count_by_key(keys: Int[Tensor, "B P"], bins: int) -> Int64[Tensor, "B bins"]:
    """Count the pixels of each key.

    Args:
        keys: Key of each pixel, from 0 to ``bins`` - 1.
        bins: Number of keys.
    """
    index, lanes = _accumulator_index(keys, bins)
    if lanes == 1 and index.device.type == "cpu" and len(index) > 0:  # a third of the time of adding to accumulators
        return torch.stack([torch.bincount(row, minlength=bins) for row in index])
    return _accumulate(index, lanes, bins, index.new_ones(()).expand(index.shape))


def sum_by_key(
    keys: Int[Tensor, "B P"], bins: int, *values: Shaped[Tensor, "B P"] | None
) -> list[Int64[Tensor, "B bins"] | Float[Tensor, "B bins"]]:
    """Sum values over the pixels of each key, exactly for integers.

    Args:
        keys: Key of each pixel, from 0 to ``bins`` - 1.
        bins: Number of keys.
        *values: Values of each pixel, summed separately. ``None`` counts pixels.

    Returns:
        Sums of each of the values.
    """
    index, lanes = _accumulator_index(keys, bins)
    ones = index.new_ones(()).expand(index.shape)
    return [_accumulate(index, lanes, bins, ones if value is None else value) for value in values]


def _accumulator_index(keys: Int[Tensor, "B P"], bins: int) -> tuple[Int64[Tensor, "B P"], int]:
    """Return the accumulator of each pixel, and the number of accumulators per key."""
    lanes = _lanes(bins, keys.device)
    if lanes == 1:
        return keys.long(), lanes
    return keys.long() * lanes + torch.arange(keys.shape[1], device=keys.device) % lanes, lanes


def _accumulate(
    index: Int64[Tensor, "B P"], lanes: int, bins: int, value: Shaped[Tensor, "B P"]
) -> Shaped[Tensor, "B bins"]:
    table = value.new_zeros(len(index), bins * lanes).scatter_add_(1, index, value)
    return table if lanes == 1 else table.view(len(index), bins, lanes).sum(2)


def _lanes(bins: int, device: torch.device) -> int:
    """Return the number of accumulators per key, a power of two."""
    if device.type == "cpu":
        return 1
    return 1 << max(min(PLACES // bins, MOST_LANES).bit_length() - 1, 0)
