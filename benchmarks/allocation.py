"""``python -m benchmarks.allocation``: effect of keeping freed memory instead of returning it to the system.

Each fresh process repeats one workload, with the default behavior of the C library or with memory kept, and measures
seconds, page faults and peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
from pathlib import Path
from typing import Any

import torch

from benchmarks import cpu_tables
from benchmarks.inference import crowded, our_network
from benchmarks.measuring import at_least_one, in_own_process, machine, median, peak_memory, write
from benchmarks.training import Training, scenes
from panoptic.utils.malloc import keep_freed_memory

CPU = torch.device("cpu")
WHAT = ("inference, 512x1024", "training step, 4 x 512x1024")


def alone(what: str, repeats: int) -> dict[str, float]:
    """Measure one workload in this process."""
    if what == WHAT[0]:
        _, predictor = our_network(CPU)
        images = torch.randint(0, 256, (1, 512, 1024, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        outputs = crowded(predictor.codec, 1, (512, 1024), 100, CPU)

        @torch.inference_mode()
        def call() -> None:
            predictor.network(images)
            predictor.codec.decode(outputs)
    else:
        call = Training(scenes(4, (512, 1024), CPU)).step
    call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    seconds = median(call, repeats)
    pages = (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (repeats + 1)
    return {"seconds": seconds, "pages made anew": pages, "peak memory, GB": peak_memory(lambda: None, CPU)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=at_least_one, default=4, help="number of runs of each call")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--alone", nargs=2, metavar=("WHAT", "KEEP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        what, keep = arguments.alone
        if keep == "kept" and not keep_freed_memory():
            raise SystemExit("memory cannot be kept here")
        print(json.dumps(alone(what, arguments.repeats)))
        return
    report: dict[str, Any] = {"machine": machine()}
    if torch.cuda.is_available():
        print("freed memory: of interest on a CPU alone, and not measured here")
        return
    for what in WHAT:
        # Processes alternate, so that variations of speed affect both alike.
        runs: dict[str, list[dict[str, float]]] = {"given back": [], "kept": []}
        for _ in range(2):
            for keep, results in runs.items():
                call = ("--alone", what, keep, "--repeats", str(arguments.repeats))
                results.append(in_own_process("benchmarks.allocation", *call))
        report[what] = {keep: min(results, key=lambda run: run["seconds"]) for keep, results in runs.items()}
    print(cpu_tables.allocation(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
