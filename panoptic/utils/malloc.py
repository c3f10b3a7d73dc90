"""Configuration of malloc, to reuse freed memory instead of returning it to the operating system."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's ``mallopt(3)``."""

MALLOC_VARIABLES = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
)
"""Environment variables that configure malloc."""


def keep_freed_memory() -> bool:
    """Configure glibc to reuse large freed blocks instead of returning them to the operating system.

    By default, glibc maps a new region for every block of more than 32 MB and unmaps it when it is freed, so the system
    clears its pages at each use. This can take nearly half the time of training on a CPU (``python -m
    benchmarks.allocation``). With this setting, the memory of the process stays at its peak instead. Blocks allocated
    earlier are not affected, so call this first.

    Returns:
        Whether the setting was applied. It is not if the C library is not glibc or the environment configures malloc.
    """
    if any(os.environ.get(name) for name in MALLOC_VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
