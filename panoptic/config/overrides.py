"""Check changes to a configuration against the schema, and apply them. Imports no torch."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from panoptic.config.composing import sentence, with_hydra
from panoptic.config.groups import OPTIONS
from panoptic.config.schema import COMMANDS, OPEN, TrainConfig
from panoptic.errors import InputError


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
    return required <= set(node) <= {f.name for f in fields}


def _replace_group(config: DictConfig, key: str, override: Override) -> None:
    from hydra import compose

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
    """Gathers changes to a checkpoint's configuration into the one key ``overrides``.

    Evaluation, prediction and resuming take their configuration from a checkpoint, which only torch can read; until
    then the changes travel as they were typed. Their keys are checked here, at once.

    Raises:
        InputError: if a key is unknown or cannot change any more.
    """
    if not {"-m", "--multirun"} & set(arguments):
        arguments = [_quoted_path(argument) for argument in arguments]
    keys = {argument.split("=")[0] for argument in arguments if "=" in argument}
    if name == "train":
        if "resume" not in keys:
            return arguments
        if "start_from" in keys:
            raise InputError("start_from: expected none with resume, which goes on from another checkpoint")
        if "study" in keys:
            raise InputError("study: expected none with resume, which goes on in a folder of its own")
        own = {"resume"}
    elif name in ("evaluate", "predict"):
        own = set(COMMANDS[name].__dataclass_fields__)
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
        kept.append(f"overrides=[{','.join(map(_quoted, packed))}]")
    return kept


PATHS = (
    "checkpoint",
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
    "baseline",
)
"""Keys whose values are paths or names, which may hold what means something else in Hydra's grammar: ``=``, commas,
brackets. Of them ``runs`` may be a list too, of paths without commas."""


def _quoted_path(argument: str) -> str:
    key, equals, value = argument.partition("=")
    plain = key in PATHS and equals and value not in ("", "null") and value[0] not in "'\""
    if plain and key == "runs" and value.startswith("["):
        paths = value[1:-1].split(",")
        known = not value.endswith("]") or any(not path.strip() or set(path) & set("[]'\"") for path in paths)
        return argument if known else f"{key}=[{','.join(_quoted(path.strip()) for path in paths)}]"
    return f"{key}={_quoted(value)}" if plain else argument


def _quoted(text: str) -> str:
    """As a quoted string of Hydra's grammar, in which a backslash is special before a quote only."""
    return "'" + text.replace("\\'", "\\\\'").replace("'", "\\'") + "'"
