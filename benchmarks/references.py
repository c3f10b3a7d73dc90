"""Reference implementations of the metrics, one segment and one class at a time, and random maps to compare them."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from PIL import Image

Map = tuple[np.ndarray, list[dict[str, Any]]]
"""Panoptic map as stored in files: ids ``[H W]`` and ``segments_info``."""

CATEGORIES = [
    {"id": 3 + 7 * i, "name": name, "isthing": int(i < 4)}
    for i, name in enumerate(("car", "person", "bird", "boat", "road", "sky", "grass", "wall"))
]


def random_pair(rng: np.random.Generator, size: tuple[int, int] = (48, 64)) -> tuple[Map, Map]:
    """Generate a random prediction and its ground truth.

    They contain void, crowds (at most one per class) and segments down to one pixel, and lack some classes. Some are
    empty.
    """
    truth = rng.choice([0, 1, 2, 4, 9, 20])
    ids = _blobs(rng, size, int(truth))
    classes = rng.integers(0, len(CATEGORIES), truth + 1)
    moved = np.roll(ids, tuple(rng.integers(-2, 3, 2)), (0, 1))
    extra = int(rng.choice([0, 0, 3, 8]))
    blobs = _blobs(rng, size, extra, largest=0.3)
    predicted = np.where((blobs > 0) & (rng.random() < 0.7), blobs + truth, moved)
    predicted[rng.random(size) < rng.choice([0, 0, 0.05, 0.4])] = 0
    wrong = rng.random(truth + 1) < 0.15
    guessed = np.where(wrong, rng.integers(0, len(CATEGORIES), truth + 1), classes)
    guessed = np.concatenate([guessed, rng.integers(0, len(CATEGORIES), extra)])
    if rng.random() < 0.04:
        predicted[:] = 0
    if rng.random() < 0.04:
        ids[:] = 0
    return _map(rng, predicted, guessed, crowd=False), _map(rng, ids, classes, crowd=True)


def large_pair(rng: np.random.Generator, size: tuple[int, int] = (1024, 2048), segments: int = 60) -> tuple[Map, Map]:
    """Generate a ground truth with a given number of segments, and a coarser, shifted prediction.

    Args:
        rng: Random generator.
        size: Height and width.
        segments: Number of segments in the ground truth, including four stuff segments below the things.
    """
    height, width = size
    while True:
        ids = np.arange(1, 5).repeat(width // 4)[None].repeat(height, 0).astype(np.int32)
        for i in range(5, segments + 1):
            radii = tuple(int(r) for r in rng.integers(height // 40, height // 8, 2))
            center = int(rng.integers(0, width)), int(rng.integers(0, height))
            cv2.ellipse(ids, center, radii, float(rng.integers(0, 180)), 0, 360, i, -1)
        ids[: height // 50] = 0
        if len(np.unique(ids)) == segments + 1:
            break
    classes = np.concatenate([[0], [4, 5, 6, 7], rng.integers(0, 4, segments - 4)])
    coarse = cv2.resize(ids[::6, ::6], (width, height), interpolation=cv2.INTER_NEAREST)
    predicted = np.roll(coarse, (3, -2), (0, 1))
    predicted[np.isin(predicted, np.arange(9, segments, 9))] = 0
    return _map(rng, predicted, classes, crowd=False), _map(rng, ids, classes, crowd=True)


def _blobs(rng: np.random.Generator, size: tuple[int, int], count: int, largest: float = 0.9) -> np.ndarray:
    ids = np.zeros(size, np.int32)
    for i in range(1, count + 1):
        share = float(rng.choice([0.02, 0.1, 0.3, largest]))
        h, w = (max(1, int(rng.integers(1, max(2, int(side * share) + 1)))) for side in size)
        y, x = int(rng.integers(0, size[0] - h + 1)), int(rng.integers(0, size[1] - w + 1))
        ids[y : y + h, x : x + w] = i
    return ids


def _map(rng: np.random.Generator, ids: np.ndarray, classes: np.ndarray, crowd: bool) -> Map:
    """Assign random ids of up to 24 bits to segments; stuff of one class becomes one segment."""
    numbers = np.zeros(ids.shape, np.uint32)
    infos: list[dict[str, Any]] = []
    used, crowded, of_stuff = {0}, set(), {}
    for i in [i for i in np.unique(ids).tolist() if i]:
        category = CATEGORIES[classes[i]]
        number = of_stuff.get(category["id"])
        if number is None:
            while (number := int(rng.integers(1, 1 << int(rng.choice([8, 24]))))) in used:
                pass
            used.add(number)
            is_crowd = crowd and category["isthing"] == 1 and category["id"] not in crowded and rng.random() < 0.2
            if is_crowd:
                crowded.add(category["id"])
            infos.append({"id": number, "category_id": category["id"], "iscrowd": int(is_crowd)})
            if not category["isthing"]:
                of_stuff[category["id"]] = number
        numbers[ids == i] = number
    for info in infos:
        info["area"] = int((numbers == info["id"]).sum())
    return numbers, infos


def squares(size: tuple[int, int], side: int, shift: int) -> Map:
    """Return a map that is cut into squares, of categories in turn, and moved to the upper left."""
    row, column = ((np.arange(length) + shift) // side for length in size)
    numbers = row[:, None] * (column[-1] + 1) + column + 1
    ids = [category["id"] for category in CATEGORIES]
    infos = [
        {"id": i, "category_id": ids[i % len(ids)], "iscrowd": 0, "area": int(area)}
        for i, area in enumerate(np.bincount(numbers.ravel())[1:], start=1)
    ]
    return numbers, infos


def write_maps(folder: Path, name: str, maps: dict[int, Map]) -> Path:
    """Write maps, given by image id, in COCO panoptic format, and return the path of the JSON file."""
    png = folder / name
    png.mkdir(parents=True)
    images, annotations = [], []
    for image_id, (numbers, infos) in maps.items():
        pixels = np.stack([numbers & 255, (numbers >> 8) & 255, numbers >> 16], -1).astype(np.uint8)
        Image.fromarray(pixels).save(png / f"{image_id}.png")
        height, width = numbers.shape
        images.append({"id": image_id, "file_name": f"{image_id}.jpg", "height": height, "width": width})
        annotations.append({"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": infos})
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / f"{name}.json"


def install_panopticapi(folder: Path) -> ModuleType | None:
    """Install COCO's official evaluator without its dependencies, and return its module; ``None`` on failure.

    Its distribution requires NumPy below 2, which it does not need.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    if subprocess.run([*command, "panopticapi-lite==0.2.0"], check=False).returncode != 0:
        return None
    sys.path.insert(0, str(folder))
    return importlib.import_module("panopticapi.evaluation")


def official_counts(module: Any, truth: Path, predicted: Path, index: int) -> dict[int, tuple[float, int, int, int]]:
    """Compute IoU sum, TP, FP and FN of one image by category id, with an evaluator with panopticapi's interface."""
    true, guess = (json.loads(path.read_text()) for path in (truth, predicted))
    pair = [(true["annotations"][index], guess["annotations"][index])]
    folders = str(truth.with_suffix("")), str(predicted.with_suffix(""))
    with contextlib.redirect_stdout(io.StringIO()):
        stat = module.pq_compute_single_core(0, pair, *folders, {c["id"]: c for c in CATEGORIES})
    return {key: (s.iou, s.tp, s.fp, s.fn) for key, s in stat.pq_per_cat.items() if s.tp + s.fp + s.fn}


def boundary_counts(predicted: Map, true: Map, dilation_ratio: float) -> dict[int, tuple[float, int, int, int]]:
    """Compute IoU sum, TP, FP and FN of Boundary PQ by category id, with an erosion per segment."""
    guess, truth = predicted[0], true[0]
    width = max(1, round(dilation_ratio * float(np.hypot(*truth.shape))))

    def edge(mask: np.ndarray) -> np.ndarray:
        framed = np.pad(mask, 1).astype(np.uint8)
        inner = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
        return mask & (inner == 0)

    stat = {c["id"]: [0.0, 0, 0, 0] for c in CATEGORIES}
    guesses = {p["id"]: (guess == p["id"], edge(guess == p["id"])) for p in predicted[1]}
    matched = set()
    for info in true[1]:
        mask = truth == info["id"]
        contour, found = edge(mask), False
        for other in predicted[1] if not info["iscrowd"] else ():
            if other["category_id"] != info["category_id"]:
                continue
            ious = []
            for one, two in zip((mask, contour), guesses[other["id"]], strict=True):
                both = int((one & two).sum())
                ious.append(both / (int(one.sum()) + int((two & (truth != 0)).sum()) - both))
            if min(ious) > 0.5:
                found = True
                matched.add(other["id"])
                stat[info["category_id"]][0] += min(ious)
                stat[info["category_id"]][1] += 1
        if not found and not info["iscrowd"]:
            stat[info["category_id"]][3] += 1
    crowds = {i["category_id"]: i["id"] for i in true[1] if i["iscrowd"]}
    for info in predicted[1]:
        if info["id"] in matched:
            continue
        mask = guess == info["id"]
        passed = int((mask & (truth == 0)).sum())
        if info["category_id"] in crowds:
            passed += int((mask & (truth == crowds[info["category_id"]])).sum())
        if passed / int(mask.sum()) <= 0.5:
            stat[info["category_id"]][2] += 1
    return {key: tuple(s) for key, s in stat.items() if any(s[1:])}


def class_boundary(mask: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the pixels that differ from their east, south or southeast neighbor, with both in ``inside``."""
    height, width = mask.shape
    result = np.zeros_like(mask)
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        here, there = np.s_[: height - dy, : width - dx], np.s_[dy:, dx:]
        result[here] |= (mask[here] != mask[there]) & inside[here] & inside[there]
    return result


def boundary_f1(predicted: np.ndarray, true: np.ndarray, classes: int, radius: int, reach: Any) -> list[float]:
    """Compute boundary F1 by class.

    Args:
        predicted: Predicted classes.
        true: True classes; negative for void.
        classes: Number of classes.
        radius: Matching distance in pixels.
        reach: Function from a boundary and the radius to the mask of pixels within the radius of the boundary.
    """
    inside, scores = true >= 0, []
    for c in range(classes):
        in_prediction, in_truth = bool(((predicted == c) & inside).any()), bool((true == c).any())
        if not (in_prediction and in_truth):
            scores.append(0.0 if in_prediction or in_truth else float("nan"))
            continue
        p, t = class_boundary(predicted == c, inside), class_boundary(true == c, inside)
        if not p.any() or not t.any():
            scores.append(float(not p.any() and not t.any()))
            continue
        precision = (p & reach(t, radius)).sum() / p.sum()
        recall = (t & reach(p, radius)).sum() / t.sum()
        scores.append(float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0)
    return scores


def disk_dilation(boundary: np.ndarray, radius: int) -> np.ndarray:
    """Return the pixels near a boundary by dilation with a disk, as in the DAVIS benchmark."""
    from skimage.morphology import dilation, disk

    return dilation(boundary, disk(radius))


def distance_transform(boundary: np.ndarray, radius: int) -> np.ndarray:
    """Return the pixels near a boundary by OpenCV's exact Euclidean distance transform."""
    distance = cv2.distanceTransform((~boundary).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= radius + 1e-3
