"""Compose configurations with Hydra, and build what they describe. Imports no torch."""

from __future__ import annotations

import difflib
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from panoptic.config.schema import register
from panoptic.errors import InputError


def config_path() -> str:
    """Where the configuration files are: beside the package in a checkout, else inside it."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "train.yaml").is_file():
        return str(checkout / "conf")
    return "pkg://panoptic.conf"


def with_hydra() -> AbstractContextManager:
    """Hydra with this project's configuration, for where no command has started it."""
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
    """Instantiates a node, and what is in it, from plain containers.

    Raises:
        InputError: the target's own, rather than Hydra's wrapper around it.
    """
    from hydra.utils import instantiate

    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise


def sentence(error: BaseException) -> str:
    """OmegaConf's and Hydra's messages in one line, with what a misspelt key was meant to be.

    Left out are the lines for programmers, and the advice to add a key with +, which the schema would refuse.
    """
    advice = ("To append to your config", "Config search path", "full_key", "object_type", "reference_type", "provider")
    cause: BaseException | None = error
    lines = str(error).splitlines()
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
        lines += str(cause or "").splitlines()
    kept = dict.fromkeys(line.strip().rstrip(".") for line in lines if not line.strip().startswith(advice))
    said = ": ".join(filter(None, kept)) or type(error).__name__
    if (
        cause is not None
        and isinstance(cause, (AttributeError, KeyError))
        and isinstance(cause.parent_node, DictConfig)
    ):
        meant = difflib.get_close_matches(str(cause.key), [str(key) for key in cause.parent_node], 1)
        said += f". Did you mean {meant[0]!r}?" if meant else ""
    return said
