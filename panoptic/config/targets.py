"""Classes and functions that a stored configuration may name: a checkpoint is data, and must not choose what runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from panoptic.errors import InputError

TARGETS = frozenset(
    {
        *(f"lightning.pytorch.loggers.{name}Logger" for name in ("CSV", "MLFlow", "TensorBoard", "Wandb")),
        "panoptic.codec.Codec",
        *(f"panoptic.data.{name}Data" for name in ("Cityscapes", "CocoPanoptic", "Synthetic")),
        "panoptic.losses.PanopticLoss",
        *(f"panoptic.models.{name}Fusion" for name in ("Adaptive", "Features", "Local", "Random", "Sized", "Static")),
        *(f"panoptic.models.{name}" for name in ("Backbone", "ComplexityEstimator", "FPN", "PanopticNetwork")),
        *(f"panoptic.models.{name}" for name in ("NoContext", "PyramidPooling", "UniformFusion")),
        *(f"panoptic.models.{name}Head" for name in ("Instance", "Semantic")),
        *(f"panoptic.training.{name}" for name in ("Curriculum", "adamw_cosine", "muon_cosine")),
    }
)
"""Public names that ``_target_`` has in the configuration files. They stay when files move."""


def check_stored(config: Any, source: str, trusted: Collection[str] = ()) -> None:
    """Raise if a stored configuration would run code that is not of this project, or read the environment.

    Args:
        config: Configuration as plain containers.
        source: Path of its file, for error messages.
        trusted: Keys whose values are not used, since they were given anew.

    Raises:
        InputError: If a ``_target_`` at any depth is not in :data:`TARGETS`, or a value is an interpolation.
    """
    for key, value in _leaves(config, ""):
        if key in trusted or not isinstance(value, str):
            continue
        if "${" in value:
            raise InputError(f"{source}: {key}: expected a plain value, got the interpolation {value!r}")
        if key.rpartition(".")[2] == "_target_" and value not in TARGETS:
            raise InputError(
                f"{source}: {key}: expected a class of panoptic, got {value!r}; if you trust it, give "
                f"{key}={value} on the command line"
            )


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
            if isinstance(key, str) and "${" in key:
                yield f"{path}.{key}", key
    elif isinstance(node, (list, tuple)):
        for number, value in enumerate(node):
            yield from _leaves(value, f"{path}.{number}")
    else:
        yield path, node
