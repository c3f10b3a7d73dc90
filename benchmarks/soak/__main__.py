"""``python -m benchmarks.soak --output FILE``: inject faults by the hundred, and write what became of them as JSON.

Half an hour on two processor cores. ``--inputs 0`` and the like leave a part out; the file keeps what it has of it.
Small file systems are mounted if the user may do that. Ends with status 1 if a promise was broken. Start it with
OMP_NUM_THREADS=1: processes are forked from one that must have a single thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks import measuring
from benchmarks.soak.altered import ALTERATIONS, alter_checkpoints
from benchmarks.soak.disks import fill_disk, limit_files
from benchmarks.soak.forking import check_single_thread
from benchmarks.soak.inputs import KINDS, give_bad_inputs
from benchmarks.soak.kills import kill_training
from benchmarks.soak.records import NotTriedError, Row
from benchmarks.soak.setting import make_sound, try_readers, warm_up
from benchmarks.soak.tables import soak


def main() -> None:
    """Run all tasks, a process each, and write the report anew after each."""
    options = _options()
    work, here = Path(tempfile.mkdtemp(prefix="soak_")), Path.cwd()
    sys.argv = sys.argv[:1]
    parts: dict[str, dict[str, Any]] = {}
    if options.output is not None and options.output.is_file():
        parts = measuring.read(options.output)["parts"]
    report = {"machine": measuring.machine("hypothesis"), "parts": parts}
    try:
        os.chdir(work)
        warm_up()
        check_single_thread()
        make_sound(work / "sound")
        try_readers(work / "sound")
        tasks = _tasks(options, work)
        parts |= {part: {"seed": options.seed, "minutes": 0.0, "rows": []} for part, _ in tasks}
        with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("fork")) as pool:
            futures = {pool.submit(_timed, task): part for part, task in tasks}
            for future in as_completed(futures):
                _add(parts[futures[future]], *future.result())
                measuring.write(options.output, report)
    finally:
        os.chdir(here)
        shutil.rmtree(work, ignore_errors=True)
    print(soak(report))
    sys.exit(any(row["lost"] for part, _ in tasks for row in parts[part]["rows"]))


Task = Callable[[], Row | tuple[list[Row], dict[str, Any]]]


def _tasks(options: argparse.Namespace, work: Path) -> list[tuple[str, Task]]:
    """List the tasks, each with the part that it belongs to; the longest first."""
    sound = work / "sound"

    def chance(part: str) -> random.Random:
        return random.Random(f"{options.seed} {part}")

    tasks: list[tuple[str, Task]] = []
    if options.kills:
        numbers = (options.kills, options.saving, options.epochs)
        tasks.append(("kills", partial(kill_training, work / "kills", *numbers, chance("kills"))))
    if options.disks:
        for fill in (limit_files, fill_disk):
            name = fill.__name__
            tasks.append(("disks", partial(fill, work / name, sound, options.disks, chance(name))))
    shares = split(options.altered, [share for share, _ in ALTERATIONS.values()])
    for name, count in zip(ALTERATIONS, shares, strict=True):
        if count:
            tasks.append(("altered", partial(alter_checkpoints, work / name, sound, name, count, chance(name))))
    for number, (kind, count) in enumerate(zip(KINDS, split(options.inputs, [1] * len(KINDS)), strict=True)):
        if count:
            place, first = work / kind.name, options.seed + number
            tasks.append(("inputs", partial(give_bad_inputs, place, sound, kind.name, count, first)))
    return tasks


def split(total: int, shares: Sequence[int]) -> list[int]:
    """Divide a number by shares, into whole numbers."""
    ends = [total * part // sum(shares) for part in accumulate(shares)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _timed(task: Task) -> tuple[float, list[Row], dict[str, Any]]:
    """Run a task, and return its minutes, rows and figures."""
    check_single_thread()
    began = time.monotonic()
    about: dict[str, Any] = {}
    try:
        made = task()
        rows, about = made if isinstance(made, tuple) else ([made], {})
    except NotTriedError as error:
        rows, about = [], {"not tried": str(error)}
    return (time.monotonic() - began) / 60, rows, about


def _add(part: dict[str, Any], minutes: float, rows: list[Row], about: dict[str, Any]) -> None:
    """Add the results of a task to its part."""
    order = [*ALTERATIONS, *(kind.name for kind in KINDS)]
    part["minutes"] = round(part["minutes"] + minutes, 2)
    part["rows"] += [row.to_dict() for row in rows]
    part["rows"].sort(key=lambda row: order.index(row["kind"]) if row["kind"] in order else -1)
    part |= about


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--kills", type=int, default=100, help="processes to kill while they train (default: 100)")
    parser.add_argument("--saving", type=int, default=30, help="of those, while they save (default: 30)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of that training (default: 20)")
    parser.add_argument("--disks", type=int, default=20, help="trainings on full disks of each kind (default: 20)")
    parser.add_argument("--inputs", type=int, default=1000, help="bad inputs (default: 1000)")
    parser.add_argument("--altered", type=int, default=300, help="altered checkpoints (default: 300)")
    parser.add_argument("--jobs", type=int, default=2, help="tasks at a time (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default: 0)")
    options = parser.parse_args()
    options.output = options.output and options.output.absolute()
    return options


if __name__ == "__main__":
    main()
