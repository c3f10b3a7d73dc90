"""Extension of griffe for the API reference: Sphinx's roles in docstrings become code."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Replace ``:class:`panoptic.data.DataModule` `` by the name alone."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object as it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(r"``\1``", obj.docstring.value)
