"""``python -m benchmarks.metrics``: comparison of the metrics with reference evaluators: equality, time and memory.

All inputs are generated from a seed and measured in one run; times are medians. The evaluators are
``cityscapesscripts`` and ``hotcoco`` (extra ``test``), and ``panopticapi``, which is installed into a temporary folder
without its dependencies. ``--output`` also writes the results as JSON; ``--known`` adds the maps of a folder with
``coco_gt.json`` and ``coco_pred.json``. GPU measurements run if a GPU is available.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchmetrics

from benchmarks import references
from benchmarks.measuring import in_turn, median, show
from benchmarks.references import CATEGORIES, Map
from panoptic.analysis.scoring import score_pairs
from panoptic.data.coco.pairs import PredictionPairs
from panoptic.labels import CITYSCAPES, LabelSpace
from panoptic.metrics import BoundaryF1, BoundaryPanopticQuality, PanopticQuality
from panoptic.metrics import functional as F
from panoptic.metrics.per_image import Evaluation, Settings, score_image
from panoptic.segments import Segments

LABELS = LabelSpace.from_dicts(CATEGORIES)
Counts = dict[int, tuple[float, int, int, int]]
"""IoU sum, TP, FP and FN by category id."""


def main() -> None:
    """Run all parts and print their results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="seed of all maps")
    parser.add_argument("--pairs", type=int, default=500, help="number of random pairs for the equality check")
    parser.add_argument("--images", type=int, default=50, help="number of pairs of 1024x2048 to score from files")
    parser.add_argument("--known", type=Path, help="folder with coco_gt.json, coco_pred.json and their PNG folders")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    report: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        panopticapi = references.install_panopticapi(folder / "panopticapi")
        report["equality"] = equality(rng, folder, arguments.pairs, panopticapi)
        if arguments.known is not None:
            report["known"] = known(arguments.known)
        report["one pair"] = one_pair(rng)
        report["boundary F1"] = boundary_f1(rng)
        files = large_files(rng, folder, arguments.images)
        report["score"] = score(*files, panopticapi)
        report["memory"] = memory(*files)
        report["many segments"] = many_segments(folder / "many", panopticapi)
    if torch.cuda.is_available():
        report["CUDA"] = cuda(rng)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


def machine() -> dict[str, Any]:
    """Describe the hardware and the versions of the packages."""
    description = {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchmetrics": torchmetrics.__version__,
        "numpy": np.__version__,
    }
    show("machine", description.items())
    return description


def equality(rng: np.random.Generator, folder: Path, count: int, panopticapi: Any) -> dict[str, Any]:
    """Compute the largest differences to the evaluators over random pairs."""
    from cityscapesscripts.evaluation import evalPanopticSemanticLabeling as cityscapes

    pairs = {i: references.random_pair(rng) for i in range(count)}
    truth = references.write_maps(folder / "small", "truth", {i: true for i, (_, true) in pairs.items()})
    guess = references.write_maps(folder / "small", "guess", {i: predicted for i, (predicted, _) in pairs.items()})
    read, settings = PredictionPairs(truth, guess), Settings(dilation_ratio=0.02)
    ours, boundary = [], []
    for pair in read:
        scores = score_image(pair.prediction, pair.target, LABELS, settings)
        ours.append(counts_by_id(scores.quality))
        boundary.append(counts_by_id(scores.boundary_quality))

    figures: dict[str, Any] = {
        "pairs": count,
        "empty predictions": 0,
        "empty truths": 0,
        "with crowd": 0,
        "with void": 0,
    }
    for (_, guessed), (numbers, infos) in pairs.values():
        figures["empty predictions"] += not guessed
        figures["empty truths"] += not infos
        figures["with crowd"] += any(info["iscrowd"] for info in infos)
        figures["with void"] += bool((numbers == 0).any())
    for name, module in (("panopticapi", panopticapi), ("cityscapesscripts", cityscapes)):
        if module is not None:
            theirs = [references.official_counts(module, truth, guess, i) for i in range(count)]
            figures[name] = difference(ours, theirs)
    figures["hotcoco"] = difference(ours, hotcoco_counts(folder, pairs))
    plain = [references.boundary_counts(*pair, 0.02) for pair in pairs.values()]
    figures["Boundary PQ, a segment at a time"] = difference(boundary, plain)
    show("equality: largest difference of IoU sum, TP, FP, FN of a class in an image", figures.items())
    return figures


def hotcoco_counts(folder: Path, pairs: dict[int, tuple[Map, Map]]) -> list[Counts]:
    """Compute counts by image with hotcoco, one file per image."""
    from hotcoco.panoptic import PanopticEval

    result = []
    for i, (predicted, true) in pairs.items():
        truth = references.write_maps(folder / f"single_{i}", "truth", {i: true})
        guess = references.write_maps(folder / f"single_{i}", "guess", {i: predicted})
        evaluation = PanopticEval(truth, guess)
        evaluation.evaluate()
        rows = evaluation.results()["per_class"].items()
        counts = {int(key): (row["iou"], row["tp"], row["fp"], row["fn"]) for key, row in rows}
        result.append({key: row for key, row in counts.items() if any(row[1:])})
    return result


def counts_by_id(counts: F.PanopticCounts) -> Counts:
    """Return IoU sum, TP, FP and FN by category id, for the categories that occur."""
    rows = zip(LABELS.categories, *(values.tolist() for values in counts), strict=True)
    return {category.id: tuple(row) for category, *row in rows if any(row[1:])}


def difference(ours: Iterable[Counts], theirs: Iterable[Counts]) -> float:
    """Return the largest difference of any count; infinite if only one of the two has a category."""
    largest = 0.0
    for one, other in zip(ours, theirs, strict=True):
        if one.keys() != other.keys():
            return float("inf")
        for key, counts in one.items():
            largest = max(largest, *(abs(float(a) - float(b)) for a, b in zip(counts, other[key], strict=True)))
    return largest


def known(folder: Path) -> dict[str, Any]:
    """Compute PQ and Boundary PQ of the files in a folder."""
    pairs = PredictionPairs(folder / "coco_gt.json", folder / "coco_pred.json")
    evaluation = Evaluation(pairs.labels)
    for pair in pairs:
        evaluation.add(score_image(pair.prediction, pair.target, pairs.labels))
    result = evaluation.result()
    figures = {f"PQ, {group}": result[group]["pq"] for group in ("all", "things", "stuff")}
    figures |= {f"Boundary PQ, {group}": result["boundary_pq"][group]["pq"] for group in ("all", "things", "stuff")}
    show(f"{folder.name}, to 16 digits", ((name, repr(value)) for name, value in figures.items()))
    return figures


def one_pair(rng: np.random.Generator) -> dict[str, Any]:
    """Time ``update`` and ``compute`` for a pair of 1024x2048 with 60 segments, also with torchmetrics."""
    predicted, true = references.large_pair(rng)
    prediction, target = as_segments(predicted), as_segments(true)

    def run(metric: Any, *inputs: Any) -> Callable[[], None]:
        def call() -> None:
            metric.reset()
            metric.update(*inputs)
            metric.compute()

        return call

    things, stuff = set(LABELS.things), set(LABELS.stuff)
    other = torchmetrics.detection.PanopticQuality(things=things, stuffs=stuff, allow_unknown_preds_category=True)
    maps = [torch.stack([s.semantic(), s.ids.long()], -1)[None] for s in (prediction, target)]
    milliseconds = {
        "torchmetrics PanopticQuality": 1000 * median(run(other, *maps), 3),
        "PanopticQuality": 1000 * median(run(PanopticQuality(LABELS), prediction, target), 21),
        "BoundaryPanopticQuality": 1000 * median(run(BoundaryPanopticQuality(LABELS), prediction, target), 11),
        "BoundaryF1": 1000 * median(run(BoundaryF1(LABELS), prediction, target), 11),
    }
    figures: dict[str, Any] = {f"{name}, ms": value for name, value in milliseconds.items()}
    ratio = milliseconds["torchmetrics PanopticQuality"] / milliseconds["PanopticQuality"]
    figures["torchmetrics / PanopticQuality"] = ratio
    show("update + compute, 1024x2048, 60 segments", figures.items())
    return figures


def boundary_f1(rng: np.random.Generator) -> dict[str, Any]:
    """Compare boundary F1 of 19 classes at 1024x2048 with a disk dilation and a distance transform per class."""
    maps = []
    for numbers, infos in references.large_pair(rng, segments=80):
        ids = np.zeros(numbers.shape, np.int32)
        for i, info in enumerate(infos, start=1):
            ids[numbers == info["id"]] = i
        classes = torch.arange(len(infos)) % len(CITYSCAPES)
        maps.append(Segments(torch.from_numpy(ids), classes, torch.zeros(len(infos), dtype=torch.bool)))
    prediction, target = maps
    c, radius = len(CITYSCAPES), int(np.ceil(0.0075 * np.hypot(*target.size)))
    plain = [np.where(s.ids.numpy() > 0, s.semantic().numpy(), -1) for s in maps]

    def ours() -> list[float]:
        return F.boundary_f1(prediction, target, c, 0.0075)[0].tolist()

    def by_distance() -> list[float]:
        return references.boundary_f1(*plain, c, radius, references.distance_transform)

    dilated = references.boundary_f1(*plain, c, radius, references.disk_dilation)
    figures = {
        "classes": int(np.count_nonzero(~np.isnan(dilated))),
        "radius, pixels": radius,
        "mean over classes": float(np.nanmean(dilated)),
        "largest difference to skimage's disk": float(np.nanmax(np.abs(np.subtract(ours(), dilated)))),
        "ours, ms": 1000 * median(ours, 11),
        "OpenCV distance transform by class, ms": 1000 * median(by_distance, 3),
    }
    figures["distance transform / ours"] = figures["OpenCV distance transform by class, ms"] / figures["ours, ms"]
    show("boundary F1, 1024x2048", figures.items())
    return figures


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


def cuda(rng: np.random.Generator) -> dict[str, Any]:
    """Check counts and scores on a GPU under autocast, and time the metrics there."""
    figures: dict[str, Any] = {}
    same = True
    settings = Settings(dilation_ratio=0.02)
    for _ in range(20):
        prediction, target = (as_segments(m) for m in references.random_pair(rng))
        expected = flat(score_image(prediction, target, LABELS, settings))
        with torch.autocast("cuda", dtype=torch.float16):
            got = flat(score_image(prediction.to("cuda"), target.to("cuda"), LABELS, settings))
        same = same and all(
            torch.equal(a.nan_to_num(-1), b.cpu().nan_to_num(-1)) for a, b in zip(expected, got, strict=True)
        )
    figures["same as on the CPU, bit for bit, in 16-mixed"] = same
    prediction, target = (as_segments(m).to("cuda") for m in references.large_pair(rng))
    for metric in (PanopticQuality(LABELS), BoundaryPanopticQuality(LABELS), BoundaryF1(LABELS)):
        metric = metric.to("cuda")

        def call(metric: Any = metric) -> None:
            metric.update(prediction, target)
            torch.cuda.synchronize()

        figures[f"{type(metric).__name__} update, ms"] = 1000 * median(call, 21)
    show("CUDA, 1024x2048, 60 segments", figures.items())
    return figures


def flat(scores: Any) -> list[torch.Tensor]:
    """Return the tensors in the scores of an image."""
    return [t for part in scores for t in (part if isinstance(part, tuple) else (part,))]


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


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
