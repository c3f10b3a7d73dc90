"""The command: parts in their order, each in a process of its own, all within the minutes given.

python -m benchmarks.gpu [--minutes 9] [--output benchmarks/results/gpu.json]
python -m benchmarks.gpu --device cpu --tiny        a trial of every part, whose figures mean nothing

Run it in the root of a checkout. It ends with status 1 where a part failed, was stopped or found no time.
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
from panoptic.config.composing import sentence
from panoptic.utils.files import write_json
from panoptic.utils.malloc import keep_freed_memory

PARTS = {"checks": checks, "training": training, "inference": inference, "floor": floor, "full": full}
SHARES = {"checks": 0.2, "training": 0.24, "inference": 0.13, "floor": 0.05, "full": 0.36}
"""Of the time that is left when a part begins, against those of the parts after it: what one spares, others get."""
DONE = "done"
"""The outcome of a part that came to its end."""
LEAST = 5.0
"""Seconds that a part begins with at least."""
RESERVE = 5.0
"""Seconds that a part gets beyond its time before it is ended, and the command to end in."""


def main() -> None:
    """Run the parts, or one of them, which is what the processes that this one starts are told to do."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=_minutes, default=9.0, help="that all may take (default: 9)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu.json"), help="JSON file to write")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: a trial of every part")
    parser.add_argument(
        "--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="others are kept as they are"
    )
    parser.add_argument("--variants", nargs="+", choices=list(full.VARIANTS), default=list(full.VARIANTS))
    parser.add_argument(
        "--steps", type=at_least_one, help="of each run of full (default: as many as there is time for)"
    )
    parser.add_argument("--override", action="append", default=[], metavar="KEY=VALUE", help="of the runs of full")
    parser.add_argument("--part", nargs=3, metavar=("NAME", "SECONDS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: expected cuda to be available, got none; --device cpu --tiny tries every part without")
    if arguments.device == "cpu" and not arguments.tiny:
        parser.error(
            "--device cpu: expected --tiny with it; benchmarks.training and benchmarks.inference measure a CPU"
        )
    if not arguments.part and (trouble := _trouble(arguments.output)):
        parser.error(f"--output: {trouble}")
    if arguments.part:
        run_part(arguments)
        return
    try:
        experiment("full", *arguments.override)
    except (HydraException, OmegaConfBaseException) as error:
        parser.error(f"--override: expected keys of the training configuration: {sentence(error)}")
    if not run_all(arguments):
        sys.exit("something failed, was stopped or was left out: see above, and the JSON file")


def _trouble(output: Path) -> str | None:
    """Why figures cannot go to a file, found out before any time is spent; ``None`` if they can."""
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
    """Run the parts one after the other, and print what they found; return whether all went well."""
    ends = time.monotonic() + 60 * arguments.minutes - RESERVE
    output: Path = arguments.output.resolve()
    parts = [name for name in PARTS if name in arguments.parts]
    well = True
    with tempfile.TemporaryDirectory(prefix=f".{output.stem}_", dir=output.parent) as work:
        for i, name in enumerate(parts):
            left = ends - time.monotonic()
            seconds = left * SHARES[name] / sum(SHARES[later] for later in parts[i:])
            found = _one(name, seconds, Path(work))
            today = datetime.date.today().isoformat()
            # Read anew each time: another run may have added a part of its own.
            report = _earlier(output, arguments.tiny) | {"date": today, "device": arguments.device}
            report["parts"][name] = {"date": today, **found}
            write_json(output, report)
            _print(name, found)
            well = well and went_well(found)
    print(f"\nresults: {output}")
    return well


def _earlier(output: Path, tiny: bool) -> dict[str, Any]:
    """What earlier runs have left, where they were of the same kind."""
    if output.is_file():
        report = json.loads(output.read_text())
        if report.get("tiny") == tiny:
            return report
    return {"parts": {}, "tiny": tiny}


def went_well(part: dict[str, Any]) -> bool:
    """Whether a part came to its end with no figure and no test that failed."""
    tests = part["figures"].get("tests", {"failures": 0, "errors": 0})
    return part["outcome"] == DONE and not part["failures"] and not tests["failures"] + tests["errors"]


def _one(name: str, seconds: float, work: Path) -> dict[str, Any]:
    """Run a part in a process of its own, which is ended when its time is over; what it found until then."""
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
        _, said = process.communicate(timeout=seconds + RESERVE)
        if process.returncode:
            outcome = f"ended with {process.returncode}: {without_paths(said)[-3000:]}"
    except subprocess.TimeoutExpired:
        outcome = "stopped: its time was over"
    finally:  # also where this process is interrupted: nothing is left running
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    found = json.loads(file.read_text()) if file.is_file() else {"figures": {}, "failures": {}, "left out": {}}
    return {"outcome": outcome, "seconds": round(time.monotonic() - start, 1), **found}


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
    """The figures of a part, a line each, and what failed."""
    print(f"{name}: {part['outcome']}, {part['seconds']} s")
    for figure, value in part["figures"].items():
        print(f"  {figure}: {_short(value)}")
    for figure, reason in part["left out"].items():
        print(f"  {figure}: left out: {reason}")
    for figure, said in part["failures"].items():
        print(f"  {figure}: FAILED: {said.strip().splitlines()[-1]}")
    sys.stdout.flush()


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(v)}" for key, v in value.items() if key not in HIDDEN) + "}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


HIDDEN = ("longest", "loss", "config", "versions", "fusion", "said")
"""What is for the JSON file alone."""


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
