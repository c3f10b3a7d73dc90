"""``python -m benchmarks.gpu.score CHECKPOINT``: score a checkpoint of the benchmark on any device.

For a run that was stopped before it was scored. The scores on val and test are added to the figures of that run.
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
"""Time limit for the evaluation of a split."""


def main() -> None:
    """Score both splits, and record the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/gpu.json"), help="JSON file to add to")
    parser.add_argument("--variant", choices=list(VARIANTS), default="adaptive")
    parser.add_argument(
        "--folder", type=Path, help="folder of new or existing evaluations (default: next to the checkpoint)"
    )
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
    durations = [float(text) for text in re.findall(r"^epoch .*, ([\d.]+) s$", run["stopped"] or "", re.MULTILINE)]
    if len(durations) == epochs:  # the run printed the time of every epoch
        images = run["steps"] * Setting.run_batch
        run.update({"seconds": sum(durations), "training": {"images_per_second": images / sum(durations)}})
    for split in ("val", "test"):
        folder = (arguments.folder or arguments.checkpoint.parent).resolve() / f"evaluate_{split}"
        if not (folder / "scores.json").is_file():
            options = (f"split={split}", f"output={folder}", "predictions=false", "data.cache=false")
            command("panoptic.evaluate", f"checkpoint={arguments.checkpoint.resolve()}", *options, seconds=SECONDS)
        run[split] = scores_of(folder / "scores.json")
        evaluation = read(folder / "scores.json")
        run[f"{split} images"], run["fusion"] = evaluation["images"], evaluation["fusion"]
    write(arguments.output, report)
    print(f"results: {arguments.output}")


if __name__ == "__main__":
    main()
