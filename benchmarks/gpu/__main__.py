"""Command that runs the parts one after another in separate processes, within a time limit.

python -m benchmarks.gpu [--minutes 9] [--output benchmarks/results/gpu.json]
python -m benchmarks.gpu --device cpu --tiny        test run of every part; its figures are meaningless

Run it in the root of a checkout. Exits with status 1 if a part failed, was stopped or skipped.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from benchmarks.gpu import checks, floor, full, inference, training
from benchmarks.gpu.hardware import HARDWARE
from benchmarks.gpu.record import Record, without_paths
from benchmarks.gpu.setting import make_setting
from benchmarks.measuring import at_least_one, experiment
from panoptic.config.sentences import sentence
from panoptic.utils.files import write_json
from panoptic.utils.malloc import keep_freed_memory

PARTS = {"checks": checks, "training": training, "inference": inference, "floor": floor, "full": full}
SHARES = {"checks": 0.2, "training": 0.24, "inference": 0.13, "floor": 0.05, "full": 0.36}
"""Weights for dividing the remaining time among the remaining parts, so that unused time goes to later parts."""

DONE = "done"
"""Outcome of a part that finished."""

LEAST = 5.0
"""Minimum seconds to start a part."""

RESERVE = 5.0
"""Seconds beyond its time limit until a part is killed, and reserved for the command to finish."""


def main() -> None:
    """Run all parts, or a single part in a subprocess of this command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=_minutes, default=9.0, help="time limit in minutes (default: 9)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu.json"), help="JSON file to write")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="use tiny sizes, to test every part")
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts to run; figures of others are kept"
    )
    parser.add_argument("--variants", nargs="+", choices=list(full.VARIANTS), default=list(full.VARIANTS))
    parser.add_argument(
        "--steps", type=at_least_one, help="number of steps of each run of full (default: as many as time allows)"
    )
    parser.add_argument(
        "--override", action="append", default=[], metavar="KEY=VALUE", help="override for the runs of full"
    )
    parser.add_argument("--part", nargs=3, metavar=("NAME", "SECONDS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: expected cuda to be available, got none; --device cpu --tiny tries every part without")
    if arguments.device == "cpu" and not arguments.tiny:
        parser.error(
            "--device cpu: expected --tiny with it; benchmarks.training and benchmarks.inference measure a CPU"
        )
    if not arguments.part and (problem := _output_problem(arguments.output)):
        parser.error(f"--output: {problem}")
    if arguments.part:
        run_part(arguments)
        return
    try:
        experiment("full", *arguments.override)
    except (HydraException, OmegaConfBaseException) as error:
        parser.error(f"--override: expected keys of the training configuration: {sentence(error)}")
    if not run_all(arguments):
        sys.exit("something failed, was stopped or was left out: see above, and the JSON file")


def _output_problem(output: Path) -> str | None:
    """Check in advance that figures can be written to a file; return the problem, or ``None``."""
    if output.is_dir():
        return f"expected a JSON file to write, got a folder: {output}"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
        if output.is_file() and not isinstance(json.loads(output.read_text()).get("parts"), dict):
            raise ValueError
    except OSError as error:
        return f"expected a folder that can be written, got {output.parent}: {error.strerror}"
    except (ValueError, AttributeError):
        return f"expected a file of this command or none, got one with other content: {output}"
    return None


def run_all(arguments: argparse.Namespace) -> bool:
    """Run the parts one after another, and print their figures; return whether all succeeded."""
    ends = time.monotonic() + 60 * arguments.minutes - RESERVE
    output: Path = arguments.output.resolve()
    parts = [name for name in PARTS if name in arguments.parts]
    success = True
    with tempfile.TemporaryDirectory(prefix=f".{output.stem}_", dir=output.parent) as work:
        for i, name in enumerate(parts):
            left = ends - time.monotonic()
            seconds = left * SHARES[name] / sum(SHARES[later] for later in parts[i:])
            part = _run_subprocess(name, seconds, Path(work))
            today = datetime.date.today().isoformat()
            # Read the file again for every part, since a concurrent run may have added parts.
            report = _existing_report(output, arguments.tiny) | {"date": today, "device": arguments.device}
            report["parts"][name] = {"date": today, **part}
            write_json(output, report)
            _print(name, part)
            success = success and went_well(part)
    print(f"\nresults: {output}")
    return success


def _existing_report(output: Path, tiny: bool) -> dict[str, Any]:
    """Return the report of earlier runs, if it has the same sizes, else an empty one."""
    if output.is_file():
        report = json.loads(output.read_text())
        if report.get("tiny") == tiny:
            return report
    return {"parts": {}, "tiny": tiny}


def went_well(part: dict[str, Any]) -> bool:
    """Return whether a part finished without a failed figure or test."""
    tests = part["figures"].get("tests", {"failures": 0, "errors": 0})
    return part["outcome"] == DONE and not part["failures"] and not tests["failures"] + tests["errors"]


def _run_subprocess(name: str, seconds: float, work: Path) -> dict[str, Any]:
    """Run a part in a separate process with a time limit, and return its outcome and the figures measured in time."""
    if seconds < LEAST:
        outcome = f"left out: {max(seconds, 0):.0f} s were left"
        return {"outcome": outcome, "seconds": 0.0, "figures": {}, "failures": {}, "left out": {}}
    file = work / f"{name}.json"
    command = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--part", name, f"{seconds:.1f}", str(work)]
    start = time.monotonic()
    print(f"{name}: up to {seconds:.0f} s", flush=True)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    outcome = DONE
    try:
        _, errors = process.communicate(timeout=seconds + RESERVE)
        if process.returncode:
            outcome = f"ended with {process.returncode}: {without_paths(errors)[-3000:]}"
    except subprocess.TimeoutExpired:
        outcome = "stopped: its time was over"
    finally:  # also on interruption, so that no process is left running
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    record = json.loads(file.read_text()) if file.is_file() else {"figures": {}, "failures": {}, "left out": {}}
    return {"outcome": outcome, "seconds": round(time.monotonic() - start, 1), **record}


def run_part(arguments: argparse.Namespace) -> None:
    """Run one part in this process."""
    name, seconds, work = arguments.part
    keep_freed_memory()
    torch.manual_seed(0)
    folder = arguments.output.resolve().parent
    setting = make_setting(HARDWARE[arguments.device](), folder, Path(work), arguments.tiny)
    record = Record(setting.work / f"{name}.json", float(seconds))
    if name == "full":
        full.run(record, setting, full.Plan(tuple(arguments.variants), arguments.steps, tuple(arguments.override)))
    else:
        PARTS[name].run(record, setting)
    record.write()


def _print(name: str, part: dict[str, Any]) -> None:
    """Print the figures of a part, one per line, and its failures."""
    print(f"{name}: {part['outcome']}, {part['seconds']} s")
    for figure, value in part["figures"].items():
        print(f"  {figure}: {_short(value)}")
    for figure, reason in part["left out"].items():
        print(f"  {figure}: left out: {reason}")
    for figure, traceback in part["failures"].items():
        print(f"  {figure}: FAILED: {traceback.strip().splitlines()[-1]}")
    sys.stdout.flush()


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(v)}" for key, v in value.items() if key not in HIDDEN) + "}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


HIDDEN = ("longest", "loss", "config", "versions", "fusion", "said")
"""Keys that are written to the JSON file only."""


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0.5 <= minutes <= 600:
        raise argparse.ArgumentTypeError(f"expected a number of minutes from 0.5 to 600, got {text!r}")
    return minutes


if __name__ == "__main__":
    main()
