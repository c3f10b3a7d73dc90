"""The oracle: one part of the outputs made true at a time, by a network that is wrong in a way that is known."""

from __future__ import annotations

import pytest
import torch

from panoptic.analysis.oracle import VARIANTS, Oracle
from panoptic.codec import Codec
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

ROAD, CAR = range(2)
LABELS = LabelSpace((Category("road", 0, False, (0, 0, 0)), Category("car", 1, True, (0, 0, 0))))
CODEC = Codec(LABELS, stride=1, sigma=1.0)


@pytest.fixture
def truth() -> Segments:
    """A batch of one road with two cars of 8 x 8 pixels."""
    ids = torch.ones(1, 24, 40, dtype=torch.int32)
    ids[0, 8:16, 4:12], ids[0, 8:16, 24:32] = 2, 3
    return Segments(ids, torch.tensor([[ROAD, CAR, CAR]]), torch.zeros(1, 3, dtype=torch.bool))


def result(outputs, truth) -> dict[str, dict[str, float]]:
    oracle = Oracle(CODEC)
    oracle.add(outputs, truth)
    return oracle.result()


def test_a_network_that_is_right_gains_nothing(truth):
    scores = result(CODEC.encode(truth).as_outputs(2), truth)
    assert set(scores) == set(VARIANTS)
    assert all(row == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "pq_things": 1.0, "pq_stuff": 1.0} for row in scores.values())


def test_one_that_finds_no_center_needs_true_centers(truth):
    right = CODEC.encode(truth).as_outputs(2)
    scores = result(right._replace(center=torch.full_like(right.center, -9.0)), truth)
    perfect = {name for name, row in scores.items() if row["pq"] == 1.0}
    assert perfect == {name for name, parts in VARIANTS.items() if "center" in parts}
    assert scores["as predicted"]["pq_things"] == 0.0
    assert scores["as predicted"]["pq_stuff"] == 1.0  # what was a car is void, and road is all there


def test_one_that_points_the_wrong_way_needs_true_offsets(truth):
    right = CODEC.encode(truth).as_outputs(2)
    away = right.offset.clone()
    away[:, 1] += torch.where(torch.arange(40) < 20, 20.0, -20.0)  # each car to the other's center
    away[:, :, :, 4:8] = right.offset[:, :, :, 4:8]  # but for half of the first
    scores = result(right._replace(offset=away), truth)
    perfect = {name for name, row in scores.items() if row["pq"] == 1.0}
    assert perfect == {name for name, parts in VARIANTS.items() if "offset" in parts}


def test_one_that_sees_road_alone_needs_true_semantics(truth):
    right = CODEC.encode(truth).as_outputs(2)
    road = torch.zeros_like(right.semantic)
    road[:, ROAD] = 5.0
    scores = result(right._replace(semantic=road), truth)
    perfect = {name for name, row in scores.items() if row["pq"] == 1.0}
    assert perfect == {name for name, parts in VARIANTS.items() if "semantic" in parts}
    # 960 pixels of road are predicted where 832 are true.
    assert scores["as predicted"]["pq_stuff"] == pytest.approx(832 / 960)


def test_an_empty_truth_scores_nothing():
    empty = Segments(torch.zeros(1, 8, 8, dtype=torch.int32), torch.full((1, 1), -1), torch.zeros(1, 1) > 0)
    scores = result(CODEC.encode(empty).as_outputs(2), empty)
    assert all(set(row.values()) == {0.0} for row in scores.values())
