"""Memory on a CPU: kept by the process once it has it."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Of glibc's ``mallopt(3)``."""
MALLOC_VARIABLES = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
)
"""Environment variables that configure malloc."""


def keep_freed_memory() -> bool:
    """Has the C library reuse large blocks that were freed, rather than give each back to the system.

    By default glibc maps every block of more than 32 MB anew and unmaps it when it is freed; the system then clears it
    page by page, at each use. Training on a CPU can lose nearly half its time so (``python -m benchmarks.allocation``).
    Instead, the process's memory stays at its peak. What was allocated before is not concerned: call this first.

    Returns:
        Whether it was done: not where the C library is another one, or the environment says how to allocate.
    """
    if any(os.environ.get(name) for name in MALLOC_VARIABLES):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS; Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
