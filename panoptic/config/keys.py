"""Dotted keys of a configuration. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

WITHOUT_EFFECT = (
    "study",
    "evaluation",
    "logger",
    "callbacks.pictures",
    "data.cache",
    "data.cache_dir",
    "data.workers",
    "trainer.log_every_n_steps",
    "resume",
    "overrides",
)
"""Keys that do not affect results."""


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of a nested mapping."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_below(key: str, names: Sequence[str]) -> bool:
    """Return whether a dotted key equals one of the names or lies below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)
