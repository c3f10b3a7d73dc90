"""``python -m benchmarks.metrics``: comparison of the metrics with reference evaluators: equality, time and memory.

All inputs are generated from a seed and measured in one run; times are medians. The evaluators are
``cityscapesscripts`` and ``hotcoco`` (extra ``test``), and ``panopticapi``, which is installed into a temporary folder
without its dependencies. ``--output`` also writes the results as JSON; ``--known`` adds the maps of a folder with
``coco_gt.json`` and ``coco_pred.json``. GPU measurements run if a GPU is available.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchmetrics

from benchmarks import references, scoring
from benchmarks.measuring import median, show
from benchmarks.references import Map
from benchmarks.scoring import LABELS, as_segments
from panoptic.data.coco.pairs import PredictionPairs
from panoptic.labels import CITYSCAPES
from panoptic.metrics import BoundaryF1, BoundaryPanopticQuality, PanopticQuality
from panoptic.metrics import functional as F
from panoptic.metrics.per_image import Evaluation, Settings, score_image
from panoptic.segments import Segments

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
        files = scoring.large_files(rng, folder, arguments.images)
        report["score"] = scoring.score(*files, panopticapi)
        report["memory"] = scoring.memory(*files)
        report["many segments"] = scoring.many_segments(folder / "many", panopticapi)
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


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
