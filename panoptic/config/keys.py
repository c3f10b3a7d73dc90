"""Keys of a configuration, with dots between their parts. Imports no torch."""

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
    """Keys with dots, and their values."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_below(key: str, names: Sequence[str]) -> bool:
    """Whether a key with dots is one of some names, or below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)
