"""What went wrong: each kind by hand, at its thresholds, and in sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from panoptic.labels import Category, LabelSpace
from panoptic.metrics.functional import FALSE_KINDS, MISSED_KINDS, error_counts, panoptic_counts, segment_errors
from panoptic.metrics.per_image import Evaluation, Settings, image_row, score_image
from panoptic.segments import Segments

CAR, PERSON, ROAD = range(3)
LABELS = LabelSpace(
    tuple(
        Category(name, i + 1, isthing, (0, 0, 0))
        for i, (name, isthing) in enumerate((("car", True), ("person", True), ("road", False)))
    )
)


def line(*runs: tuple[int, int], classes=(), crowd=()) -> Segments:
    """Segments in a row of pixels, from runs of an id and a length; ``crowd`` names the ids that are one."""
    ids = [i for i, length in runs for _ in range(length)]
    flags = torch.tensor([i + 1 in crowd for i in range(len(classes))], dtype=torch.bool)
    return Segments(torch.tensor([ids], dtype=torch.int32), torch.tensor(classes, dtype=torch.int64), flags)


def kinds(prediction: Segments, target: Segments) -> tuple[dict, dict]:
    """False negatives and false positives by class and kind, without zeros."""
    counts = error_counts(prediction, target, len(LABELS)).total()
    return tuple(
        {(c, names[k]): n for c, row in enumerate(table.tolist()) for k, n in enumerate(row) if n}
        for names, table in zip((MISSED_KINDS, FALSE_KINDS), counts, strict=True)
    )


CASES = {
    "nothing wrong": (line((1, 6), (0, 4), classes=[CAR]), line((1, 10), classes=[CAR]), {}, {}),
    "wrong class above one half": (
        line((1, 6), (0, 4), classes=[PERSON]),
        line((1, 10), classes=[CAR]),
        {(CAR, "wrong_class"): 1},
        {(PERSON, "wrong_class"): 1},
    ),
    "another class at one half": (
        line((1, 5), (0, 5), classes=[PERSON]),
        line((1, 10), classes=[CAR]),
        {(CAR, "missed"): 1},
        {(PERSON, "false"): 1},
    ),
    "a wrong class with a piece of the right one": (
        line((1, 6), (2, 4), classes=[PERSON, CAR]),
        line((1, 10), classes=[CAR]),
        {(CAR, "wrong_class"): 1},
        {(PERSON, "wrong_class"): 1, (CAR, "poor_shape"): 1},
    ),
    "two merged": (
        line((1, 20), classes=[CAR]),
        line((1, 10), (2, 10), classes=[CAR, CAR]),
        {(CAR, "merged"): 2},
        {(CAR, "merged"): 1},
    ),
    "a small one merged into one that is found": (
        line((1, 12), classes=[CAR]),
        line((1, 9), (2, 3), classes=[CAR, CAR]),
        {(CAR, "merged"): 1},
        {},
    ),
    "covered to one half is not merged": (  # the first as a whole, half of the second; IoU is 4 of 12 and 8 of 20
        line((1, 12), (0, 8), classes=[CAR]),
        line((1, 4), (2, 16), classes=[CAR, CAR]),
        {(CAR, "poor_shape"): 2},
        {(CAR, "poor_shape"): 1},
    ),
    "two of different classes are not merged": (
        line((1, 20), classes=[CAR]),
        line((1, 10), (2, 10), classes=[CAR, PERSON]),
        {(CAR, "poor_shape"): 1, (PERSON, "missed"): 1},
        {(CAR, "poor_shape"): 1},
    ),
    "split in two": (
        line((1, 5), (2, 5), classes=[CAR, CAR]),
        line((1, 10), classes=[CAR]),
        {(CAR, "split"): 1},
        {(CAR, "split"): 2},
    ),
    "a piece beside one that is found": (
        line((1, 9), (2, 1), classes=[CAR, CAR]),
        line((1, 10), classes=[CAR]),
        {},
        {(CAR, "split"): 1},
    ),
    "a piece of less than a tenth": (  # 8 of 20, and 1 of 20: one piece is left, and it does not make another one
        line((1, 8), (2, 1), (0, 11), classes=[CAR, CAR]),
        line((1, 20), classes=[CAR]),
        {(CAR, "poor_shape"): 1},
        {(CAR, "poor_shape"): 1, (CAR, "split"): 1},
    ),
    "two halves that lie elsewhere are no pieces": (  # half of each prediction is on the road
        line((1, 8), (2, 8), classes=[CAR, CAR]),
        line((1, 4), (2, 8), (1, 4), classes=[ROAD, CAR]),
        {(CAR, "poor_shape"): 1, (ROAD, "missed"): 1},
        {(CAR, "poor_shape"): 2},
    ),
    "the lower end of poor shape": (
        line((1, 1), (0, 9), classes=[CAR]),
        line((1, 10), classes=[CAR]),
        {(CAR, "poor_shape"): 1},
        {(CAR, "poor_shape"): 1},
    ),
    "the upper end of poor shape": (
        line((1, 5), (0, 5), classes=[CAR]),
        line((1, 10), classes=[CAR]),
        {(CAR, "poor_shape"): 1},
        {(CAR, "poor_shape"): 1},
    ),
    "below poor shape": (
        line((1, 1), (0, 10), classes=[CAR]),
        line((1, 11), classes=[CAR]),
        {(CAR, "missed"): 1},
        {(CAR, "false"): 1},
    ),
    "nothing predicted": (line((0, 5)), line((1, 5), classes=[CAR]), {(CAR, "missed"): 1}, {}),
    "nothing true": (
        line((1, 5), (0, 5), classes=[CAR]),
        line((0, 2), (1, 8), classes=[ROAD]),
        {(ROAD, "missed"): 1},
        {(CAR, "false"): 1},
    ),
    "void is left out of overlaps": (  # 6 of 10 without the void
        line((1, 12), (0, 4), classes=[PERSON]),
        line((0, 6), (1, 10), classes=[CAR]),
        {(CAR, "wrong_class"): 1},
        {(PERSON, "wrong_class"): 1},
    ),
    "a prediction that does not count is no error, but what it missed is": (
        line((1, 20), classes=[PERSON]),
        line((0, 11), (1, 9), classes=[CAR]),
        {(CAR, "wrong_class"): 1},
        {},
    ),
    "crowd is neither missed, merged, split nor of another class": (
        line((1, 10), (2, 6), (3, 4), classes=[CAR, PERSON, PERSON]),
        line((1, 5), (2, 5), (3, 10), classes=[CAR, CAR, CAR], crowd=[2, 3]),
        {(CAR, "poor_shape"): 1},
        {(CAR, "poor_shape"): 1, (PERSON, "false"): 2},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_kinds_by_hand(case: str) -> None:
    prediction, target, missed, false = CASES[case]
    assert kinds(prediction, target) == (missed, false)


def random_pair(seed: int) -> tuple[Segments, Segments]:
    """A target with void and crowd, and a prediction that is moved, and split or merged in places."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 9, (4, 5)).repeat(4, 0).repeat(4, 1)
    classes = rng.integers(0, 3, 8)
    guess = np.roll(ids, int(rng.integers(0, 3)), 1)
    guess[:, ::2] = np.where(rng.random((16, 10)) < 0.2, guess[:, ::2] % 4, guess[:, ::2])
    guess[guess == 8] = rng.integers(0, 9)
    own = np.where(rng.random(8) < 0.7, classes, rng.integers(0, 3, 8))
    crowd = torch.from_numpy((rng.random(8) < 0.2) & (classes < 2))
    target = Segments(torch.from_numpy(ids.astype(np.int32)), torch.from_numpy(classes), crowd)
    return Segments(torch.from_numpy(guess.astype(np.int32)), torch.from_numpy(own), torch.zeros(8).bool()), target


def test_kinds_add_up_to_the_errors_of_panoptic_quality_for_a_batch_too() -> None:
    pairs = [random_pair(seed) for seed in range(40)]
    prediction, target = (Segments.stack(list(side)) for side in zip(*pairs, strict=True))
    counts, errors = panoptic_counts(prediction, target, 3), error_counts(prediction, target, 3)
    assert torch.equal(errors.fn.sum(-1), counts.fn)
    assert torch.equal(errors.fp.sum(-1), counts.fp)
    assert (errors.fn.sum((0, 1)) > 0).all()
    assert (errors.fp.sum((0, 1)) > 0).all()
    for i, pair in enumerate(pairs):
        alone = error_counts(*pair, 3)
        assert torch.equal(alone.fn[0], errors.fn[i])
        assert torch.equal(alone.fp[0], errors.fp[i])


@pytest.mark.parametrize("case", ["two merged", "split in two", "two halves that lie elsewhere are no pieces"])
def test_kinds_do_not_depend_on_the_order_of_ids(case: str) -> None:
    def turned(segments: Segments) -> Segments:
        n = len(segments.classes)
        ids = torch.where(segments.ids > 0, n + 1 - segments.ids, 0)
        return Segments(ids, segments.classes.flip(0), segments.crowd.flip(0))

    prediction, target, missed, false = CASES[case]
    assert kinds(turned(prediction), turned(target)) == (missed, false)


def test_counts_of_images_add_up_in_the_result_and_stand_in_rows() -> None:
    evaluation = Evaluation(LABELS, Settings(boundaries=False))
    for case in ("two merged", "split in two", "nothing wrong"):
        scores = score_image(*CASES[case][:2], LABELS, evaluation.settings)
        evaluation.add(scores)
        row = image_row(scores, LABELS)
        assert sum(row[f"fn_{kind}"] for kind in MISSED_KINDS) == row["fn/car"]
        assert sum(row[f"fp_{kind}"] for kind in FALSE_KINDS) == row["fp/car"]
        assert (row["fn_merged"], row["fp_merged"]) == ((2, 1) if case == "two merged" else (0, 0))
    errors = evaluation.result()["errors"]
    none = {"fn": dict.fromkeys(MISSED_KINDS, 0), "fp": dict.fromkeys(FALSE_KINDS, 0)}
    car = {"fn": none["fn"] | {"merged": 2, "split": 1}, "fp": none["fp"] | {"merged": 1, "split": 2}}
    assert errors == {"all": car, "things": car, "stuff": none, "per_class": {"car": car}}


def test_the_kind_of_each_segment() -> None:
    # Two cars in one, a person as a car, a car that is found, and road that nothing is like.
    prediction = line((1, 20), (2, 10), (3, 10), (0, 10), classes=[CAR, CAR, CAR])
    target = line((1, 10), (2, 10), (3, 10), (4, 10), (5, 10), classes=[CAR, CAR, PERSON, CAR, ROAD])
    missed, false = (table[0].tolist() for table in segment_errors(prediction, target))
    assert [MISSED_KINDS[k] if k >= 0 else "" for k in missed] == ["merged", "merged", "wrong_class", "", "missed"]
    assert [FALSE_KINDS[k] if k >= 0 else "" for k in false] == ["merged", "wrong_class", ""]
