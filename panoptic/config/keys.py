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
    "data.timeout",
    "data.workers",
    "trainer.log_every_n_steps",
    "resume",
    "overrides",
)
"""Keys that do not affect results."""

RESUMABLE = (
    *WITHOUT_EFFECT,
    "callbacks",
    "checkpoint",
    "compile",
    "data.on_error",
    "data.root",
    *(f"data.{split}" for split in ("train", "val", "test")),
    *(
        f"trainer.{key}"
        for key in (
            "accelerator",
            "check_val_every_n_epoch",
            "deterministic",
            "limit_val_batches",
            "max_epochs",
            "max_time",
            "nonfinite",
            "precision",
            "profiler",
        )
    ),
)
"""Keys that a resumed run may change: how long and where it trains, not what. Precision follows the device."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys whose values differ, each with both values; ``None`` stands for one that is missing."""
    before, after = dict(leaves(old)), dict(leaves(new))
    return {
        key: (before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    }


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
