"""Panoptic quality beside the evaluators that people compare by: cityscapesscripts' own, and hotcoco.

Both read files in COCO panoptic format, which this test writes by itself, so that the whole way from files is held to
theirs. ``panopticapi`` joins in ``python -m benchmarks.metrics``.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from panoptic.data.coco.pairs import PredictionPairs
from panoptic.metrics.per_image import Evaluation, Settings, score_image

cityscapes = pytest.importorskip("cityscapesscripts.evaluation.evalPanopticSemanticLabeling")
hotcoco = pytest.importorskip("hotcoco.panoptic")

CATEGORIES = [
    {"id": i, "name": name, "isthing": thing}
    for i, name, thing in ((3, "car", 1), (90, "person", 1), (7, "road", 0), (200, "sky", 0), (15, "dog", 1))
]
IDS = [c["id"] for c in CATEGORIES]
GROUPS = {"all": "All", "things": "Things", "stuff": "Stuff"}


def write(folder: Path, name: str, maps: list[tuple[np.ndarray, list[dict[str, Any]]]]) -> Path:
    (folder / name).mkdir()
    annotations, images = [], []
    for i, (numbers, infos) in enumerate(maps):
        pixels = np.stack([numbers & 255, (numbers >> 8) & 255, numbers >> 16], -1).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{i}.png")
        annotations.append({"image_id": i, "file_name": f"{i}.png", "segments_info": infos})
        images.append({"id": i, "file_name": f"{i}.jpg", "height": numbers.shape[0], "width": numbers.shape[1]})
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / f"{name}.json"


def infos_of(numbers: np.ndarray, categories: dict[int, int], crowd: frozenset[int] = frozenset()) -> list[dict]:
    return [
        {
            "id": i,
            "category_id": categories[i],
            "iscrowd": int(i in crowd),
            "area": int((numbers == i).sum()),
            "bbox": [0, 0, 1, 1],
        }
        for i in np.unique(numbers).tolist()
        if i
    ]


def ours(truth: Path, predicted: Path) -> dict[str, Any]:
    pairs = PredictionPairs(truth, predicted)
    evaluation = Evaluation(pairs.labels, Settings(boundaries=False))
    for pair in pairs:
        evaluation.add(score_image(pair.prediction, pair.target, pairs.labels, evaluation.settings))
    return evaluation.result()


def by_cityscapes(truth: Path, predicted: Path) -> dict[int, list[float]]:
    """IoU sum, TP, FP and FN by category id."""
    true, guess = (json.loads(path.read_text())["annotations"] for path in (truth, predicted))
    with contextlib.redirect_stdout(io.StringIO()):
        stat = cityscapes.pq_compute_single_core(
            0,
            list(zip(true, guess, strict=True)),
            str(truth.with_suffix("")),
            str(predicted.with_suffix("")),
            {c["id"]: c for c in CATEGORIES},
        )
    return {i: [s.iou, s.tp, s.fp, s.fn] for i, s in stat.pq_per_cat.items() if s.tp + s.fp + s.fn}


def by_hotcoco(truth: Path, predicted: Path) -> tuple[dict[int, list[float]], dict[str, Any]]:
    evaluation = hotcoco.PanopticEval(truth, predicted)
    evaluation.evaluate()
    results = evaluation.results()
    rows = {int(i): [r["iou"], r["tp"], r["fp"], r["fn"]] for i, r in results["per_class"].items()}
    return {i: row for i, row in rows.items() if any(row[1:])}, results


def hold_to_references(truth: Path, predicted: Path) -> dict[str, Any]:
    result = ours(truth, predicted)
    id_of = {c["name"]: c["id"] for c in CATEGORIES}
    names = ("iou_sum", "tp", "fp", "fn")
    counts = {id_of[n]: [row[k] for k in names] for n, row in result["per_class"].items() if row["pq"] is not None}
    theirs, means = by_hotcoco(truth, predicted)
    for reference in (by_cityscapes(truth, predicted), theirs):
        assert counts.keys() == reference.keys()
        for i, row in counts.items():
            assert row[1:] == reference[i][1:]
            assert row[0] == pytest.approx(reference[i][0], abs=1e-9)
    for group, name in GROUPS.items():
        if result[group]["n"]:  # hotcoco gives -1 for a mean over nothing
            assert result[group] == pytest.approx(means[name], abs=1e-9)
    return result


def random_maps(rng: np.random.Generator) -> tuple[tuple[np.ndarray, list], tuple[np.ndarray, list]]:
    count, size = int(rng.choice([0, 1, 3, 8, 15])), (20, 28)
    ids = np.zeros(size, np.int64)
    for i in range(1, count + 1):
        h, w = (int(rng.integers(1, max(2, int(side * rng.choice([0.1, 0.4, 1.0]))))) for side in size)
        y, x = int(rng.integers(0, size[0] - h + 1)), int(rng.integers(0, size[1] - w + 1))
        ids[y : y + h, x : x + w] = i
    numbers = np.concatenate([[0], rng.choice(np.arange(1, 1 << 24, 1009), count, replace=False)])
    categories = dict(zip(numbers.tolist(), [0, *rng.choice(IDS[:4], count).tolist()], strict=True))
    truth = numbers[ids]
    crowd, taken = set(), set()
    for i in np.unique(truth).tolist():  # at most one a class: of several the references keep the last alone
        if i and categories[i] in (3, 90) and categories[i] not in taken and rng.random() < 0.3:
            crowd.add(i)
            taken.add(categories[i])
    predicted = np.roll(truth, tuple(rng.integers(-1, 2, 2)), (0, 1))
    predicted[rng.random(size) < rng.choice([0, 0.1, 0.5])] = 0
    guessed = {i: c if rng.random() < 0.85 else int(rng.choice(IDS)) for i, c in categories.items()}
    if rng.random() < 0.1:
        predicted[:] = 0
    return (predicted, infos_of(predicted, guessed)), (truth, infos_of(truth, categories, frozenset(crowd)))


@pytest.mark.parametrize("seed", range(4))
def test_random_maps_score_as_with_the_references(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    pairs = [random_maps(rng) for _ in range(30)]
    result = hold_to_references(
        write(tmp_path, "truth", [t for _, t in pairs]), write(tmp_path, "guess", [p for p, _ in pairs])
    )
    assert all(result["per_class"][name][count] > 0 for name in ("car", "road") for count in ("tp", "fp", "fn"))
    for i, (predicted, truth) in enumerate(pairs[:8]):  # one by one, most classes are absent
        folder = tmp_path / f"single_{i}"
        folder.mkdir()
        hold_to_references(write(folder, "truth", [truth]), write(folder, "guess", [predicted]))


@st.composite
def small_maps(draw: st.DrawFn) -> tuple[np.ndarray, dict[int, int], np.ndarray, dict[int, int], frozenset[int]]:
    """Maps of a few pixels, in which every rule has its borderline cases: halves, voids, single pixels."""
    length = draw(st.integers(1, 12))
    number = st.integers(0, 5)
    truth, predicted = (np.array([draw(st.lists(number, min_size=length, max_size=length))]) for _ in range(2))
    category = st.lists(st.sampled_from(IDS), min_size=6, max_size=6)
    true_categories, predicted_categories = (dict(enumerate(draw(category))) for _ in range(2))
    crowd, taken = set(), set()
    for i in range(1, 6):
        if true_categories[i] in (3, 90, 15) and true_categories[i] not in taken and draw(st.booleans()):
            crowd.add(i)
            taken.add(true_categories[i])
    return truth, true_categories, predicted, predicted_categories, frozenset(crowd)


@given(small_maps())
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_map_scores_as_with_the_references(drawn) -> None:
    truth, true_categories, predicted, predicted_categories, crowd = drawn
    with tempfile.TemporaryDirectory() as folder:
        hold_to_references(
            write(Path(folder), "truth", [(truth, infos_of(truth, true_categories, crowd))]),
            write(Path(folder), "guess", [(predicted, infos_of(predicted, predicted_categories))]),
        )


def test_every_crowd_of_a_class_is_honoured_where_the_references_keep_the_last(tmp_path: Path) -> None:
    # A prediction half on one crowd of cars and half on another: all of it is on crowd.
    truth = (np.array([[1, 1, 2, 2, 3, 3]]), {1: 3, 2: 3, 3: 7}, frozenset({1, 2}))
    predicted = (np.array([[4, 4, 4, 4, 5, 5]]), {4: 3, 5: 7})
    files = (
        write(tmp_path, "truth", [(truth[0], infos_of(*truth))]),
        write(tmp_path, "guess", [(predicted[0], infos_of(*predicted))]),
    )
    assert "car" not in {n for n, row in ours(*files)["per_class"].items() if row["pq"] is not None}
    assert by_cityscapes(*files)[3] == [0.0, 0, 1, 0]
    assert by_hotcoco(*files)[0][3] == [0.0, 0, 1, 0]
