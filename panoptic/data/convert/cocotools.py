"""The optional library that draws polygons."""

from __future__ import annotations

from typing import Any

from panoptic.errors import InputError


def mask_tools() -> Any:
    """Import ``pycocotools.mask``.

    Raises:
        InputError: If it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise InputError(
            "pycocotools: expected this package, which draws polygons and run lengths, got none that can be imported; "
            "pip install 'panoptic-adaptive-fusion[convert]' brings it"
        ) from error
    return mask
