"""``python -m benchmarks.startup``: time of each command until its help, and of ``train`` until its first step.

Medians over fresh processes, with files in the page cache. Before its first step, ``train`` imports its modules, builds
the network, starts loading processes and waits for a batch; weights are random, so that no model hub is accessed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import cpu_tables
from benchmarks.measuring import at_least_one, machine, write
from panoptic.config.schema import COMMANDS

FIRST_STEP = (
    "+trainer.max_steps=1",
    "+trainer.limit_val_batches=0",
    "data.train_size=4",
    "data.val_size=1",
    "logger=none",
)


def to_first_step(name: str, repeats: int) -> float:
    """Return the median seconds from the start of ``train`` until its first step, after one warm-up run."""
    durations = []
    for _ in range(repeats + 1):
        with tempfile.TemporaryDirectory() as folder:
            call = [sys.executable, "-m", "panoptic.train", f"experiment={name}", "model.backbone.weights=random"]
            start = time.time()
            subprocess.run([*call, *FIRST_STEP, f"hydra.run.dir={folder}"], check=True, stdout=subprocess.DEVNULL)
            training = json.loads((Path(folder) / "summary.json").read_text())["training"]
            durations.append(training["first_step_at"] - start)
    return statistics.median(durations[1:])


def seconds(*arguments: str, repeats: int) -> float:
    """Return the median seconds of a fresh process, after one warm-up run."""
    durations = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        process = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
        durations.append(time.perf_counter() - start)
        if process.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {process.stderr.strip()[-400:]}")
    return statistics.median(durations[1:])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=5, help="number of runs of each command")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    report: dict[str, Any] = {"machine": machine()}
    commands = {f"{name} --help": (f"panoptic.{name}", "--help") for name in COMMANDS}
    report["help, s"] = {name: seconds(*call, repeats=arguments.repeats) for name, call in commands.items()}
    report["first step, s"] = {name: to_first_step(name, min(arguments.repeats, 3)) for name in ("quick", "full")}
    print(cpu_tables.startup(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
