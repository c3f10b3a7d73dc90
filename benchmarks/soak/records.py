"""What became of the faults of each kind."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.soak.forking import CRASHED, Outcome

MOST_GIGABYTES = 2.0
MOST_SECONDS = 10.0
"""Of a processor, since the machine may be busy with others."""

HANGS = 240.0
"""Seconds after which a command is taken to hang."""


class NotTriedError(RuntimeError):
    """Faults that cannot be injected on this machine."""


@dataclass
class Row:
    """Faults of one kind.

    Attributes:
        kind: The fault.
        injected: Number of faults.
        survived: Number of those after which every promise was kept.
        seconds: Time of the attempts, in total.
        gigabytes: Highest peak of the memory of a process.
        broken: What happened in the first few cases in which a promise was broken.
    """

    kind: str
    injected: int = 0
    survived: int = 0
    seconds: float = 0.0
    gigabytes: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Number of faults after which a promise was broken."""
        return self.injected - self.survived

    def add(self, outcome: Outcome, broken: str | None, case: object = "") -> None:
        """Count a fault.

        Args:
            outcome: How the process ended.
            broken: The promise that was broken; ``None`` if all were kept.
            case: What the fault was, to repeat it.
        """
        self.injected += 1
        self.survived += broken is None
        self.seconds += outcome.seconds
        self.gigabytes = max(self.gigabytes, outcome.gigabytes)
        if broken is not None and len(self.broken) < 5:
            last = (outcome.output.strip().splitlines() or [""])[-1]
            self.broken.append(f"{case}: {broken}: {last}"[:500])
            print(f"{self.kind}: {self.broken[-1]}", file=sys.stderr, flush=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain containers."""
        return {**asdict(self), "lost": self.lost, "seconds": round(self.seconds, 1)}


def broken_promise(outcome: Outcome) -> str | None:
    """Return the promise that a command broke which was given something bad; ``None`` if it kept all.

    It succeeds, or ends with status 1 and one sentence, within bounds of time and memory.
    """
    checks = {
        "no end": outcome.timed_out,
        f"{outcome.busy:.1f} s of a processor": outcome.busy > MOST_SECONDS,
        f"{outcome.gigabytes:.1f} GB": outcome.gigabytes > MOST_GIGABYTES,
        "a traceback": outcome.status == CRASHED or "Traceback" in outcome.output,
        f"status {outcome.status}": outcome.status not in (0, 1),
        "no sentence": outcome.status == 1 and sentence(outcome.output) is None,
    }
    return next((promise for promise, is_broken in checks.items() if is_broken), None)


def sentence(output: str) -> str | None:
    """Return the sentence that a command ended with; ``None`` unless there is one only, at the end."""
    lines = output.strip().splitlines()
    if sum(line.startswith("panoptic: ") for line in lines) != 1 or not lines[-1].startswith("panoptic: "):
        return None
    return lines[-1].removeprefix("panoptic: ")
