"""Scenes painted once in each process of the tests: a pure function of its arguments, and a fifth of a tiny run."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from panoptic.scenes import source
from panoptic.segments import Segments

_painted = lru_cache(maxsize=512)(source.render_scene)


def _copied(*arguments: Any, **settings: Any) -> tuple[np.ndarray, Segments]:
    """Return a scene that the caller may change."""
    image, segments = _painted(*arguments, **settings)
    return image.copy(), replace(segments, ids=segments.ids.clone(), classes=segments.classes.clone())


@pytest.fixture(autouse=True)
def _paint_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "render_scene", _copied)
