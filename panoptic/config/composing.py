"""Composition of configurations with Hydra, and instantiation. Does not import torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from panoptic.config.schema import register
from panoptic.errors import ArgumentError, InputError, within


def config_path() -> str:
    """Return the location of the configuration files: next to the package in a checkout, else inside the package."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "train.yaml").is_file():
        return str(checkout / "conf")
    return "pkg://panoptic.conf"


def with_hydra() -> AbstractContextManager:
    """Initialize Hydra with this project's configuration, unless it is initialized already."""
    from hydra import initialize_config_dir, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    if GlobalHydra.instance().is_initialized():
        return nullcontext()
    register()
    path = config_path()
    if path.startswith("pkg://"):
        return initialize_config_module(path.removeprefix("pkg://"), version_base="1.3")
    return initialize_config_dir(path, version_base="1.3")


def build(node: DictConfig, **arguments: Any) -> Any:
    """Instantiate a node recursively, with its containers converted to plain ones.

    Errors of arguments, also those that a partial raises when it is called, name them by their keys; the key of a value
    that is taken from another is that of the other.

    Raises:
        InputError: If the target raises it; Hydra's wrapper is removed.
    """
    from hydra.utils import instantiate

    try:
        with _keys_named(node):
            built = instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, ArgumentError):
            with _keys_named(node):
                raise error.__cause__ from None
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
    return partial(_call_within, node, built) if isinstance(built, partial) else built


def _call_within(node: DictConfig, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    with _keys_named(node):
        return function(*arguments, **named)


@contextmanager
def _keys_named(node: DictConfig) -> Iterator[None]:
    """Name the arguments of what is built of a node by their keys."""
    try:
        with within(str(node._get_full_key(None))):
            yield
    except ArgumentError as error:
        raise ArgumentError(_source(node, error.name), error.problem) from None


def _source(node: DictConfig, key: str) -> str:
    """Return the key that the value of a key is taken from; the key itself if that is none of the configuration."""
    parent, _, name = key.rpartition(".")
    root: Any = node._get_root()
    holder = OmegaConf.select(root, parent) if parent else root
    if not isinstance(holder, DictConfig) or name not in holder or not OmegaConf.is_interpolation(holder, name):
        return key
    taken = _TAKEN.fullmatch(str(holder._get_node(name)))
    return taken[1] if taken else key


_TAKEN = re.compile(r"\$\{([\w.]+)\}")
"""Value that is taken from another key."""
