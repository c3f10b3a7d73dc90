"""Time and memory of scoring pairs of PNG files, beside other evaluators; parts of ``python -m benchmarks.metrics``."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import references
from benchmarks.measuring import in_turn, median, show
from benchmarks.references import CATEGORIES, Map
from panoptic.analysis.scoring import score_pairs
from panoptic.data.coco.pairs import PredictionPairs
from panoptic.labels import LabelSpace
from panoptic.metrics.per_image import Evaluation, Settings, score_image
from panoptic.segments import Segments

LABELS = LabelSpace.from_dicts(CATEGORIES)


def large_files(rng: np.random.Generator, folder: Path, count: int) -> tuple[Path, Path]:
    """Write pairs of 1024x2048, and return the JSON files of ground truth and predictions."""
    pairs = {i: references.large_pair(rng) for i in range(count)}
    truth = references.write_maps(folder / "large", "truth", {i: true for i, (_, true) in pairs.items()})
    return truth, references.write_maps(
        folder / "large", "guess", {i: predicted for i, (predicted, _) in pairs.items()}
    )


def score(truth: Path, guess: Path, panopticapi: Any) -> dict[str, Any]:
    """Time parallel scoring from files, also with panopticapi and hotcoco; boundary scores are timed separately."""
    from hotcoco.panoptic import PanopticEval

    processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    def ours(boundaries: bool, workers: int) -> Callable[[], float]:
        def call() -> float:
            settings = Settings(boundaries, 0.02)
            pairs, evaluation = PredictionPairs(truth, guess), Evaluation(LABELS, settings)
            for _, _, scores in score_pairs(pairs, settings, workers):
                evaluation.add(scores)
            return evaluation.scores()["pq"]

        return call

    def official() -> float:
        folders = str(truth.with_suffix("")), str(guess.with_suffix(""))
        with contextlib.redirect_stdout(io.StringIO()):
            return panopticapi.pq_compute(str(truth), str(guess), *folders)["All"]["pq"]

    def compiled() -> float:
        evaluation = PanopticEval(truth, guess)
        evaluation.evaluate()
        return evaluation.results()["All"]["pq"]

    pairs = PredictionPairs(truth, guess)
    figures: dict[str, Any] = {"pairs": len(pairs), "processes": processes, "PQ": ours(False, processes)()}
    calls: dict[str, Callable[[], Any]] = {"ours, s": ours(False, processes), "hotcoco, s": compiled}
    if panopticapi is not None:
        figures["PQ, panopticapi"] = float(official())
        calls["panopticapi, s"] = official
    figures["PQ, hotcoco"] = compiled()
    seconds = in_turn(calls, 7) | in_turn({"ours with boundary scores, s": ours(True, processes)}, 3)

    in_memory = [(pair.prediction, pair.target) for pair in pairs]
    masks = hotcoco_masks(in_memory)

    def without_files() -> None:
        for prediction, target in in_memory:
            score_image(prediction, target, LABELS, Settings(boundaries=False))

    loaded = {
        "ours from memory, one process, s": without_files,
        "hotcoco from masks in memory, s": lambda: PanopticEval(*masks).evaluate(),
    }
    seconds |= in_turn(loaded, 7)
    figures |= seconds
    if panopticapi is not None:
        figures["panopticapi / ours"] = seconds["panopticapi, s"] / seconds["ours, s"]
    figures["ours / hotcoco"] = seconds["ours, s"] / seconds["hotcoco, s"]
    figures["ours / hotcoco, from memory"] = (
        seconds["ours from memory, one process, s"] / seconds["hotcoco from masks in memory, s"]
    )
    show("score, 1024x2048 from PNG files", figures.items())
    return figures


def hotcoco_masks(pairs: list[tuple[Segments, Segments]]) -> tuple[Any, Any]:
    """Convert maps to data sets of run-length masks, which hotcoco reads without PNG files."""
    from hotcoco import COCO, mask

    sets = []
    for side in (1, 0):
        images, annotations = [], []
        for i, pair in enumerate(pairs, start=1):
            segments, (height, width) = pair[side], pair[side].size
            images.append({"id": i, "height": height, "width": width, "file_name": f"{i}.png"})
            for row, (c, crowd) in enumerate(zip(segments.classes.tolist(), segments.crowd.tolist(), strict=True)):
                binary = np.asfortranarray((segments.ids == row + 1).numpy().astype(np.uint8))
                code = mask.encode(binary)
                if isinstance(code["counts"], bytes):
                    code["counts"] = code["counts"].decode()
                area = int(binary.sum())
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": i,
                        "category_id": CATEGORIES[c]["id"],
                        "iscrowd": int(crowd),
                        "segmentation": code,
                        "area": area,
                        "bbox": [0, 0, width, height],
                        "score": 1.0,
                    }
                )
        sets.append(COCO({"images": images, "annotations": annotations, "categories": CATEGORIES}))
    return sets[0], sets[1]


def memory(truth: Path, guess: Path, images: int = 500) -> dict[str, Any]:
    """Measure peak memory after 50 and after all images of an evaluation that cycles through the files."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:  # a fresh process, without an earlier peak
        figures = pool.apply(evaluate_again, (truth, guess, (50, images)))
    show("memory of one process, 1024x2048 with boundary scores", figures.items())
    return figures


def evaluate_again(truth: Path, guess: Path, marks: tuple[int, ...]) -> dict[str, Any]:
    """Score images, and record peak memory after the given numbers of images."""
    settings = Settings(dilation_ratio=0.02)
    pairs, evaluation = PredictionPairs(truth, guess), Evaluation(LABELS, settings)
    figures: dict[str, Any] = {}
    for i in range(marks[-1]):
        pair = pairs[i % len(pairs)]
        evaluation.add(score_image(pair.prediction, pair.target, LABELS, settings))
        if i + 1 in marks:
            figures[f"peak after {i + 1} images, MB"] = peak_megabytes()
    return figures


def many_segments(folder: Path, panopticapi: Any, sides: tuple[int, ...] = (38, 16, 5)) -> list[dict[str, Any]]:
    """Time and measure a pair of 1024x2048 in squares, of which the predicted ones are a pixel off, by their side."""
    rows = []
    for side in sides:
        maps = [references.squares((1024, 2048), side, shift) for shift in (0, 1)]
        truth, guess = (
            references.write_maps(folder / str(side), name, {0: m})
            for name, m in zip(("truth", "guess"), maps, strict=True)
        )
        row: dict[str, Any] = {"segments": len(maps[0][1])}
        for name, boundaries in (("", False), (" with boundary scores", True)):
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # a fresh process, without an earlier peak
                seconds, megabytes = pool.apply(score_one, (truth, guess, boundaries))
            row |= {f"ours{name}, s": seconds, f"ours{name}, MB": megabytes}
        if panopticapi is not None and row["segments"] < 10_000:  # beyond, ours alone is measured
            row["panopticapi, s"] = median(partial(references.official_counts, panopticapi, truth, guess, 0), 3)
        rows.append(row)
        show(f"a pair of 1024x2048 in squares of {side} pixels", row.items())
    return rows


def score_one(truth: Path, guess: Path, boundaries: bool) -> tuple[float, float]:
    """Score the pair in two files with one thread: seconds, the median of three, and growth of peak memory in MB."""
    torch.set_num_threads(1)
    settings = Settings(boundaries, 0.02)
    small = as_segments(references.squares((64, 64), 16, 0))
    score_image(small, small, LABELS, settings)
    before = peak_megabytes()

    def call() -> None:
        pair = PredictionPairs(truth, guess)[0]
        score_image(pair.prediction, pair.target, LABELS, settings)

    return median(call, 3), peak_megabytes() - before


def peak_megabytes() -> float:
    """Return the peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage reports a peak inherited from the parent process
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def as_segments(panoptic_map: Map) -> Segments:
    """Convert a panoptic map to segments."""
    numbers, infos = panoptic_map
    ids = np.zeros(numbers.shape, np.int32)
    for i, info in enumerate(infos, start=1):
        ids[numbers == info["id"]] = i
    return Segments(
        torch.from_numpy(ids),
        torch.tensor([LABELS.class_of_id[info["category_id"]] for info in infos], dtype=torch.int64),
        torch.tensor([bool(info["iscrowd"]) for info in infos], dtype=torch.bool),
    )
