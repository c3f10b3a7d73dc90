"""Boundary F1: by hand, at the edges, under changes that must not matter, and beside a plain reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

from panoptic.labels import Category, LabelSpace
from panoptic.metrics import BoundaryF1, PanopticQuality
from panoptic.metrics.functional import boundary_f1
from panoptic.segments import Segments

ROAD, CAR, SKY = range(3)


def label_space(num_classes: int) -> LabelSpace:
    names = ["road", "car", "sky"] + [f"other {i}" for i in range(3, num_classes)]
    return LabelSpace(tuple(Category(name, i, name == "car", (0, 0, 0)) for i, name in enumerate(names[:num_classes])))


LABELS = label_space(3)


def make(semantic, crowd: bool = False) -> Segments:
    """One segment per class, from rows of classes written as letters (r, c, s; a dot is void) or from an array."""
    if isinstance(semantic, str):
        semantic = [[".rcs".index(letter) - 1 for letter in row] for row in semantic.split()]
    semantic = torch.as_tensor(np.ascontiguousarray(semantic))
    classes = semantic.unique()
    classes = classes[classes >= 0]
    ids = torch.searchsorted(classes, semantic) + 1
    return Segments(torch.where(semantic >= 0, ids, 0).int(), classes.long(), (classes == CAR) & torch.tensor(crowd))


def scores(prediction, target, tolerance=0.0, num_classes=3) -> list[float]:
    """F1 by class of one image."""
    prediction, target = (make(s) if isinstance(s, str) else s for s in (prediction, target))
    return boundary_f1(prediction, target, num_classes, tolerance)[0].tolist()


def square(top: int, left: int, side: int = 1, size: int = 20) -> Segments:
    """A square car on a road."""
    semantic = np.full((size, size), ROAD)
    semantic[top : top + side, left : left + side] = CAR
    return make(semantic)


def random_map(rng: np.random.Generator, size, num_classes: int, void: float) -> np.ndarray:
    coarse = rng.integers(0, num_classes, (size[0] // 4 + 1, size[1] // 4 + 1))
    semantic = coarse.repeat(4, 0).repeat(4, 1)[: size[0], : size[1]]
    semantic[rng.random(size) < 0.02] = rng.integers(0, num_classes)
    y, x = (int(rng.integers(0, s)) for s in size)
    if rng.random() < void:
        semantic[y : y + 8, x : x + 8] = -1
    return semantic


def reference(prediction: np.ndarray, target: np.ndarray, num_classes: int, tolerance: float) -> list[float]:
    """The definition, one class and one offset of the disk at a time."""
    height, width = target.shape
    radius = math.ceil(tolerance * math.hypot(height, width))
    inside = target >= 0

    def boundary(mask):
        result = np.zeros_like(mask)
        for y in range(height):
            for x in range(width):
                for v, u in ((y, x + 1), (y + 1, x), (y + 1, x + 1)):
                    if v < height and u < width and inside[y, x] and inside[v, u] and mask[y, x] != mask[v, u]:
                        result[y, x] = True
        return result

    def dilate(mask):
        padded, result = np.pad(mask, radius), np.zeros_like(mask)
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                if dy * dy + dx * dx <= radius * radius:
                    result |= padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
        return result

    result = []
    for c in range(num_classes):
        p, t = (prediction == c) & inside, target == c
        if not p.any() and not t.any():
            result.append(math.nan)
            continue
        if not p.any() or not t.any():
            result.append(0.0)
            continue
        bp, bt = boundary(p), boundary(t)
        if not bp.any() or not bt.any():
            result.append(float(not bp.any() and not bt.any()))
            continue
        precision, recall = (bp & dilate(bt)).sum() / bp.sum(), (bt & dilate(bp)).sum() / bt.sum()
        result.append(2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0)
    return result


def test_precision_and_recall_by_hand():
    # Boundary pixels are those west of a change: 3 and 7 in the target, 3 in the prediction, for road and car alike.
    # Precision 1, recall 1/2, so F1 = 2 * 0.5 / 1.5.
    assert scores("rrrrcccccccc", "rrrrccccrrrr") == pytest.approx([2 / 3, 2 / 3, math.nan], rel=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    ("tolerance", "expected"),
    [
        (0.0, 0.0),
        (0.03, 0.0),  # ceil(0.03 * 28.28) = 1
        (0.07, 0.25),  # 2
        (0.10, 1.0),  # 3
    ],
)
def test_the_tolerance_is_a_disk(tolerance, expected):
    # The boundary of one pixel of car at (y, x) is the 2x2 block that ends there. Moved by (2, 2), its pixels are
    # sqrt(2), sqrt(5), sqrt(5) and sqrt(8) from the nearest pixel of the other: one of four within 2, all within 3.
    # A square of radius 2 would reach all four.
    assert scores(square(10, 10), square(8, 8), tolerance) == pytest.approx([expected, expected, math.nan], nan_ok=True)


def test_the_edge_of_the_image_is_no_boundary():
    # Both cars touch the south and the east edge, so only their north and west sides bound them: 9 and 11 pixels. All
    # of the 9 are 1 from one of the 11, of which the corner alone is sqrt(2) away: F1 = 2 * 10/11 / (1 + 10/11).
    prediction, target = square(16, 16, side=4), square(15, 15, side=5)
    for tolerance, expected in ((0.0, 0.0), (0.03, 20 / 21), (0.07, 1.0)):  # 0, 1 and 2 pixels
        assert scores(prediction, target, tolerance)[:2] == pytest.approx([expected] * 2, rel=1e-12)


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        pytest.param("ccrrrrrr", "cc..rrrr", [1.0, 1.0], id="an edge onto target void is none"),
        pytest.param("cccrrrrr", "cc..rrrr", [1.0, 1.0], id="an edge within target void is none"),
        pytest.param("crrrrrrr", "cc..rrrr", [0.0, 0.0], id="an edge beside it is"),
        pytest.param("rrr.rr", "rrrrrr", [0.0], id="predicted void cuts a region"),
        pytest.param("rrrrcc", "rrrr..", [1.0, math.nan], id="a class on target void is not predicted"),
        pytest.param("rrrr..", "rrrr..", [1.0, math.nan], id="a region without a boundary agrees"),
        pytest.param("rrrrrr", "rrrccc", [0.0, 0.0], id="true only"),
        pytest.param("rrrccc", "rrrrrr", [0.0, 0.0], id="predicted only"),
        pytest.param("cccccc", "rrrrrr", [0.0, 0.0], id="each in one only"),
        pytest.param("......", "rrrccc", [0.0, 0.0], id="nothing predicted"),
        pytest.param("rrrccc", "......", [math.nan, math.nan], id="all void"),
        pytest.param("r", "r", [1.0, math.nan], id="one pixel"),
    ],
)
def test_void_and_absent_classes(prediction, target, expected):
    expected = (expected + [math.nan] * 2)[:3]
    for turn in (lambda s: s, lambda s: " ".join(s)):  # a row, then a column
        assert scores(turn(prediction), turn(target)) == pytest.approx(expected, nan_ok=True)


def test_crowd_counts_by_its_class():
    target = make("rrrrccccrrrr", crowd=True)
    assert target.crowd.any()
    assert scores(make("rrrrcccccccc"), target)[:2] == pytest.approx([2 / 3, 2 / 3])


def test_means_over_images_then_classes():
    metric = BoundaryF1(LABELS, tolerance=0.0)
    assert metric.tolerance == 0.0
    # road 1, car 1; road 2/3, car 2/3; road 0, sky 0 (mispredicted); road 1 alone.
    for pair in (("rrcc", "rrcc"), ("rrrrcccccccc", "rrrrccccrrrr"), ("ssss", "rrrr"), ("rr", "rr")):
        metric.update(*(make(s) for s in pair))
    result = {name: value.item() for name, value in metric.compute().items()}
    road, car, sky = (1 + 2 / 3 + 0 + 1) / 4, (1 + 2 / 3) / 2, 0.0
    expected = {"boundary_f1": (road + car + sky) / 3}
    expected |= {"boundary_f1_things": car, "boundary_f1_stuff": (road + sky) / 2}
    expected |= {"boundary_f1/road": road, "boundary_f1/car": car, "boundary_f1/sky": sky}
    assert result == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("table", [make("...."), make("rrcc")])
def test_nothing_true_scores_zero_without_nan(table):
    metric = BoundaryF1(LABELS)
    metric.update(table, make("...."))
    result = metric.compute()
    for group in ("", "_things", "_stuff"):
        assert result.pop(f"boundary_f1{group}") == 0.0
    assert all(value.isnan() for value in result.values())


@pytest.mark.parametrize(
    ("num_classes", "size"), [(3, (23, 31)), (31, (22, 17)), (70, (18, 22)), (4, (6, 33)), (2, (1, 40))]
)
def test_parity_with_a_plain_reference(num_classes, size):
    rng = np.random.default_rng(num_classes)
    targets = [random_map(rng, size, num_classes, void=0.7) for _ in range(5)]
    moves = [(int(rng.integers(-2, 3)), int(rng.integers(-2, 3))) for _ in targets]
    predictions = [np.roll(t, move, (0, 1)) for t, move in zip(targets, moves, strict=True)]
    predictions[0] = random_map(rng, size, num_classes, void=1.0)
    stacked = [Segments.stack([make(m) for m in maps]) for maps in (predictions, targets)]
    seen = set()
    for tolerance in (0.0, 0.03, 0.09, 0.4):
        got = boundary_f1(*stacked, num_classes, tolerance)
        expected = [reference(p, t, num_classes, tolerance) for p, t in zip(predictions, targets, strict=True)]
        torch.testing.assert_close(
            got, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12, equal_nan=True
        )
        seen |= {round(v, 2) for row in expected for v in row if not math.isnan(v)}
    assert len(seen) > 5  # neither all right nor all wrong


def segments_of_random_maps(count: int, size=(20, 26)) -> list[tuple[Segments, Segments]]:
    rng = np.random.default_rng(0)
    targets = [random_map(rng, size, 3, void=0.5) for _ in range(count)]
    return [(make(np.roll(t, (1, i % 3), (0, 1))), make(t)) for i, t in enumerate(targets)]


def summed(metric: BoundaryF1) -> torch.Tensor:
    return torch.stack([metric.score_sum, metric.images.double()])


def test_batches_order_and_ids_do_not_matter():
    pairs = segments_of_random_maps(6)
    one, batched, reordered = (BoundaryF1(LABELS, tolerance=0.04) for _ in range(3))
    for pair in pairs:
        one.update(*pair)
    for part in (pairs[:2], pairs[2:]):
        batched.update(*(Segments.stack([pair[i] for pair in part]) for i in range(2)))
    for pair in reversed(pairs):
        reordered.update(*(Segments(_reverse(s.ids, len(s.classes)), s.classes.flip(0), s.crowd.flip(0)) for s in pair))
    assert 0 < one.compute()["boundary_f1"] < 1
    torch.testing.assert_close(summed(batched), summed(one), rtol=1e-12, atol=0)
    torch.testing.assert_close(summed(reordered), summed(one), rtol=1e-12, atol=0)


def _reverse(ids: torch.Tensor, rows: int) -> torch.Tensor:
    return torch.where(ids > 0, rows + 1 - ids, 0).int()


def test_turning_both_maps_about_the_diagonal_changes_nothing():
    for prediction, target in segments_of_random_maps(4):
        turned = [Segments(s.ids.T.contiguous(), s.classes, s.crowd) for s in (prediction, target)]
        assert scores(*turned, 0.04) == pytest.approx(scores(prediction, target, 0.04), nan_ok=True)


def test_sizes_give_each_image_of_a_padded_batch_its_own_tolerance():
    small, large = (square(10, 10), square(8, 8)), (square(30, 30, 5, size=60), square(28, 28, 5, size=60))
    alone, together, without = (BoundaryF1(LABELS, tolerance=0.07) for _ in range(3))
    alone.update(*small)
    alone.update(*large)
    batch = [Segments.stack([small[i], large[i]]) for i in range(2)]
    together.update(*batch, sizes=[(20, 20), (60, 60)])
    without.update(*batch)
    assert torch.equal(summed(together), summed(alone))
    # Small: 0.25 with its own radius of 2 and 1 with the batch's of 6, which is the large one's own.
    assert alone.score_sum[CAR] == pytest.approx(1.25)
    assert without.score_sum[CAR] == pytest.approx(2.0)


def test_autocast_and_half_precision_change_nothing():
    plain, cast = BoundaryF1(LABELS), BoundaryF1(LABELS).to(torch.bfloat16)
    for pair in segments_of_random_maps(3, size=(60, 70)):
        plain.update(*pair)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast.update(*pair)
    assert cast.score_sum.dtype == torch.float64
    assert torch.equal(summed(cast), summed(plain))


def test_two_ranks_give_the_value_of_one():
    pairs = segments_of_random_maps(5)
    one, other = BoundaryF1(LABELS, tolerance=0.04), BoundaryF1(LABELS, tolerance=0.04)

    def gather(state, group=None):
        return [state, next(getattr(other, name) for name in other._defaults if getattr(metric, name) is state)]

    metric = BoundaryF1(LABELS, tolerance=0.04, dist_sync_fn=gather, distributed_available_fn=lambda: True)
    for i, pair in enumerate(pairs):
        one.update(*pair)
        (metric if i < 2 else other).update(*pair)
    torch.testing.assert_close(metric.compute(), one.compute(), rtol=1e-12, atol=0, equal_nan=True)


def test_in_a_collection_beside_panoptic_quality():
    collection = MetricCollection([PanopticQuality(LABELS), BoundaryF1(LABELS)], prefix="val/")
    collection.update(square(10, 10), square(10, 10), sizes=None)
    result = collection.compute()
    names = ("", "_things", "_stuff", "/road", "/car", "/sky")
    assert {k for k in result if "boundary" in k} == {f"val/boundary_f1{n}" for n in names}
    assert (result["val/boundary_f1"], result["val/pq"]) == (1.0, 1.0)


@pytest.mark.parametrize("tolerance", [-0.1, 1.0])
def test_refuses_a_tolerance_out_of_range(tolerance):
    with pytest.raises(ValueError, match=f"tolerance: .* below 1, got {tolerance}"):
        BoundaryF1(LABELS, tolerance=tolerance)


def test_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="target's size 1x3, got 1x2"):
        BoundaryF1(LABELS).update(make("rr"), make("rrr"))
    with pytest.raises(ValueError, match="sizes: expected none with a single image"):
        BoundaryF1(LABELS).update(make("rr"), make("rr"), sizes=[(1, 2)])


def test_identical_to_dilation_with_a_disk():
    """19 classes at the tolerance of the benchmark's largest images, dilated class by class by scikit-image."""
    morphology = pytest.importorskip("skimage.morphology")
    rng = np.random.default_rng(0)
    coarse = rng.permutation(np.arange(63) % 20 - 1).reshape(7, 9).repeat(48, 0).repeat(48, 1)
    target, prediction = coarse, np.roll(coarse, (20, -21), (0, 1))
    radius = 18
    tolerance = radius / math.hypot(*target.shape) - 1e-9
    inside, footprint = target >= 0, morphology.disk(radius)
    expected = []
    for c in range(19):
        maps = []
        for semantic in (prediction, target):
            mask, contour = semantic == c, np.zeros_like(inside)
            for dy, dx in ((0, 1), (1, 0), (1, 1)):
                here, there = np.s_[: mask.shape[0] - dy, : mask.shape[1] - dx], np.s_[dy:, dx:]
                contour[here] |= (mask[here] != mask[there]) & inside[here] & inside[there]
            maps.append(contour)
        reached = [morphology.dilation(contour, footprint) for contour in maps]
        precision, recall = (maps[0] & reached[1]).sum() / maps[0].sum(), (maps[1] & reached[0]).sum() / maps[1].sum()
        expected.append(2 * precision * recall / (precision + recall))
    assert 0.1 < min(expected) < max(expected) < 0.95
    assert scores(make(prediction), make(target), tolerance, 19) == pytest.approx(expected, rel=1e-12)
