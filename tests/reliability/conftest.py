"""An unbroken run, and a folder of its own for each test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.made_once import made_once
from tests.reliability.tiny_runs import TINY, run


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic"])


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three epochs that nothing disturbed."""
    return made_once(tmp_path_factory, "unbroken", train_unbroken) / "run"


def train_unbroken(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["panoptic"])
        run(*TINY, "hydra.run.dir=run")
