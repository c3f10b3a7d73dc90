"""``python -m benchmarks.loading``: speed of rendering, augmentation and loading, compared with training.

Rendering and augmentation are measured on one thread in CPU time, batches in wall time, from loaders with 0, 1, 2 and 4
processes. The decisive figure is in the last column: the share of time that the steps of real runs waited for data.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch

from benchmarks import cpu_tables
from benchmarks.measuring import at_least_one, experiment, machine, write
from panoptic.config.composing import build
from panoptic.data.augment import augment, photometric_pipeline
from panoptic.data.sample import Sample
from panoptic.scenes.source import SyntheticSource

CROP, SCALE = (512, 1024), (0.5, 2.0)
RUNS = {
    "quick": ("trainer.max_epochs=3", "data.epoch_size=400", "data.train_size=400", "data.val_size=4"),
    "full": ("trainer.max_epochs=1", "data.epoch_size=40", "data.train_size=40", "data.val_size=1"),
}
"""Experiments whose waiting time is measured, with overrides that shorten them."""


def milliseconds(call: Callable[[int], Any], count: int) -> dict[str, float]:
    """Measure the CPU time of calls with 0, 1, ..., after three warm-up calls."""
    durations = []
    for i in range(-3, count):
        start = time.process_time()
        call(max(i, 0))
        if i >= 0:
            durations.append(1000 * (time.process_time() - start))
    return {
        "mean": statistics.mean(durations),
        "median": statistics.median(durations),
        "worst of 100": np.percentile(durations, 99),
    }


def painting(count: int) -> dict[str, dict[str, float]]:
    """Measure the milliseconds of rendering a scene, by size."""
    sizes = ((128, 256), (512, 1024), (1024, 2048))
    sources = {size: SyntheticSource("train", size=count, height=size[0], width=size[1]) for size in sizes}
    return {f"{h}x{w}": milliseconds(source.read, count) for (h, w), source in sources.items()}


def augmenting(samples: list[Sample], count: int) -> dict[str, dict[str, float]]:
    """Measure the milliseconds of augmenting a sample by strength, and of each transform alone at full strength.

    A transform alone is applied with probability 1; ``chance`` is its probability in the pipeline.
    """

    def whole(strength: float) -> Callable[[int], Any]:
        def call(i: int) -> None:
            sample = samples[i % len(samples)]
            augment(sample.image, sample.segments, crop=CROP, scale=SCALE, strength=strength, seed=i)

        return call

    rows = {f"a sample at strength {s:g}": milliseconds(whole(s), count) for s in (0.0, 0.5, 1.0)}
    for transform, probability in transforms(photometric_pipeline(1.0)):
        transform.p = 1.0
        alone = A.Compose([transform])

        def call(i: int, alone: A.Compose = alone) -> None:
            alone.set_random_seed(i)
            sample = samples[i % len(samples)]
            alone(image=sample.image)

        rows[type(transform).__name__] = {"chance": probability} | milliseconds(call, count)
    return rows


def transforms(pipeline: A.Compose) -> list[tuple[A.BasicTransform, float]]:
    """Return the transforms of a pipeline with their probabilities; alternatives share that of their group."""
    result = []
    for entry in pipeline.transforms:
        if isinstance(entry, A.OneOf):
            result += [(inner, entry.p / len(entry.transforms)) for inner in entry.transforms]
        else:
            result.append((entry, entry.p))
    return result


def loading(name: str, workers: int, batches: int) -> float:
    """Measure the images per second of a loader without a consumer, once its processes have started."""
    config = experiment(name, f"data.workers={workers}", "data.cache=false", "data.epoch_size=null")
    config.data.train_size = (batches + 2 * max(workers, 1) + 1) * config.data.batch_size
    iterator = iter(build(config.data, seed=0).train_dataloader())
    for _ in range(2 * workers + 1):  # batches that are prefetched while the processes start
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return batches * config.data.batch_size / (time.perf_counter() - start)


def waiting(name: str) -> dict[str, float]:
    """Return the speed that a real run reports in its summary."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "panoptic.train", f"experiment={name}", "model.backbone.weights=random"]
        command += [*RUNS[name], f"hydra.run.dir={folder}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads((Path(folder) / "summary.json").read_text())["training"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=at_least_one, default=100, help="number of samples to render and augment")
    parser.add_argument("--batches", type=at_least_one, default=10, help="number of batches to load")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "This DataLoader will create 4 worker processes")  # intended
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    report: dict[str, Any] = {"machine": machine()}
    report["painting, ms"] = painting(arguments.samples)
    print(cpu_tables.painting(report))
    source = SyntheticSource("train", size=20)
    report["augmenting, ms"] = augmenting([source.read(i) for i in range(20)], arguments.samples)
    print(cpu_tables.augmenting(report))
    report["loading, images/s"] = {
        name: {workers: loading(name, workers, arguments.batches) for workers in (0, 1, 2, 4)}
        for name in ("quick", "full")
    }
    report["training"] = {name: waiting(name) for name in RUNS}
    print(cpu_tables.loading(report))
    write(arguments.output, report)


if __name__ == "__main__":
    main()
