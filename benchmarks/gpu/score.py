"""``python -m benchmarks.gpu.score CHECKPOINT``: scores a checkpoint that the benchmark left, on any device.

For a run that had to end before it was scored. The scores on val and test go into the figures of that run.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from benchmarks.gpu.full import EPOCHS, VARIANTS
from benchmarks.gpu.runs import command
from benchmarks.gpu.setting import Setting
from benchmarks.measuring import read, write
from benchmarks.recording import scores_of
from panoptic.errors import InputError
from panoptic.training.checkpoint import read_checkpoint

SECONDS = 3600.0
"""That the evaluation of a split may take."""


def main() -> None:
    """Score both splits, and note it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu.json"), help="JSON file to add to")
    parser.add_argument("--variant", choices=list(VARIANTS), default="adaptive")
    parser.add_argument("--folder", type=Path, help="of the evaluations, done before or not (default: beside the file)")
    arguments = parser.parse_args()
    report = read(arguments.output)
    run = report.get("parts", {}).get("full", {}).get("figures", {}).get(arguments.variant)
    if run is None:
        parser.error(f"{arguments.output}: expected figures of a run of {arguments.variant}, got none")
    try:
        epochs = read_checkpoint(arguments.checkpoint).epochs
    except InputError as error:
        parser.error(str(error))
    run["steps"] = epochs * run["steps asked for"] // EPOCHS
    taken = [float(seconds) for seconds in re.findall(r"^epoch .*, ([\d.]+) s$", run["stopped"] or "", re.MULTILINE)]
    if len(taken) == epochs:  # as the run itself printed them
        images = run["steps"] * Setting.run_batch
        run.update({"seconds": sum(taken), "training": {"images_per_second": images / sum(taken)}})
    for split in ("val", "test"):
        folder = (arguments.folder or arguments.checkpoint.parent).resolve() / f"evaluate_{split}"
        if not (folder / "scores.json").is_file():
            choices = (f"split={split}", f"output={folder}", "predictions=false", "data.cache=false")
            command("panoptic.evaluate", f"checkpoint={arguments.checkpoint.resolve()}", *choices, seconds=SECONDS)
        run[split] = scores_of(folder / "scores.json")
        found = read(folder / "scores.json")
        run[f"{split} images"], run["fusion"] = found["images"], found["fusion"]
    write(arguments.output, report)
    print(f"results: {arguments.output}")


if __name__ == "__main__":
    main()
