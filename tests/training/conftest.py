"""What the tests of training share."""

from __future__ import annotations

from tests.scenes_once import _paint_once  # noqa: F401
