"""Markdown tables of the faults that were injected, from the JSON file of ``benchmarks.soak``."""

from __future__ import annotations

from typing import Any

from benchmarks.cpu_tables import UNKNOWN, on_machine
from benchmarks.measuring import table

TITLES = {
    "kills": "Trainings killed, and gone on with in their folder",
    "disks": "Trainings on disks that get full",
    "inputs": "Bad inputs to predict, score, inspect and the loader of data sets",
    "altered": "Altered checkpoints to predict, resume and start_from",
}


@on_machine
def soak(report: dict[str, Any]) -> str:
    """Format what became of the faults of each kind."""
    if not report.get("parts"):
        return UNKNOWN
    text = ""
    for name, title in TITLES.items():
        part = report["parts"].get(name)
        if part is None:
            text += f"\n**{title}**\n\n{UNKNOWN}\n"
            continue
        rows = [_cells(row) for row in (*part["rows"], _sum(part["rows"]))]
        columns = ("fault", "injected", "survived", "lost", "s", "peak memory, GB")
        text += table(f"{title}, {part['minutes']:.0f} minutes", columns, rows) + "\n"
        if EQUAL in part:
            text += _about_kills(part)
        text += f"\nNot tried: {part['not tried']}.\n" if "not tried" in part else ""
    return text.strip()


def _about_kills(part: dict[str, Any]) -> str:
    mean, most = (part[f"steps trained again after a kill, {which}"] for which in ("mean", "most"))
    lost, epoch = part["epochs lost beyond the current one"], part["steps of an epoch"]
    return (
        f"\nAfter a kill {mean:.1f} steps were trained again on average, {most} at most, of {epoch} in an epoch; "
        f"{lost} epochs beyond the current one were lost. Weights, scores and dashboard at the end were "
        f"{'' if part[EQUAL] else 'not '}those of a training that nothing disturbed.\n"
    )


EQUAL = "weights, scores and dashboard equal to those of a training that nothing disturbed"


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["kind"], row["injected"], row["survived"], row["lost"], f"{row['seconds']:.0f}", row["gigabytes"])


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the rows of a part."""
    sums = {key: sum(row[key] for row in rows) for key in ("injected", "survived", "lost", "seconds")}
    return {"kind": "**all**", "gigabytes": max((row["gigabytes"] for row in rows), default=None), **sums}
