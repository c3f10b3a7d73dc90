"""Errors caused by user input."""

from __future__ import annotations

import math


class InputError(ValueError):
    """Invalid user input; the message needs no traceback.

    The message names the file or the configuration key, the expected value and the actual one. Commands print only the
    message, and end with the status.
    """

    status = 1


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
        **values: Numbers by configuration key, with ``__`` in place of dots.

    Raises:
        InputError: If there is such a number. The message names the first one.
    """
    for name, value in values.items():
        if not least <= value < math.inf:
            raise InputError(f"{name.replace('__', '.')}: expected at least {least}, got {value}")
