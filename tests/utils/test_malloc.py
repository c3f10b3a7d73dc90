"""Kept memory: what glibc is told, and when it is left alone."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from panoptic.utils import malloc

CODE = """
import mmap, resource
from panoptic.utils.malloc import keep_freed_memory
done = {} and keep_freed_memory()
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
size = 1 << 26

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def use():
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)

use()
before = faults()
for _ in range(4):
    use()
print(done, (faults() - before) * mmap.PAGESIZE // size)
"""


def run(keep: bool, **environment: str) -> list[str]:
    """Whether it was done, and how often pages of 64 MB were made anew, of four times that they were used."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.replace("{}", str(keep))],
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if name not in malloc.MALLOC_VARIABLES} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_freed_block_is_used_again():
    done, renewed = run(True)
    assert done == "True"
    assert int(renewed) == 0
    done, renewed = run(False)
    assert done == "False"
    assert int(renewed) >= 3  # without it, each use makes all pages anew


def test_what_the_environment_says_is_respected():
    assert run(True, MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"


def test_other_c_libraries_are_left_alone(monkeypatch):
    for name in malloc.MALLOC_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda name: object())
    assert malloc.keep_freed_memory() is False
