"""Boundary PQ: by hand, beside an erosion for each segment, at the edges, and beside panoptic quality."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from panoptic.data.coco.pairs import PredictionPairs
from panoptic.labels import CITYSCAPES, Category, LabelSpace
from panoptic.metrics import BoundaryPanopticQuality, PanopticQuality
from panoptic.metrics.display import SUMMARY, narrow_remark, summary_columns
from panoptic.metrics.functional import (
    boundary_intersections,
    boundary_panoptic_counts,
    boundary_width,
    intersections,
    panoptic_counts,
    segment_boundaries,
)
from panoptic.metrics.per_image import Evaluation, Settings, score_image
from panoptic.segments import Segments

PQ_KNOWN = Path(__file__).parents[1] / "data" / "pq_known"
LABELS = LabelSpace((Category("car", 1, True, (0, 0, 0)), Category("road", 2, False, (0, 0, 0))))
CAR, ROAD = 0, 1


def make(ids, classes=(), crowd=()) -> Segments:
    return Segments(
        torch.as_tensor(np.atleast_2d(ids), dtype=torch.int32),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor([i + 1 in crowd for i in range(len(classes))], dtype=torch.bool),
    )


def square(side: int, size: int = 40, at: int = 5) -> np.ndarray:
    ids = np.zeros((size, size), np.int32)
    ids[at : at + side, at : at + side] = 1
    return ids


def eroded_boundaries(ids: np.ndarray, width: int) -> np.ndarray:
    """What erosion takes away from each segment, one by one."""
    result = np.zeros(ids.shape, bool)
    for i in np.unique(ids):
        framed = np.pad(ids == i, 1).astype(np.uint8)
        inner = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
        result |= (ids == i) & (inner == 0)
    return result


def random_ids(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    coarse = rng.integers(0, 4, (size[0] // 3 + 1, size[1] // 3 + 1))
    return coarse.repeat(3, 0).repeat(3, 1)[: size[0], : size[1]].astype(np.int32)


@pytest.mark.parametrize("ratio", [0.001, 0.02, 0.05, 0.2, 0.9])
def test_boundaries_are_what_erosion_takes_away(ratio: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        size = tuple(int(s) for s in rng.integers(1, 45, 2))
        batch = np.stack([random_ids(rng, size) for _ in range(3)])
        got = segment_boundaries(torch.from_numpy(batch), ratio).numpy()
        width = boundary_width(size, ratio)
        np.testing.assert_array_equal(got, np.stack([eroded_boundaries(ids, width) for ids in batch]))


@pytest.mark.parametrize(
    ("size", "ratio", "pixels"), [((480, 640), 0.02, 16), ((1024, 2048), 0.005, 11), ((8, 8), 0.02, 1)]
)
def test_the_width_is_a_rounded_share_of_the_diagonal_and_at_least_a_pixel(size, ratio, pixels) -> None:
    assert boundary_width(size, ratio) == pixels


def test_a_pair_has_the_smaller_of_both_ious() -> None:
    # Side 20 within side 24, two pixels around: masks 400 / 576; boundaries 2 wide, which do not meet.
    target, prediction = make(square(24, at=4), [CAR]), make(square(20, at=6), [CAR])
    target = Segments(torch.where(target.ids == 0, 2, 1).int(), torch.tensor([CAR, ROAD]), torch.zeros(2).bool())
    ratio = 2 / math.hypot(40, 40)
    mask = panoptic_counts(prediction, target, 2).total()
    assert (mask.iou_sum[CAR].item(), mask.tp[CAR].item()) == (400 / 576, 1)
    missed = boundary_panoptic_counts(prediction, target, 2, ratio).total()
    assert [values[CAR].item() for values in missed] == [0.0, 0, 1, 1]
    # With boundaries 8 wide: 24² - 8² = 512 and 20² - 4² = 384 pixels, of which 20² - 8² = 336 in common.
    wide = boundary_panoptic_counts(prediction, target, 2, 8 / math.hypot(40, 40)).total()
    assert wide.tp[CAR] == 1
    assert wide.iou_sum[CAR].item() == min(400 / 576, 336 / (512 + 384 - 336))


def test_boundaries_of_the_prediction_on_void_are_left_out_of_the_union() -> None:
    # Four columns of car; the prediction goes on over two of void. Width 1, two rows: all of it is boundary.
    target, prediction = make([[1, 1, 1, 1, 0, 0]] * 2, [CAR]), make([[1, 1, 1, 1, 1, 1]] * 2, [CAR])
    counts = boundary_panoptic_counts(prediction, target, 2, 0.1).total()
    assert [values[CAR].item() for values in counts] == [1.0, 1, 0, 0]


def test_the_split_table_sums_to_the_plain_one() -> None:
    rng = np.random.default_rng(1)
    ids = [torch.from_numpy(np.stack([random_ids(rng, (21, 30)) for _ in range(2)])) for _ in range(2)]
    one, other = (Segments(i, torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3).bool()) for i in ids)
    split, plain = boundary_intersections(one, other, 0.05), intersections(one, other)
    for name in ("true", "predicted", "pixels"):
        assert torch.equal(getattr(split, name), getattr(plain, name))
    assert torch.equal(split.split.sum((1, 2)), plain.pixels)
    found = {}
    for t, p, counts in zip(split.true.tolist(), split.predicted.tolist(), split.split, strict=True):
        found[t // 4, t % 4, p % 4] = counts
        assert t // 4 == p // 4
    edges = [segment_boundaries(segments.ids, 0.05) for segments in (other, one)]
    for image in range(2):
        for t, p in ((0, 0), (1, 2), (3, 3)):
            both = (other.ids[image] == t) & (one.ids[image] == p)
            for on_true, on_predicted in ((0, 0), (0, 1), (1, 0), (1, 1)):
                part = both & (edges[0][image] == on_true) & (edges[1][image] == on_predicted)
                assert found[image, t, p][on_true, on_predicted] == part.sum()


def test_never_above_panoptic_quality_and_equal_where_all_is_boundary() -> None:
    rng = np.random.default_rng(2)
    strict = 0
    for _ in range(30):
        ids = random_ids(rng, (30, 40))
        prediction = make(np.roll(ids, 1, 1), [CAR, ROAD, CAR])
        target = make(ids, [CAR, ROAD, CAR])
        mask = panoptic_counts(prediction, target, 2).total()
        narrow = boundary_panoptic_counts(prediction, target, 2, 0.02).total()
        everything = boundary_panoptic_counts(prediction, target, 2, 0.95).total()
        assert (narrow.iou_sum <= mask.iou_sum).all()
        strict += int((narrow.iou_sum < mask.iou_sum).any())
        assert all(torch.equal(a, b) for a, b in zip(everything, mask, strict=True))
    assert strict > 10


def test_its_keys_are_those_of_panoptic_quality_with_a_prefix() -> None:
    boundary, plain = BoundaryPanopticQuality(LABELS), PanopticQuality(LABELS)
    for metric in (boundary, plain):
        metric.update(make(square(9), [CAR]), make(square(9), [CAR]))
    assert list(boundary.compute()) == [*(f"boundary_{name}" for name in plain.compute()), "boundary_narrow"]
    assert boundary.compute()["boundary_pq"] == 1.0


def test_the_ratio_follows_from_the_label_space_unless_given() -> None:
    assert BoundaryPanopticQuality(LABELS).dilation_ratio == 0.02
    assert BoundaryPanopticQuality(CITYSCAPES).dilation_ratio == 0.005
    recolored = LabelSpace(tuple(Category(c.name, c.id, c.isthing, (1, 2, 3)) for c in CITYSCAPES.categories))
    assert BoundaryPanopticQuality(recolored).dilation_ratio == 0.005
    assert BoundaryPanopticQuality(CITYSCAPES, dilation_ratio=0.1).dilation_ratio == 0.1


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, math.nan])
def test_refuses_a_ratio_out_of_range(ratio: float) -> None:
    with pytest.raises(ValueError, match="dilation_ratio: expected a share of the diagonal"):
        BoundaryPanopticQuality(LABELS, dilation_ratio=ratio)


def test_metrics_with_other_settings_keep_their_counts_apart_in_a_collection() -> None:
    # A perfect first image gives both the same counts, which is how torchmetrics finds metrics that could share them.
    narrow, wide = BoundaryPanopticQuality(LABELS, 0.02), BoundaryPanopticQuality(LABELS, 0.3)
    collection = MetricCollection({"narrow": narrow, "wide": wide})
    target = make(square(20), [CAR])
    collection.update(target, target)
    shifted = make(np.roll(square(20), 2, 1), [CAR])
    full = Segments(torch.where(target.ids == 0, 2, 1).int(), torch.tensor([CAR, ROAD]), torch.zeros(2).bool())
    collection.update(shifted, full)
    assert len(collection.compute_groups) == 2
    assert collection["narrow"].iou_sum[CAR] < collection["wide"].iou_sum[CAR]


def test_the_published_value_of_real_maps() -> None:
    pairs = PredictionPairs(PQ_KNOWN / "coco_gt.json", PQ_KNOWN / "coco_pred.json")
    metric = BoundaryPanopticQuality(pairs.labels)
    for pair in pairs:
        metric.update(pair.prediction, pair.target)
    scores = metric.compute()
    assert scores["boundary_pq"].item() == pytest.approx(0.44510955259805035, abs=1e-12)
    assert scores["boundary_pq_things"].item() == pytest.approx(0.2471926191050795, abs=1e-12)
    assert scores["boundary_pq_stuff"].item() == pytest.approx(0.840943419583992, abs=1e-12)


def test_boundaries_of_a_pixel_are_told_where_most_images_have_them() -> None:
    # 0.02 of the diagonal of 40 x 40 is 1.1 pixels, of 90 x 90 it is 2.5.
    metric, evaluation = BoundaryPanopticQuality(LABELS, 0.02), Evaluation(LABELS, Settings(dilation_ratio=0.02))
    shares, told = [], []
    for size in (90, 40, 40):
        segments = make(square(20, size), [CAR])
        metric.update(Segments.stack([segments]), Segments.stack([segments]))
        evaluation.add(score_image(segments, segments, LABELS, evaluation.settings))
        found = metric.compute()
        assert evaluation.scores()["boundary_narrow"] == found["boundary_narrow"].item()
        assert evaluation.result()["boundary_pq"]["remark"] == narrow_remark(found)
        shares.append(found["boundary_narrow"].item())
        told.append(narrow_remark(found) is not None)
        assert summary_columns(found) == tuple(c for c in SUMMARY if c != "boundary PQ" or not told[-1])
    assert shares == pytest.approx([0, 1 / 2, 2 / 3])
    assert told == [False, False, True]
    assert narrow_remark({"pq": 0.5}) is None
