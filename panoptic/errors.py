"""Errors meant for a person rather than for a programmer."""

from __future__ import annotations


class InputError(ValueError):
    """What was given cannot be used, and a person can mend it.

    Its message is complete without a traceback: it names the file or the key, what was expected there and what came.
    Commands show the message alone.
    """
