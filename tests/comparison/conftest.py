"""Comparisons work in a folder of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.comparison.made_runs import made


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic.compare"])
    return tmp_path


@pytest.fixture
def three_pairs() -> None:
    """Differences of 1, 2 and 3 points, known from summaries alone."""
    for seed in range(3):
        made("runs", seed, 0.40 + 0.01 * seed)
        made("runs", seed, 0.41 + 0.02 * seed, "adaptive")
