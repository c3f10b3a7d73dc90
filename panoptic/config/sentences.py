"""Errors of Hydra and OmegaConf as one sentence. Does not import torch."""

from __future__ import annotations

import difflib
import re

from hydra.errors import MissingConfigException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

_UNCONVERTED = re.compile(
    r"Value '(?P<value>.*)' (of type '\w+' could not be converted to|is not a valid) (?P<kind>\w+)", re.DOTALL
)
_MERGED = re.compile(r"Error merging override [^=\s]+=(.*)")
_KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}
"""Words for the types that OmegaConf names."""


def sentence(error: BaseException) -> str:
    """Format an error of OmegaConf or Hydra as one line, with a suggestion for a misspelled key or option.

    Omits lines for developers and the advice to add a key with ``+``, which the schema would reject.
    """
    plain = _of_option(error) or _of_value(error)
    if plain is not None:
        return plain
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
    return ": ".join(kept) or type(error).__name__


def _of_option(error: BaseException) -> str | None:
    """Return a sentence on an unknown option of a group; ``None`` on anything else."""
    if not isinstance(error, MissingConfigException) or not error.missing_cfg_file or not error.options:
        return None
    group, _, name = error.missing_cfg_file.rpartition("/")
    options = [option for option in error.options if option != "base" and not option.endswith("_schema")]
    return f"{group}: expected one of {', '.join(options)}, got {name!r}{_hint(name, options)}"


def _of_value(error: BaseException) -> str | None:
    """Return a sentence on an unknown key, or a value of another type; ``None`` on anything else."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    key = str(getattr(cause, "full_key", None) or "")
    if cause is None or not key:
        return None
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.parent_node is not None:
        known = [name for name in map(str, cause.parent_node) if name != "hydra" and not name.startswith("_")]
        hint = _hint(str(cause.key), known) or f"; known are {', '.join(known)}"
        return f"{key}: expected a key of the configuration, which this is not{hint}"
    text, merged = str(cause).splitlines()[0], _MERGED.search(str(error))
    given = merged[1] if merged else "another"
    if (found := _UNCONVERTED.match(text)) and found["kind"] in _KINDS:
        return f"{key}: expected {_KINDS[found['kind']]}, got {found['value']!r}"
    if "is not a subclass of" in text:
        option = "/".join(key.rsplit(".", 1))
        return f"{key}: expected its keys one by one, got {given}; {option}={given} would choose an option"
    if "is not a ListConfig" in text:
        return f"{key}: expected a list, got {given}"
    return f"{key}: expected a value, got null" if "is not Optional" in text else None


def _hint(name: str, known: list[str]) -> str:
    matches = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {matches[0]}?" if matches else ""
