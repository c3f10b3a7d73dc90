"""Failures of the processes that load data, and of memory, as sentences. Does not import torch."""

from __future__ import annotations

import re

_KILLED = re.compile(
    r"DataLoader worker \(pid\(?s?\)? ([\d, ]+)\) (?:is killed by signal: ([^.]*)|exited unexpectedly)"
)
_SHARED_MEMORY = re.compile(r"Bus error|out of shared memory|</torch_|shared memory\(shm\)|/dev/shm")
_MEMORY = re.compile(r"not enough memory|can't allocate memory|out of memory", re.IGNORECASE)

ENOUGH_SHARED_MEMORY = "a container started with --shm-size=2g has more, and data.workers=0 needs none"


def failure_sentence(error: BaseException) -> str | None:
    """Return what PyTorch's error of a loading process or of memory means, and what helps; ``None`` for others."""
    text = str(error)
    if _SHARED_MEMORY.search(text):
        return (
            "data.workers: expected room in shared memory (/dev/shm) for the batches of the loading processes, "
            f"got too little; {ENOUGH_SHARED_MEMORY}"
        )
    killed = _KILLED.search(text)
    if killed is not None:
        return ended_sentence(killed[1].strip(), f"was killed ({killed[2]})" if killed[2] else "ended")
    if "Too many open files" in text:
        return "data.workers: expected to open more files, got the limit of the system; ulimit -n shows and raises it"
    if isinstance(error, MemoryError) or _MEMORY.search(text):
        where = "of the GPU" if "CUDA" in text else "of this machine"
        return (
            f"expected a batch that fits into the memory {where}, got one that does not; "
            "a smaller data.batch_size or data.crop needs less"
        )
    return None


def ended_sentence(number: str, how: str = "ended") -> str:
    """Return the sentence for a loading process that is no more."""
    return (
        f"data.workers: expected loading processes that live, got one (process {number}) that {how}, as the system "
        "does when memory is short; fewer data.workers need less, and data.workers=0 loads without"
    )


def stopped_processes(numbers: list[int]) -> list[int]:
    """Return which processes are stopped, as by SIGSTOP; none where the system does not tell."""
    found = []
    for number in numbers:
        try:
            with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
                state = file.read().rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue
        if state in "Tt":
            found.append(number)
    return found
