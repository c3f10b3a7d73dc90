"""From what people type, and from what a checkpoint holds, to one that fits the schema. Imports no torch."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, InstantiationException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from panoptic.config import OPEN, TrainConfig, register
from panoptic.config_groups import OPTIONS
from panoptic.errors import InputError


def config_path() -> str:
    """Where the configuration files are: beside the package in a checkout, else inside it."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "train.yaml").is_file():
        return str(checkout / "conf")
    return "pkg://panoptic.conf"


def validate(config: DictConfig) -> None:
    """Refuses keys that the schema lacks, which ``+key=`` would add unnoticed, and values that were not given.

    Raises:
        InputError: naming the first such key.
    """
    for key in sorted(OmegaConf.missing_keys(config)):
        raise InputError(f"{key}: expected a value ({key}=...), got none")
    for key in _extra_keys(config, ""):
        raise InputError(f"{key}: expected a key of the configuration, which this is not; --cfg job shows all of them")


def _extra_keys(node: Any, path: str) -> Iterator[str]:
    schema = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
    if schema is None or not dataclasses.is_dataclass(schema):
        return
    known = {f.name for f in dataclasses.fields(schema)}
    for key in node:
        if key not in known and path.rstrip(".") not in OPEN:
            yield f"{path}{key}"
        elif key in known and not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            yield from _extra_keys(node[key], f"{path}{key}.")


def check_key(override: str, own: Iterable[str] = ()) -> None:
    """Refuses a change to a checkpoint's configuration whose key no configuration of this project can have.

    Args:
        override: in Hydra's syntax.
        own: keys of the command itself, which may have been meant.

    Raises:
        InputError: naming the key.
    """
    parsed = _parse(override)
    parts = parsed.key_or_group.replace("/", ".").split(".")
    if parts[0] in OPEN:
        return
    if parsed.is_add() or parsed.is_delete():
        raise InputError(
            f"{override}: expected key=value; + is for keys under {', '.join(OPEN)} only, ~ is not supported"
        )
    if not _known(TrainConfig, parts, ""):
        meant = difflib.get_close_matches(".".join(parts), [*own, *_keys(TrainConfig, "")], 1)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        raise InputError(
            f"{parsed.key_or_group}: expected a key of the training configuration, which this is not{hint}"
        )


def _known(schema: type, parts: Sequence[str], group: str) -> bool:
    """Whether the schema, or any option of a group in it, has the key."""
    types = typing.get_type_hints(schema)
    if parts[0] not in types:
        return False
    if len(parts) == 1:
        return True
    group = f"{group}/{parts[0]}".lstrip("/")
    options = OPTIONS[group].values() if group in OPTIONS else [types[parts[0]]]
    return any(dataclasses.is_dataclass(option) and _known(option, parts[1:], group) for option in options)


def _keys(schema: type, group: str) -> Iterator[str]:
    """All keys that a configuration can have, with dots."""
    for name, kind in typing.get_type_hints(schema).items():
        if name.startswith("_"):
            continue
        yield name
        inner = f"{group}/{name}".lstrip("/")
        for option in OPTIONS[inner].values() if inner in OPTIONS else [kind]:
            if dataclasses.is_dataclass(option):
                yield from (f"{name}.{key}" for key in _keys(option, inner))


def restore(config: dict[str, Any], overrides: Sequence[str], source: str) -> DictConfig:
    """The configuration of a checkpoint, under the schema, with changes from the command line.

    A group given anew (``data=cityscapes``) replaces that part, unless it is the same kind already.

    Args:
        config: what the checkpoint holds.
        overrides: in Hydra's syntax.
        source: the checkpoint's path, for messages.

    Raises:
        InputError: if the configuration or a change does not fit the schema.
    """
    try:
        restored = _typed(config)
    except (OmegaConfBaseException, StopIteration) as error:
        raise InputError(f"{source}: expected a configuration of this version of panoptic: {sentence(error)}") from None
    for override in map(_parse, overrides):
        key = override.key_or_group.replace("/", ".")
        try:
            if override.key_or_group in OPTIONS:
                _replace_group(restored, key, override)
            else:
                OmegaConf.update(restored, key, override.value(), force_add=key.split(".")[0] in OPEN)
        except (OmegaConfBaseException, HydraException) as error:
            raise InputError(f"{key}: {sentence(error)}") from None
    validate(restored)
    return restored


def _typed(config: dict[str, Any]) -> DictConfig:
    schema = OmegaConf.structured(TrainConfig)
    for group, options in OPTIONS.items():
        node: Any = config
        for part in group.split("/"):
            node = node[part]
        option = next(o for o in options.values() if _fits(o, node))
        OmegaConf.update(schema, group.replace("/", "."), OmegaConf.structured(option))
    for key in OPEN:
        OmegaConf.set_struct(schema[key], False)
    merged = OmegaConf.merge(schema, config)
    OmegaConf.set_struct(merged, True)
    return merged


def _fits(schema: type, node: dict[str, Any]) -> bool:
    """Whether a node is of this schema; keys that are new since it was written have defaults."""
    fields = dataclasses.fields(schema)
    required = {f.name for f in fields if f.default == MISSING}
    target = next(f.default for f in fields if f.name == "_target_")
    return required <= set(node) <= {f.name for f in fields} and target in (MISSING, node.get("_target_"))


def _replace_group(config: DictConfig, key: str, override: Override) -> None:
    from hydra import compose

    with with_hydra():
        composed = OmegaConf.select(compose("train", [override.input_line]), key)
    if composed._target_ != OmegaConf.select(config, key)._target_:
        OmegaConf.update(config, key, composed, merge=False)


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


def _parse(override: str) -> Override:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise InputError(f"{override}: expected key=value: {sentence(error)}") from None


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
