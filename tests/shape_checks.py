"""Run-time checks of the signatures in the package: shapes by jaxtyping, all other types by beartype alone."""

from __future__ import annotations

import functools
import inspect
import itertools
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from jaxtyping import AbstractArray

BEARTYPE = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
"""PEP 484 has an int be a float, and beartype by itself does not."""


FIRST, EVERY = 200, 20
"""Calls of a function with shapes that are all checked, and which of those after are."""


def check_signatures(package: str) -> None:
    """Check every signature of a package that is imported from now on.

    jaxtyping binds the arguments of every call to remember their shapes. Most functions have none in their signature,
    and some of these are called so often that this would take longer than all that they compute.
    """
    jaxtyping.jaxtyped = functools.partial(_checked, jaxtyping.jaxtyped)  # the hook looks it up there
    jaxtyping.install_import_hook(package, BEARTYPE)


def _checked(jaxtyped: Callable, *, typechecker: Callable) -> Callable[[Any], Any]:
    def decorate(item: Any) -> Any:
        if not inspect.isfunction(item):
            return jaxtyped(typechecker=typechecker)(item)
        hints = {name: _resolved(item, hint) for name, hint in item.__annotations__.items()}
        if any(map(has_shape, hints.values())):
            return _sampled(item, jaxtyped(typechecker=typechecker)(item))
        written, item.__annotations__ = item.__annotations__, hints
        checked = typechecker(item)
        item.__annotations__ = checked.__annotations__ = written
        return checked

    return decorate


def _sampled(function: Callable, checked: Callable) -> Callable:
    """Check the first calls of a function, and some of those after; scenes call a few ten thousands of times."""
    calls = itertools.count()

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        number = next(calls)
        return (checked if number < FIRST or number % EVERY == 0 else function)(*args, **options)

    call.checked = checked  # type: ignore[attr-defined]  # for a test of the checks
    return call


def _resolved(function: Callable, hint: Any) -> Any:
    """A type from its text; anything where a name is known to type checkers only."""

    def holder() -> None: ...

    holder.__annotations__ = {"hint": hint}
    try:
        return typing.get_type_hints(holder, function.__globals__, include_extras=True)["hint"]
    except Exception:  # as jaxtyping has it
        return Any


def has_shape(hint: Any) -> bool:
    """Whether a type is an array of some shape, or contains one."""
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    parts = hint if isinstance(hint, (list, tuple)) else typing.get_args(hint) + getattr(hint, "__constraints__", ())
    return any(map(has_shape, parts))
