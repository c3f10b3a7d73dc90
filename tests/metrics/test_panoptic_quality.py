"""Panoptic quality: by hand, at the edges, under changes that must not matter, and beside the official algorithm."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchmetrics import MetricCollection

from panoptic.labels import Category, LabelSpace
from panoptic.metrics import PanopticQuality
from panoptic.metrics.functional import panoptic_counts
from panoptic.segments import Segments

CAR, PERSON, ROAD, SKY = range(4)
LABELS = LabelSpace(
    tuple(
        Category(name, 10 + i, isthing, (0, 0, 0))
        for i, (name, isthing) in enumerate((("car", True), ("person", True), ("road", False), ("sky", False)))
    )
)
PQ_KNOWN = Path(__file__).parents[1] / "data" / "pq_known"


def make(ids, classes=(), crowd=()) -> Segments:
    """Segments from rows of ids; ``crowd`` names the ids that are one."""
    flags = [i + 1 in crowd for i in range(len(classes))]
    return Segments(
        torch.as_tensor(np.atleast_2d(ids), dtype=torch.int32),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(flags, dtype=torch.bool),
    )


def score(*pairs) -> dict[str, float]:
    metric = PanopticQuality(LABELS)
    for prediction, target in pairs:
        metric.update(prediction, target)
    return {name: value.item() for name, value in metric.compute().items()}


def counted(prediction, target, of=CAR) -> tuple[float, int, int, int]:
    """IoU sum, TP, FP and FN of one class."""
    return tuple(values[of].item() for values in panoptic_counts(prediction, target, len(LABELS)).total())


def random_pair(seed: int, size=(12, 15)) -> tuple[Segments, Segments]:
    """A random target with void, crowd and segments down to one pixel, and a prediction that follows it in part."""
    rng = np.random.default_rng(seed)

    def blocks(ids, count):
        for i in range(1, count + 1):
            h, w = rng.integers(1, (size[0], size[1])) // rng.choice([1, 2, 4]) + 1
            y, x = rng.integers(0, size[0] - h + 1), rng.integers(0, size[1] - w + 1)
            ids[y : y + h, x : x + w] = rng.integers(0, count + 1) if i % 5 == 0 else i
        return ids

    num = int(rng.integers(0, 9))
    target_ids = blocks(np.zeros(size, np.int32), num)
    target_classes = rng.integers(0, len(LABELS), num).tolist()
    crowd = [i + 1 for i, c in enumerate(target_classes) if LABELS.is_thing[c] and rng.random() < 0.35]
    extra = int(rng.integers(0, 5))
    predicted_ids = target_ids.copy()
    shift = tuple(rng.integers(-1, 2, 2))
    predicted_ids = np.roll(predicted_ids, shift, (0, 1))
    for i in range(num + 1, num + extra + 1):
        h, w = rng.integers(1, 6, 2)
        y, x = rng.integers(0, size[0] - h + 1), rng.integers(0, size[1] - w + 1)
        predicted_ids[y : y + h, x : x + w] = i
    predicted_ids[rng.random(size) < rng.choice([0, 0.1, 0.4])] = 0
    predicted_classes = [c if rng.random() < 0.8 else int(rng.integers(0, len(LABELS))) for c in target_classes]
    predicted_classes += rng.integers(0, len(LABELS), extra).tolist()
    return make(predicted_ids, predicted_classes), make(target_ids, target_classes, crowd)


def official(pairs) -> list[list[float]]:
    """The official algorithm as a plain loop: IoU sum, TP, FP, FN of each class."""
    stat = [[0.0, 0, 0, 0] for _ in LABELS.categories]
    for prediction, target in pairs:
        gt, pred = target.ids.numpy(), prediction.ids.numpy()
        gt_ids = [i for i in np.unique(gt).tolist() if i]
        pred_ids = [i for i in np.unique(pred).tolist() if i]
        gt_class = dict(enumerate(target.classes.tolist(), start=1))
        pred_class = dict(enumerate(prediction.classes.tolist(), start=1))
        matched_gt, matched_pred = set(), set()
        for g in gt_ids:
            for p in pred_ids:
                inter = int(((gt == g) & (pred == p)).sum())
                union = int((pred == p).sum()) + int((gt == g).sum()) - inter - int(((gt == 0) & (pred == p)).sum())
                if target.crowd[g - 1] or gt_class[g] != pred_class[p] or inter == 0:
                    continue
                if inter / union > 0.5:
                    stat[gt_class[g]][0] += inter / union
                    stat[gt_class[g]][1] += 1
                    matched_gt.add(g)
                    matched_pred.add(p)
        for g in gt_ids:
            if g not in matched_gt and not target.crowd[g - 1]:
                stat[gt_class[g]][3] += 1
        for p in pred_ids:
            if p in matched_pred:
                continue
            ignored = int(((gt == 0) & (pred == p)).sum())
            for g in gt_ids:
                if target.crowd[g - 1] and gt_class[g] == pred_class[p]:
                    ignored += int(((gt == g) & (pred == p)).sum())
            if ignored / int((pred == p).sum()) > 0.5:
                continue
            stat[pred_class[p]][2] += 1
    return stat


def test_by_hand():
    target = make([[1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 2, 2], [3] * 6, [3] * 6], [CAR, CAR, ROAD])
    prediction = make([[1, 1, 1, 0, 2, 2], [1, 1, 1, 0, 3, 3], [3] * 6, [3] * 6], [CAR, CAR, ROAD])
    # Car 1: 6 / 8 = 0.75, matched. Car 2: 2 / 4 = 0.5, not above: one FP, one FN. Road: 12 / 14, matched.
    # Cars: SQ 0.75 / 1, RQ 1 / (1 + 0.5 + 0.5), PQ 0.375. Road: SQ = PQ = 6/7, RQ 1.
    assert score((prediction, target)) == pytest.approx(
        {
            "pq": (0.375 + 6 / 7) / 2, "sq": (0.75 + 6 / 7) / 2, "rq": (0.5 + 1) / 2,
            "pq_things": 0.375, "sq_things": 0.75, "rq_things": 0.5,
            "pq_stuff": 6 / 7, "sq_stuff": 6 / 7, "rq_stuff": 1,
            "pq/car": 0.375, "pq/person": math.nan, "pq/road": 6 / 7, "pq/sky": math.nan,
            "sq/car": 0.75, "sq/person": math.nan, "sq/road": 6 / 7, "sq/sky": math.nan,
            "rq/car": 0.5, "rq/person": math.nan, "rq/road": 1, "rq/sky": math.nan,
        },
        rel=1e-12, nan_ok=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        pytest.param([1, 1, 1, 1], [1, 1, 1, 1], (1.0, 1, 0, 0), id="equal"),
        pytest.param([1, 1, 0, 0], [1, 1, 1, 1], (0.0, 0, 1, 1), id="an IoU of one half is no match"),
        pytest.param([1, 1, 1, 0, 0], [1, 1, 1, 1, 1], (0.6, 1, 0, 0), id="three fifths are"),
        # I = 3, U = 5 + 4 - 3 - 2 = 4: predicted pixels on void are no part of the union.
        pytest.param([1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 0, 0], (0.75, 1, 0, 0), id="void leaves the union"),
        # I = 2, U = 2 + 4 - 2 = 4: predicted void is still a part of the true segment.
        pytest.param([1, 1, 0, 0], [1, 1, 1, 1], (0.0, 0, 1, 1), id="predicted void stays in the union"),
        pytest.param([0, 0, 0], [1, 1, 0], (0.0, 0, 0, 1), id="missed where void is predicted"),
        pytest.param([1, 1, 1, 1], [0, 0, 2, 2], (0.0, 0, 1, 0), id="half on void is a false positive"),
        pytest.param([1, 1, 1, 1], [0, 0, 0, 2], (0.0, 0, 0, 0), id="more than half on void is not"),
    ],
)
def test_rules_of_matching_and_void(predicted, true, expected):
    assert counted(make(predicted, [CAR]), make(true, [CAR, ROAD])) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("predicted", "true", "classes", "expected"),
    [
        pytest.param([1, 1], [1, 1], [CAR], (0.0, 0, 0, 0), id="crowd never matches and is never missed"),
        pytest.param([0, 0], [1, 1], [CAR], (0.0, 0, 0, 0), id="nor when nothing is predicted"),
        pytest.param([1, 1, 1, 1], [1, 1, 3, 3], [CAR], (0.0, 0, 1, 0), id="half on crowd is a false positive"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 3], [CAR], (0.0, 0, 0, 0), id="more than half is not"),
        pytest.param([1, 1, 1, 1], [0, 1, 1, 3], [CAR], (0.0, 0, 0, 0), id="void and crowd add up"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 1], [PERSON], (0.0, 0, 1, 0), id="crowd of another class does not help"),
        pytest.param([1, 1, 1, 1], [1, 1, 2, 3], [CAR, CAR], (0.0, 0, 0, 0), id="all crowds of the class add up"),
    ],
)
def test_rules_of_crowd(predicted, true, classes, expected):
    classes = [*classes, ROAD, ROAD, ROAD][:3]
    crowd = [i + 1 for i, c in enumerate(classes) if LABELS.is_thing[c]]
    assert counted(make(predicted, [CAR]), make(true, classes, crowd)) == expected


def test_crowd_stays_in_the_union_of_a_true_segment():
    # Car 1 has 3 pixels, the prediction 5, 2 of them on a crowd of cars: 3 / (5 + 3 - 3) = 0.6, as for any neighbor.
    prediction, target = make([1, 1, 1, 1, 1], [CAR]), make([1, 1, 1, 2, 2], [CAR, CAR], crowd=[2])
    assert counted(prediction, target) == pytest.approx((0.6, 1, 0, 0))


def test_another_class_is_missed_and_false():
    prediction, target = make([1, 1], [PERSON]), make([1, 1], [CAR])
    assert counted(prediction, target, CAR) == (0.0, 0, 0, 1)
    assert counted(prediction, target, PERSON) == (0.0, 0, 1, 0)
    assert score((prediction, target))["pq"] == 0.0


def test_rows_without_a_pixel_are_no_segments():
    prediction, target = make([1, 1], [ROAD, CAR, -1]), make([3, 3], [CAR, CAR, ROAD, SKY, -1])
    assert counted(prediction, target, CAR) == (0.0, 0, 0, 0)
    assert counted(prediction, target, ROAD) == (1.0, 1, 0, 0)
    assert counted(prediction, target, SKY) == (0.0, 0, 0, 0)


@pytest.mark.parametrize(
    ("prediction", "target"),
    [
        pytest.param(make([0, 0]), make([0, 0]), id="nothing at all"),
        pytest.param(make([1, 2], [CAR, ROAD]), make([0, 0]), id="all void"),
        pytest.param(make([1, 2], [CAR, CAR]), make([1, 1], [CAR], crowd=[1]), id="all crowd"),
    ],
)
def test_a_mean_over_no_class_is_zero(prediction, target):
    scores = score((prediction, target))
    assert {v for k, v in scores.items() if "/" not in k} == {0.0}
    assert all(math.isnan(v) for k, v in scores.items() if "/" in k)


def test_all_missed_and_all_false_score_zero():
    car = make([1, 1], [CAR])
    for pair in ((make([0, 0]), car), (car, make([1, 1], [SKY]))):
        scores = score(pair)
        assert [scores[f"{s}{g}"] for s in ("pq", "sq", "rq") for g in ("", "_things", "/car")] == [0.0] * 9


def test_a_group_without_classes_is_zero_beside_one_with():
    scores = score((make([1, 1], [ROAD]), make([1, 1], [ROAD])))
    assert (scores["pq"], scores["pq_stuff"], scores["pq_things"]) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("batch", range(4))
def test_parity_with_the_official_algorithm(batch):
    pairs = [random_pair(1000 * batch + i) for i in range(25)]
    prediction, target = Segments.stack([p for p, _ in pairs]), Segments.stack([t for _, t in pairs])
    counts = torch.stack([v.double() for v in panoptic_counts(prediction, target, len(LABELS)).total()], 1)
    expected = torch.tensor(official(pairs), dtype=torch.float64)
    assert expected.min(0).values[1:].min() > 0  # matches, false positives and misses of every class were met
    torch.testing.assert_close(counts[:, 1:], expected[:, 1:], rtol=0, atol=0)
    torch.testing.assert_close(counts, expected, rtol=1e-12, atol=1e-12)


def test_parity_with_the_official_evaluators():
    truth, predicted = (json.loads((PQ_KNOWN / f"coco_{name}.json").read_text()) for name in ("gt", "pred"))
    categories = [c | {"name": c.get("name", str(c["id"]))} for c in truth["categories"]]
    labels = LabelSpace.from_dicts(categories)

    def read(annotation, folder) -> Segments:
        image = np.asarray(Image.open(PQ_KNOWN / folder / annotation["file_name"]).convert("RGB"), dtype=np.int64)
        coded = image @ np.array([1, 256, 65536])
        ids = np.zeros(coded.shape, np.int32)
        for i, info in enumerate(annotation["segments_info"]):
            ids[coded == info["id"]] = i + 1
        classes = [labels.class_of_id[info["category_id"]] for info in annotation["segments_info"]]
        crowd = [i + 1 for i, info in enumerate(annotation["segments_info"]) if info["iscrowd"]]
        return make(ids, classes, crowd)

    metric = PanopticQuality(labels)
    by_image = {a["image_id"]: a for a in predicted["annotations"]}
    for annotation in truth["annotations"]:
        metric.update(read(by_image[annotation["image_id"]], "coco_pred"), read(annotation, "coco_gt"))
    scores = metric.compute()
    known = {
        "": (0.6740486628641355, 0.6834387673557568, 0.8205128205128206),
        "_things": (0.5769675073143916, 0.5910526640518237, 0.7307692307692308),
        "_stuff": (0.868210973963623, 0.868210973963623, 1.0),
    }
    for group, values in known.items():
        assert [scores[f"{s}{group}"].item() for s in ("pq", "sq", "rq")] == pytest.approx(values, abs=1e-9), group


def renumbered(segments: Segments, seed: int) -> Segments:
    order = torch.randperm(len(segments.classes), generator=torch.Generator().manual_seed(seed))
    place = torch.cat([torch.zeros(1, dtype=torch.int64), order.argsort() + 1])
    return Segments(place[segments.ids.long()].int(), segments.classes[order], segments.crowd[order])


def flipped(segments: Segments, *dims: int) -> Segments:
    return Segments(segments.ids.flip(dims), segments.classes, segments.crowd)


@pytest.mark.parametrize("seed", range(10))
def test_numbers_and_flips_do_not_matter(seed):
    prediction, target = random_pair(seed)
    expected = counted_all([(prediction, target)])
    for other in (
        (renumbered(prediction, seed), renumbered(target, seed + 1)),
        (flipped(prediction, 0), flipped(target, 0)),
        (flipped(prediction, 0, 1), flipped(target, 0, 1)),
    ):
        torch.testing.assert_close(counted_all([other]), expected, rtol=1e-12, atol=0)


def counted_all(pairs) -> torch.Tensor:
    metric = PanopticQuality(LABELS)
    for pair in pairs:
        metric.update(*pair)
    return torch.stack([metric.iou_sum, metric.tp.double(), metric.fp.double(), metric.fn.double()])


def test_batches_order_and_padding_do_not_matter():
    pairs = [random_pair(i, size=(6 + i % 4, 9 + i % 3)) for i in range(12)]

    def batches(size, pairs):
        return [tuple(Segments.stack(s) for s in zip(*pairs[i : i + size])) for i in range(0, 12, size)]  # noqa: B905

    expected = counted_all(pairs)
    assert expected[1:].sum() > 50
    for size in (1, 5, 12):
        torch.testing.assert_close(counted_all(batches(size, pairs)), expected, rtol=1e-12, atol=0)
    shuffled = random.Random(0).sample(pairs, len(pairs))
    torch.testing.assert_close(counted_all(batches(3, shuffled)), expected, rtol=1e-12, atol=0)


def test_autocast_and_half_precision_change_nothing():
    pairs = [random_pair(i, size=(60, 70)) for i in range(4)]  # areas beyond what bfloat16 counts exactly
    plain, cast = PanopticQuality(LABELS), PanopticQuality(LABELS).to(torch.bfloat16)
    for pair in pairs:
        plain.update(*pair)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast.update(*pair)
    assert cast.iou_sum.dtype == torch.float64
    for name in ("iou_sum", "tp", "fp", "fn"):
        assert torch.equal(getattr(plain, name), getattr(cast, name)), name
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cast.compute()["pq"] == plain.compute()["pq"]


def test_two_ranks_give_the_value_of_one():
    pairs = [random_pair(i) for i in range(7)]
    other = PanopticQuality(LABELS)
    for pair in pairs[3:]:
        other.update(*pair)

    def gather(state, group=None):
        name = next(name for name in ("iou_sum", "tp", "fp", "fn") if getattr(metric, name) is state)
        return [state, getattr(other, name)]

    metric = PanopticQuality(LABELS, dist_sync_fn=gather, distributed_available_fn=lambda: True)
    for pair in pairs[:3]:
        metric.update(*pair)
    together = {name: value.item() for name, value in metric.compute().items()}
    assert together == pytest.approx(score(*pairs), rel=1e-12, nan_ok=True)


def test_in_a_collection_the_keys_are_flat_and_stable():
    collection = MetricCollection([PanopticQuality(LABELS)], prefix="val/")
    groups = ["", "_things", "_stuff", "/car", "/person", "/road", "/sky"]
    keys = {f"val/{s}{g}" for s in ("pq", "sq", "rq") for g in groups}
    pair = random_pair(3)
    collection.update(*pair)
    scores = collection.compute()
    assert set(scores) == keys
    assert {k.removeprefix("val/"): v.item() for k, v in scores.items()} == pytest.approx(score(pair), nan_ok=True)
    collection.reset()
    with pytest.warns(UserWarning, match="compute"):
        scores = collection.compute()
    assert set(scores) == keys
    assert scores["val/pq"] == 0.0


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (make([[1, 1]], [CAR]), make([[1], [1]], [CAR]), "target's size 2x1, got 1x2"),
        (Segments.stack([make([1], [CAR])]), make([1], [CAR]), "target's size 1x1, got 1x1x1"),
        (make([1, 2], [CAR]), make([1, 1], [CAR]), r"prediction: expected ids in 0\.\.1 .* got 1\.\.2"),
        (make([1, 1], [CAR]), make([1, 1], [4]), "target: expected classes below 4, got 4"),
    ],
)
def test_refuses_what_cannot_be_compared(prediction, target, message):
    with pytest.raises(ValueError, match=message):
        PanopticQuality(LABELS).update(prediction, target)
