"""Errors caused by user input."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Invalid user input; the message needs no traceback.

    The message names the file or the configuration key, the expected value and the actual one. Commands print only the
    message, and end with the status.
    """

    status = 1


class ArgumentError(InputError):
    """Invalid argument of a class or function, which its builder knows by a longer name; see :func:`within`.

    Args:
        name: Name of the argument; empty for several together.
        problem: What was expected, and what came.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}" if name else problem)
        self.name = name
        self.problem = problem


class NonFiniteError(InputError):
    """A training run whose numbers are not finite."""

    status = 3


class Stopped(SystemExit):
    """End of a run that a signal asked for, with the status that shells give it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def expect_at_least(least: float, **values: float) -> None:
    """Raise if a number is below the minimum, infinite or not a number.

    Args:
        least: Smallest valid value.
        **values: Numbers by argument, or by configuration key with ``__`` in place of dots.

    Raises:
        ArgumentError: If there is such a number. The message names the first one.
    """
    for name, value in values.items():
        if not least <= value < math.inf:
            raise ArgumentError(name.replace("__", "."), f"expected at least {least}, got {value}")


@contextmanager
def within(key: str) -> Iterator[None]:
    """Name the arguments of what is built in a block by their configuration keys.

    Args:
        key: Key of what is built.

    Raises:
        ArgumentError: If one is raised in the block; its name then begins with the key.
    """
    try:
        yield
    except ArgumentError as error:
        raise ArgumentError(f"{key}.{error.name}" if error.name else key, error.problem) from None
