"""What takes long to make and several processes of the tests need: one makes it, and each has a copy."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder of this process with what ``make`` puts into the empty folder that it gets, in one process of all."""
    shared = factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else factory.getbasetemp()
    original, made = shared / f"{name}_original", shared / f"{name}_is_made"
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(original, ignore_errors=True)  # of a process that failed to make it
            original.mkdir()
            make(original)
            made.touch()
    return Path(shutil.copytree(original, factory.mktemp(name) / name))
