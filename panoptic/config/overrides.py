"""Checking overrides of a configuration against the schema, and applying them. Does not import torch."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from panoptic.config.composing import with_hydra
from panoptic.config.groups import OPTIONS
from panoptic.config.limits import check_limits
from panoptic.config.schema import COMMANDS, OPEN, TrainConfig
from panoptic.config.sentences import sentence
from panoptic.config.targets import check_stored
from panoptic.errors import InputError


def validate(config: DictConfig) -> None:
    """Raise if mandatory values are missing, keys are not in the schema or numbers are beyond use.

    ``+key=`` would add keys silently.

    Raises:
        InputError: If there is such a key; the message names the first one.
    """
    for key in sorted(OmegaConf.missing_keys(config)):
        raise InputError(f"{key}: expected a value ({key}=...), got none")
    for key in _extra_keys(config, ""):
        raise InputError(f"{key}: expected a key of the configuration, which this is not; --cfg job shows all of them")
    check_limits(_plain(config))


def _plain(config: DictConfig) -> dict[str, Any]:
    """Return plain containers, with interpolations as they stand."""
    return cast("dict[str, Any]", OmegaConf.to_container(config, resolve=False))


def _extra_keys(node: Any, path: str) -> Iterator[str]:
    schema = OmegaConf.get_type(node) if isinstance(node, DictConfig) else None
    if schema is None or not dataclasses.is_dataclass(schema):
        return
    fields = {f.name for f in dataclasses.fields(schema)}
    for key in node:
        if key not in fields and path.rstrip(".") not in OPEN:
            yield f"{path}{key}"
        elif key in fields and not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
            yield from _extra_keys(node[key], f"{path}{key}.")


def check_key(override: str, own: Iterable[str] = ()) -> None:
    """Raise if the key of an override of a checkpoint's configuration is not in the schema.

    Args:
        override: Override in Hydra's syntax.
        own: Keys of the command itself, also considered as suggestions for a misspelled key.

    Raises:
        InputError: If the key is unknown, or the override adds or deletes a key outside of :data:`OPEN`.
    """
    parsed = _parse(override)
    parts = parsed.key_or_group.replace("/", ".").split(".")
    if parts[0] in OPEN:
        return
    if parsed.is_add() or parsed.is_delete():
        raise InputError(
            f"{override}: expected key=value; + is for keys under {', '.join(OPEN)} only, ~ is not supported"
        )
    if not _has_key(TrainConfig, parts, ""):
        matches = difflib.get_close_matches(".".join(parts), [*own, *_keys(TrainConfig, "")], 1)
        hint = f"; did you mean {matches[0]}?" if matches else ""
        raise InputError(
            f"{parsed.key_or_group}: expected a key of the training configuration, which this is not{hint}"
        )


def _has_key(schema: type, parts: Sequence[str], group: str) -> bool:
    """Return whether the schema, or any option of a group in it, has the key."""
    types = typing.get_type_hints(schema)
    if parts[0] not in types:
        return False
    if len(parts) == 1:
        return True
    group = f"{group}/{parts[0]}".lstrip("/")
    options = OPTIONS[group].values() if group in OPTIONS else [types[parts[0]]]
    return any(dataclasses.is_dataclass(option) and _has_key(option, parts[1:], group) for option in options)


def _keys(schema: type, group: str) -> Iterator[str]:
    """Yield all dotted keys that a configuration can have."""
    for name, kind in typing.get_type_hints(schema).items():
        if name.startswith("_"):
            continue
        yield name
        inner = f"{group}/{name}".lstrip("/")
        for option in OPTIONS[inner].values() if inner in OPTIONS else [kind]:
            if dataclasses.is_dataclass(option):
                yield from (f"{name}.{key}" for key in _keys(option, inner))


def restore(config: dict[str, Any], overrides: Sequence[str], source: str) -> DictConfig:
    """Apply the schema and overrides to the configuration of a checkpoint.

    An override of a group (``data=cityscapes``) replaces the group, unless it already has the same target.

    Args:
        config: Configuration stored in the checkpoint.
        overrides: Overrides in Hydra's syntax.
        source: Path of the checkpoint, for error messages.

    Raises:
        InputError: If the configuration or an override does not match the schema, or if the configuration names a class
            that is not of this project; see :func:`~panoptic.config.targets.check_stored`.
    """
    parsed = [_parse(override) for override in overrides]
    given = {override.key_or_group.replace("/", ".") for override in parsed}
    check_stored(config, source, given)
    check_limits(config, source, given)  # what is text here and a number by the schema is checked below
    try:
        restored = _typed(config)
    except (OmegaConfBaseException, StopIteration) as error:
        raise InputError(f"{source}: expected a configuration of this version of panoptic: {sentence(error)}") from None
    for override in parsed:
        key = override.key_or_group.replace("/", ".")
        try:
            if override.key_or_group in OPTIONS:
                _replace_group(restored, key, override)
            else:
                OmegaConf.update(restored, key, override.value(), force_add=key.split(".")[0] in OPEN)
        except (OmegaConfBaseException, HydraException) as error:
            raise InputError(f"{key}: {sentence(error).removeprefix(f'{key}: ')}") from None
    validate(restored)
    return restored


def _typed(config: dict[str, Any]) -> DictConfig:
    schema = OmegaConf.structured(TrainConfig)
    for group, options in OPTIONS.items():
        node: Any = config
        for part in group.split("/"):
            node = node[part]
        option = next(o for o in options.values() if _matches(o, node))
        OmegaConf.update(schema, group.replace("/", "."), OmegaConf.structured(option))
    for key in OPEN:
        OmegaConf.set_struct(schema[key], False)
    merged = OmegaConf.merge(schema, config)
    assert isinstance(merged, DictConfig)
    OmegaConf.set_struct(merged, True)
    return merged


def _matches(schema: type, node: dict[str, Any]) -> bool:
    """Return whether a node has this schema; fields with defaults may be missing, since they may be newer."""
    fields = dataclasses.fields(schema)
    required = {f.name for f in fields if f.default == MISSING}
    return required <= set(node) <= {f.name for f in fields}


def _replace_group(config: DictConfig, key: str, override: Override) -> None:
    from hydra import compose

    assert override.input_line is not None  # set by the parser
    with with_hydra():
        composed = OmegaConf.select(compose("train", [override.input_line]), key)
    if composed._target_ != OmegaConf.select(config, key)._target_:
        OmegaConf.update(config, key, composed, merge=False)


def _parse(override: str) -> Override:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise InputError(f"{override}: expected key=value: {sentence(error)}") from None


def pack_overrides(name: str, arguments: list[str]) -> list[str]:
    """Collect overrides of a checkpoint's configuration in the key ``overrides``.

    Demo, evaluation, export, headroom, prediction, resolution and resuming read their configuration from a checkpoint,
    which requires torch. Until then, the overrides are kept as given; only their keys are checked here, so that errors
    appear early.

    Args:
        name: Name of the command.
        arguments: Arguments of the command line.

    Returns:
        Arguments for Hydra.

    Raises:
        InputError: If a key is unknown or cannot be overridden.
    """
    if not {"-m", "--multirun"} & set(arguments):
        arguments = [_quoted_path(argument) for argument in arguments]
    keys = {argument.split("=")[0] for argument in arguments if "=" in argument}
    if name == "train":
        if "resume" not in keys or "resume='auto'" in map(_quoted_path, arguments):
            return arguments
        if "start_from" in keys:
            raise InputError("start_from: expected none with resume, which goes on from another checkpoint")
        if "study" in keys:
            raise InputError("study: expected none with resume, which goes on in the folder of the run")
        own = {"resume"}
    elif name in ("demo", "evaluate", "export", "headroom", "predict", "resolution"):
        own = {f.name for f in dataclasses.fields(COMMANDS[name])}
    else:
        return arguments
    kept, packed = [], []
    for argument in arguments:
        key = argument.split("=")[0].lstrip("+~").replace("/", ".").split(".")[0]
        if argument.startswith("-") or "=" not in argument or key in own or key == "hydra":
            kept.append(argument)
            continue
        if key in ("experiment", "ablation"):
            raise InputError(f"{argument}: expected no {key}, since the configuration comes from the checkpoint")
        check_key(argument, own)
        packed.append(argument)
    if packed:
        kept.insert(0, f"overrides=[{','.join(map(_quoted, packed))}]")
    return kept


PATHS = (
    "checkpoint",
    "compare_with",
    "images",
    "input",
    "output",
    "resume",
    "start_from",
    "data.root",
    "data.cache_dir",
    *(
        f"data.{split}.{key}"
        for split in ("train", "val", "test")
        for key in ("image_dir", "panoptic_json", "panoptic_dir")
    ),
    "ground_truth",
    "ground_truth_dir",
    "predictions",
    "predictions_dir",
    "runs",
    "scores",
    "names",
    "baseline",
)
"""Keys whose values are paths or names and may contain special characters of Hydra's grammar: ``=``, commas, brackets.

Those of :data:`LISTS` may also be a list of paths or names without commas.
"""

LISTS = ("runs", "scores", "names")


INPUTS = ("checkpoint", "compare_with", "images", "input", "resume", "start_from", "ground_truth", "predictions")
"""Keys of paths that exist, in whose names ``${`` begins no interpolation."""


def _quoted_path(argument: str) -> str:
    key, equals, value = argument.partition("=")
    unquoted = key in PATHS and equals and value not in ("", "null") and value[0] not in "'\""
    if unquoted and key in LISTS and value.startswith("["):
        paths = value[1:-1].split(",")
        unsupported = not value.endswith("]") or any(not path.strip() or set(path) & set("[]'\"") for path in paths)
        return argument if unsupported else f"{key}=[{','.join(_quoted(path.strip()) for path in paths)}]"
    if key in INPUTS:
        value = value.replace("${", "\\${")
    return f"{key}={_quoted(value)}" if unquoted else argument


def _quoted(text: str) -> str:
    """Quote a string for Hydra's grammar, in which a backslash is special only before a quote."""
    return "'" + text.replace("\\'", "\\\\'").replace("'", "\\'") + "'"
