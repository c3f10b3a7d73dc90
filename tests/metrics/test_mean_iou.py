"""Mean IoU: by hand, with void and crowd, and beside torchmetrics where that means the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from panoptic.labels import Category, LabelSpace
from panoptic.metrics import MeanIoU
from panoptic.metrics.functional import confusion
from panoptic.segments import VOID, Segments

LABELS = LabelSpace(tuple(Category(name, i, i == 0, (0, 0, 0)) for i, name in enumerate(("car", "road", "sky"))))


def from_classes(semantic) -> Segments:
    semantic = torch.as_tensor(np.atleast_2d(semantic))
    return Segments.from_maps(semantic, torch.zeros_like(semantic))


def test_by_hand_with_void_on_both_sides() -> None:
    target = from_classes([0, 0, 0, 0, 1, 1, VOID, VOID])
    prediction = from_classes([0, 0, 1, VOID, 1, 0, 2, VOID])
    counts = confusion(prediction, target, 3)[0]
    assert counts.tolist() == [[2, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0]]
    metric = MeanIoU(LABELS)
    metric.update(prediction, target)
    scores = metric.compute()
    assert scores["iou/car"].item() == pytest.approx(
        2 / 5
    )  # of 4 true and 3 predicted, 2 in common; one missed as void
    assert scores["iou/road"].item() == pytest.approx(1 / 3)
    assert math.isnan(scores["iou/sky"])  # predicted on void alone
    assert scores["mean_iou"].item() == pytest.approx((2 / 5 + 1 / 3) / 2)


def test_segments_of_a_class_and_crowd_count_together() -> None:
    ids = torch.tensor([[1, 1, 2, 2, 3, 3]], dtype=torch.int32)
    target = Segments(ids, torch.tensor([0, 0, 1]), torch.tensor([False, True, False]))
    metric = MeanIoU(LABELS)
    metric.update(from_classes([0, 0, 0, 0, 0, 1]), target)
    assert metric.compute()["iou/car"].item() == pytest.approx(4 / 5)


def test_parity_with_torchmetrics_where_nothing_is_predicted_as_void() -> None:
    rng = np.random.default_rng(0)
    metric = MeanIoU(LABELS)
    reference = MulticlassJaccardIndex(3, average="none", ignore_index=VOID)
    for _ in range(5):
        target = torch.from_numpy(rng.choice([0, 1, 2, VOID], (20, 30)))
        prediction = torch.from_numpy(np.where(rng.random((20, 30)) < 0.4, rng.integers(0, 3, (20, 30)), target % 3))
        metric.update(from_classes(prediction), from_classes(target))
        reference.update(prediction[None], target[None])
    scores = metric.compute()
    expected = reference.compute()
    assert [scores[f"iou/{n}"].item() for n in LABELS.names] == pytest.approx(expected.tolist(), abs=1e-6)
    assert 0.3 < scores["mean_iou"] < 0.9
