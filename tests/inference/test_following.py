"""Identities over frames, by hand."""

from __future__ import annotations

import numpy as np
import torch

from panoptic.inference.following import Follower
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

ROAD, CAR, PERSON = range(3)
LABELS = LabelSpace(tuple(Category(name, i, i > 0, (9 * i, 0, 0)) for i, name in enumerate(("road", "car", "person"))))


def frame(*things: tuple[int, int, int], size: tuple[int, int] = (10, 60), road: bool = True) -> Segments:
    """Things as (class, first column, end) over all rows, in the order given, on road."""
    ids = torch.full(size, len(things) + 1 if road else 0, dtype=torch.int32)
    for row, (_, start, end) in enumerate(things):
        ids[:, start:end] = row + 1
    classes = [c for c, _, _ in things] + ([ROAD] if road else [])
    return Segments(ids, torch.tensor(classes, dtype=torch.int64), torch.zeros(len(classes), dtype=torch.bool))


def test_things_keep_their_numbers_as_they_move() -> None:
    follower = Follower(LABELS)
    assert follower.follow(frame((CAR, 0, 10), (CAR, 20, 30))).tolist() == [4, 5, 1]
    # In another order, each moved by 4 of 10 columns: IoU 6 / 14.
    assert follower.follow(frame((CAR, 24, 34), (CAR, 4, 14))).tolist() == [5, 4, 1]
    # One is gone, and one is new.
    assert follower.follow(frame((CAR, 4, 14), (CAR, 50, 60))).tolist() == [4, 6, 1]
    # What was gone for a frame is new.
    assert follower.follow(frame((CAR, 24, 34), (CAR, 4, 14))).tolist() == [7, 4, 1]


def test_too_little_overlap_is_none() -> None:
    for shift, expected in ((6, 4), (7, 5)):  # IoU 4 / 16 and 3 / 17
        follower = Follower(LABELS)
        follower.follow(frame((CAR, 0, 10)))
        assert follower.follow(frame((CAR, shift, 10 + shift)))[0] == expected


def test_classes_are_not_mixed_up_and_stuff_has_fixed_numbers() -> None:
    follower = Follower(LABELS)
    assert follower.follow(frame((CAR, 0, 10))).tolist() == [4, 1]
    assert follower.follow(frame((PERSON, 0, 10))).tolist() == [5, 1]
    assert follower.follow(frame((PERSON, 0, 10), road=False)).tolist() == [5]
    assert follower.follow(frame()).tolist() == [1]
    assert follower.follow(frame((PERSON, 0, 10))).tolist() == [6, 1]


def test_the_sum_of_overlaps_decides() -> None:
    follower = Follower(LABELS)
    follower.follow(frame((CAR, 0, 12), (CAR, 12, 20)))
    # The first new thing overlaps both: with 0..12 by 8 / 16, with 12..20 by 4 / 16; the second overlaps 12..20 alone.
    assert follower.follow(frame((CAR, 4, 16), (CAR, 16, 24))).tolist()[:2] == [4, 5]


def test_nothing_is_followed_across_sizes() -> None:
    follower = Follower(LABELS)
    follower.follow(frame((CAR, 0, 10)))
    assert follower.follow(frame((CAR, 0, 10), size=(12, 60)))[0] == 5
    assert np.issubdtype(follower.follow(frame((CAR, 0, 10), size=(12, 60))).dtype, np.integer)
