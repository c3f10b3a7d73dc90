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
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks import measuring
from benchmarks.soak.altered import alter_checkpoints
from benchmarks.soak.disks import fill_disks
from benchmarks.soak.forking import check_single_thread
from benchmarks.soak.inputs import give_bad_inputs
from benchmarks.soak.kills import kill_training
from benchmarks.soak.setting import make_sound, try_readers, warm_up
from benchmarks.soak.tables import soak

PARTS = ("inputs", "kills", "altered", "disks")
"""The longest first."""


def main() -> None:
    """Run the parts, a process each, and write the report anew after each."""
    options = _options()
    work, here = Path(tempfile.mkdtemp(prefix="soak_")), Path.cwd()
    sys.argv = sys.argv[:1]
    report: dict[str, Any] = {"parts": {}}
    if options.output is not None and options.output.is_file():
        report = measuring.read(options.output)
    report["machine"] = measuring.machine("hypothesis")
    names = [name for name in PARTS if getattr(options, name)]
    try:
        os.chdir(work)
        warm_up()
        check_single_thread()
        make_sound(work / "sound")
        try_readers(work / "sound")
        with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("fork")) as pool:
            futures = {pool.submit(_part, name, options, work): name for name in names}
            for future in as_completed(futures):
                report["parts"][futures[future]] = future.result()
                measuring.write(options.output, report)
    finally:
        os.chdir(here)
        shutil.rmtree(work, ignore_errors=True)
    print(soak(report))
    rows = [row for name in names for row in report["parts"][name]["rows"]]
    sys.exit(any(row["lost"] for row in rows))


def _part(name: str, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run a part, and return its rows with the time it took."""
    check_single_thread()
    began = time.monotonic()
    count: int = getattr(options, name)
    folder, sound, chance = work / name, work / "sound", random.Random(options.seed)
    about: dict[str, Any] = {}
    if name == "inputs":
        rows = give_bad_inputs(folder, sound, count, options.seed)
    elif name == "kills":
        rows, about = kill_training(folder, count, options.saving, options.epochs, chance)
    elif name == "altered":
        rows = alter_checkpoints(folder, sound, count, chance)
    else:
        rows, about["not tried"] = fill_disks(folder, sound, count, chance)
    minutes = round((time.monotonic() - began) / 60, 1)
    return {"seed": options.seed, "minutes": minutes, **about, "rows": [row.to_dict() for row in rows]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--kills", type=int, default=100, help="processes to kill while they train (default: 100)")
    parser.add_argument("--saving", type=int, default=30, help="of those, while they save (default: 30)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of that training (default: 20)")
    parser.add_argument("--disks", type=int, default=20, help="trainings on full disks of each kind (default: 20)")
    parser.add_argument("--inputs", type=int, default=1000, help="bad inputs (default: 1000)")
    parser.add_argument("--altered", type=int, default=300, help="altered checkpoints (default: 300)")
    parser.add_argument("--jobs", type=int, default=2, help="parts at a time (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default: 0)")
    options = parser.parse_args()
    options.output = options.output and options.output.absolute()
    return options


if __name__ == "__main__":
    main()
