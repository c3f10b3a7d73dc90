"""Errors meant for a person rather than for a programmer."""

from __future__ import annotations


class InputError(ValueError):
    """What was given cannot be used, and a person can mend it.

    Its message is complete without a traceback: it names the file or the key, what was expected there and what came.
    Commands show the message alone.
    """


def expect_at_least(least: float, **values: float) -> None:
    """Checks numbers against their least value; names are those of the configuration, with ``__`` for a dot.

    Raises:
        InputError: naming the first that is too small.
    """
    for name, value in values.items():
        if not value >= least:
            raise InputError(f"{name.replace('__', '.')}: expected at least {least}, got {value}")
