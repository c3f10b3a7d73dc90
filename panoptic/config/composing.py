"""Composition of configurations with Hydra, and instantiation. Does not import torch."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

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

    Errors of arguments, also those that a partial raises when it is called, name them by their keys.

    Raises:
        InputError: If the target raises it; Hydra's wrapper is removed.
    """
    from hydra.utils import instantiate

    key = str(node._get_full_key(None))
    try:
        with within(key):
            built = instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, ArgumentError):
            raise ArgumentError(f"{key}.{error.__cause__.name}", error.__cause__.problem) from None
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise
    return partial(_call_within, key, built) if isinstance(built, partial) else built


def _call_within(key: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    with within(key):
        return function(*arguments, **named)


def sentence(error: BaseException) -> str:
    """Format an error of OmegaConf or Hydra as one line, with a suggestion for a misspelled key.

    Omits lines for developers and the advice to add a key with ``+``, which the schema would reject.
    """
    omitted = (
        "To append to your config",
        "Config search path",
        "full_key",
        "object_type",
        "reference_type",
        "provider",
    )
    cause: BaseException | None = error
    lines = str(error).splitlines()
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
        lines += str(cause or "").splitlines()
    stripped = (line.strip().rstrip(".:") for line in lines if not line.strip().startswith(omitted))
    # Options that others are made of are none to choose.
    kept = dict.fromkeys(line for line in stripped if line and line != "base" and not line.endswith("_schema"))
    message = ": ".join(kept) or type(error).__name__
    if (
        cause is not None
        and isinstance(cause, (AttributeError, KeyError))
        and isinstance(cause.parent_node, DictConfig)
    ):
        matches = difflib.get_close_matches(str(cause.key), [str(key) for key in cause.parent_node], 1)
        message += f". Did you mean {matches[0]!r}?" if matches else ""
    return message
