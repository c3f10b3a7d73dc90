"""Memory that this process may take. Does not import torch."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = "/dev/shm"
"""Where the system keeps the memory that processes share."""


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that can still be allocated, swap included; ``None`` where the system does not tell.

    The limit of the control groups of a container or a job counts as a whole, since what is taken of it may be freed.

    Args:
        root: Root of the file system.
    """
    found = []
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        sizes = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        found.append(sizes["MemAvailable"] + sizes.get("SwapFree", 0))
    except (OSError, ValueError, KeyError, IndexError):
        pass
    found += [int(limit) for file in _limit_files(root) if (limit := _read(file)).isdecimal()]
    return min(found, default=None)


def _limit_files(root: Path) -> list[Path]:
    """Return the files with the limits of this process's control group and of those above it."""
    groups = root / "sys/fs/cgroup"
    files = [groups / "memory/memory.limit_in_bytes"]  # version 1
    for line in _read(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::/"):
            own = groups / line[len("0::/") :]
            files += [group / "memory.max" for group in (own, *own.parents) if group.is_relative_to(groups)]
    return files


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def available_shared_memory() -> int | None:
    """Return the free bytes of shared memory; ``None`` where the system does not tell."""
    try:
        state = os.statvfs(SHARED)
    except (OSError, AttributeError):  # there is none, or no such function
        return None
    return state.f_bavail * state.f_frsize
