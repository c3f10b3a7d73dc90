"""Largest values of a configuration: a number alone must not take gigabytes, or hours. Does not import torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Any

from panoptic.config.keys import leaves
from panoptic.errors import InputError

LIMITS: dict[str, float] = {
    "data.batch_size": 2**16,
    "data.crop": 2**14,
    "data.epoch_size": 10**9,
    "data.height": 2**14,
    "data.width": 2**14,
    "data.*_size": 10**7,
    "data.workers": 2**10,
    "model.*.channels": 2**14,
    "model.*.depth": 2**8,
    "model.*.upsample": 2**6,
    "model.*.hidden": 2**16,
    "model.*.window": 2**12,
    "model.context.bins": 2**8,
    "codec.sigma": 100,
    "codec.*window": 2**12,
    "codec.max_things": 10**6,
    "curriculum.stages": 10**6,
    "callbacks.pictures": 10**4,
    "evaluation.shuffles": 10**4,
    "trainer.devices": 2**10,
    "trainer.num_nodes": 2**14,
    "trainer.max_epochs": 10**9,
    "*": 2**62,  # beyond what a tensor holds
}
"""Largest values by key, where ``*`` stands for anything; the first that fits holds, for each entry of a list."""

MAX_ENTRIES = 64
"""Largest number of entries of a list of numbers."""


def check_limits(config: Mapping[str, Any], source: str = "", passed: Collection[str] = ()) -> None:
    """Raise for a number that is larger than any of use.

    Args:
        config: Configuration as plain containers.
        source: Path of its file, for error messages.
        passed: Keys whose values are not used.

    Raises:
        InputError: If there is such a number, or a list of too many.
    """
    start = f"{source}: " if source else ""
    for key, value in leaves(config):
        values = value if isinstance(value, (list, tuple)) else [value]
        numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        if not numbers or key in passed:
            continue
        if len(numbers) > MAX_ENTRIES:
            raise InputError(f"{start}{key}: expected at most {MAX_ENTRIES} numbers, got {len(numbers)}")
        limit = next(limit for pattern, limit in LIMITS.items() if fnmatchcase(key, pattern))
        if any(not math.isfinite(number) for number in numbers):
            raise InputError(f"{start}{key}: expected finite numbers, got {value}")
        largest = max(numbers)
        if largest > limit:
            raise InputError(f"{start}{key}: expected at most {limit:g}, got {_short(largest)}")


def _short(number: float) -> str:
    return str(number) if abs(number) < 2**64 else f"one of {len(str(int(number)))} digits"
