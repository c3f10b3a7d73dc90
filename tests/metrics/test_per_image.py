"""Scores of single images: they add up to those of the metrics, and a table of them is enough to do so again."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from panoptic.complexity import image_complexity
from panoptic.labels import CITYSCAPES, Category, LabelSpace
from panoptic.metrics import BoundaryF1, BoundaryPanopticQuality, MeanIoU, PanopticQuality
from panoptic.metrics.functional import PanopticCounts, panoptic_quality
from panoptic.metrics.per_image import Evaluation, Settings, image_row, score_image
from panoptic.segments import Segments

LABELS = LabelSpace(
    tuple(Category(n, i, i < 2, (0, 0, 0)) for i, n in enumerate(("car", "person", "road", "sky", "grass")))
)
SETTINGS = Settings(dilation_ratio=0.1, tolerance=0.05)


def pairs(count: int = 5) -> list[tuple[Segments, Segments]]:
    rng = np.random.default_rng(3)
    result = []
    for _ in range(count):
        ids = torch.from_numpy(rng.integers(0, 7, (5, 7)).repeat(5, 0).repeat(5, 1).astype(np.int32))
        classes = torch.from_numpy(rng.integers(0, 4, 6))
        crowd = torch.tensor([False, True, False, False, False, False]) & (classes < 2)
        target = Segments(ids, classes, crowd)
        result.append((Segments(ids.roll(1, 1), classes, torch.zeros(6).bool()), target))
    return result


def test_images_add_up_to_what_the_metrics_compute() -> None:
    metrics = [
        PanopticQuality(LABELS),
        BoundaryPanopticQuality(LABELS, SETTINGS.dilation_ratio),
        BoundaryF1(LABELS, SETTINGS.tolerance),
        MeanIoU(LABELS),
    ]
    evaluation = Evaluation(LABELS, SETTINGS)
    for pair in pairs():
        evaluation.add(score_image(*pair, LABELS, SETTINGS))
        for metric in metrics:
            metric.update(*pair)
    expected = {name: value.item() for metric in metrics for name, value in metric.compute().items()}
    assert evaluation.scores() == pytest.approx(expected, nan_ok=True, rel=1e-12)
    assert evaluation.images == 5


def test_rows_are_enough_to_score_any_set_of_images_again() -> None:
    evaluation = Evaluation(LABELS, SETTINGS)
    rows = []
    for pair in pairs():
        scores = score_image(*pair, LABELS, SETTINGS)
        evaluation.add(scores)
        rows.append(image_row(scores, LABELS))
    for prefix in ("", "boundary_"):
        counts = PanopticCounts(
            *(
                torch.tensor(
                    [float(sum(row[f"{prefix}{count}/{name}"] for row in rows)) for name in LABELS.names],
                    dtype=torch.float64,
                )
                for count in PanopticCounts._fields
            )
        )
        assert panoptic_quality(counts)["pq"].nanmean().item() == pytest.approx(
            evaluation.scores()[f"{prefix}pq"], rel=1e-12
        )
    f1 = [[row[f"boundary_f1/{name}"] for row in rows] for name in LABELS.names]
    means = [np.mean([v for v in values if v is not None]) for values in f1 if any(v is not None for v in values)]
    assert np.mean(means) == pytest.approx(evaluation.scores()["boundary_f1"], rel=1e-12)


def test_a_row_by_hand() -> None:
    # A car of 2 pixels found whole, one of 4 missed, road half found; the prediction's sky is false.
    target = Segments(
        torch.tensor([[1, 1, 2, 2, 2, 2, 3, 3, 3, 3]], dtype=torch.int32),
        torch.tensor([0, 0, 2]),
        torch.zeros(3).bool(),
    )
    prediction = Segments(
        torch.tensor([[1, 1, 2, 2, 2, 2, 3, 3, 3, 0]], dtype=torch.int32),
        torch.tensor([0, 3, 2]),
        torch.zeros(3).bool(),
    )
    row = image_row(score_image(prediction, target, LABELS, Settings(boundaries=False)), LABELS)
    assert (row["tp/car"], row["fn/car"], row["fp/car"], row["iou_sum/car"]) == (1, 1, 0, 1.0)
    assert (row["tp/road"], row["iou_sum/road"], row["fp/sky"], row["tp/sky"]) == (1, 0.75, 1, 0)
    assert row["pq"] == pytest.approx((1 / 1.5 + 0.75 + 0) / 3)
    assert (row["pq_things"], row["pq_stuff"]) == pytest.approx((1 / 1.5, 0.375))
    assert row["mean_iou"] == pytest.approx((2 / 6 + 0.75 + 0) / 3)
    assert row["object_density"] == pytest.approx(math.log1p(2 * 256**2 / 10))
    assert row["scale_variance"] == pytest.approx(np.var(np.log([2, 4])))
    assert not any("boundary" in name for name in row)


def test_an_image_with_nothing_has_no_scores_and_columns_never_change() -> None:
    empty = Segments(torch.zeros(4, 4, dtype=torch.int32), torch.zeros(0).long(), torch.zeros(0).bool())
    row = image_row(score_image(empty, empty, LABELS), LABELS)
    assert all(row[name] is None for name in ("pq", "sq", "rq", "pq_things", "boundary_pq", "boundary_f1", "mean_iou"))
    assert row["tp/car"] == row["object_density"] == 0
    assert list(row) == list(image_row(score_image(*pairs(1)[0], LABELS), LABELS))


def test_complexity_is_that_of_the_truth() -> None:
    for prediction, target in pairs():
        scores = score_image(prediction, target, LABELS)
        assert torch.equal(scores.complexity, image_complexity(Segments.stack([target]), LABELS.is_thing)[0])


def test_the_result_is_plain_json_with_the_number_of_classes() -> None:
    evaluation = Evaluation(LABELS, SETTINGS)
    for pair in pairs():
        evaluation.add(score_image(*pair, LABELS, SETTINGS))
    result = evaluation.result()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    flat = evaluation.scores()
    assert result["all"] == {"pq": flat["pq"], "sq": flat["sq"], "rq": flat["rq"], "n": 4}
    assert (result["things"]["n"], result["stuff"]["n"], result["boundary_pq"]["all"]["n"]) == (2, 2, 4)
    assert result["boundary_pq"]["things"]["pq"] == flat["boundary_pq_things"]
    assert list(result["per_class"]) == list(result["boundary_pq"]["per_class"]) == ["car", "person", "road", "sky"]
    car = result["per_class"]["car"]
    assert (car["pq"], car["iou"], car["boundary_f1"]) == (flat["pq/car"], flat["iou/car"], flat["boundary_f1/car"])
    assert car["pq"] == pytest.approx(car["iou_sum"] / (car["tp"] + car["fp"] / 2 + car["fn"] / 2))
    assert (result["images"], result["dilation_ratio"], result["tolerance"]) == (5, 0.1, 0.05)


def test_nothing_at_all_and_crowd_alone_give_numbers() -> None:
    assert Evaluation(LABELS).result()["all"] == {"pq": 0.0, "sq": 0.0, "rq": 0.0, "n": 0}
    crowd = Segments(torch.ones(3, 3, dtype=torch.int32), torch.tensor([0]), torch.tensor([True]))
    evaluation = Evaluation(LABELS)
    evaluation.add(score_image(crowd, crowd, LABELS))
    result = evaluation.result()
    assert (result["all"]["n"], result["mean_iou"]) == (0, 1.0)
    assert (result["per_class"]["car"]["pq"], result["per_class"]["car"]["iou"]) == (None, 1.0)


def test_settings_are_checked_and_follow_the_label_space() -> None:
    assert (Settings().ratio(LABELS), Settings().ratio(CITYSCAPES), SETTINGS.ratio(CITYSCAPES)) == (0.02, 0.005, 0.1)
    for bad in ({"dilation_ratio": 0.0}, {"dilation_ratio": math.nan}, {"tolerance": 1.0}, {"tolerance": math.nan}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))}: expected a share of the diagonal"):
            Settings(**bad)


def test_autocast_changes_no_count() -> None:
    for pair in pairs():
        expected = score_image(*pair, LABELS)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = score_image(*pair, LABELS)
        for one, other in zip(
            got.quality + got.boundary_quality, expected.quality + expected.boundary_quality, strict=True
        ):
            assert torch.equal(one, other)
        assert torch.equal(got.confusion, expected.confusion)
        torch.testing.assert_close(got.boundary_f1, expected.boundary_f1, rtol=0, atol=0, equal_nan=True)
