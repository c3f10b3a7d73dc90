"""Counts and sums by key, in one place a key and in many."""

from __future__ import annotations

import pytest
import torch

from panoptic.utils import counting
from panoptic.utils.counting import MOST_LANES, PLACES, count_by_key, sum_by_key

KEYS = torch.tensor([[0, 2, 2, 2, 1], [3, 3, 0, 0, 0]], dtype=torch.int32)


@pytest.fixture(params=[1, 2, 8], autouse=True)
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(counting, "_lanes", lambda bins, device: request.param)
    return request.param


def test_counts_and_sums_by_hand() -> None:
    whole, real = torch.tensor([[5, 1, 2, 4, 7]] * 2), torch.tensor([[0.5, 0.25, 1.0, 2.0, 4.0]] * 2)
    counts, sums, shares = sum_by_key(KEYS, 4, None, whole, real)
    assert counts.tolist() == [[1, 1, 3, 0], [3, 0, 0, 2]] == count_by_key(KEYS, 4).tolist()
    assert sums.tolist() == [[5, 7, 7, 0], [13, 0, 0, 6]]
    assert shares.tolist() == [[0.5, 4.0, 3.25, 0.0], [7.0, 0.0, 0.0, 0.75]]
    assert (counts.dtype, sums.dtype, shares.dtype) == (torch.int64, torch.int64, torch.float32)


def test_they_are_those_of_bincount() -> None:
    keys = torch.randint(0, 50, (3, 4001), generator=torch.Generator().manual_seed(0))
    values = torch.arange(3 * 4001).view(3, 4001)
    counts, sums = sum_by_key(keys, 60, None, values)
    for image in range(3):
        assert torch.equal(counts[image], torch.bincount(keys[image], minlength=60))
        assert torch.equal(sums[image], torch.bincount(keys[image], values[image], minlength=60).long())


@pytest.mark.parametrize("shape", [(0, 4), (2, 0)])
def test_nothing_is_counted(shape: tuple[int, int]) -> None:
    assert count_by_key(torch.zeros(shape, dtype=torch.int64), 3).tolist() == [[0, 0, 0]] * shape[0]


def test_keys_share_the_room_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    cpu, other = torch.device("cpu"), torch.device("cuda")
    assert counting._lanes(20, cpu) == 1
    assert counting._lanes(20, other) == MOST_LANES
    assert counting._lanes(PLACES // 100, other) == 64
    assert counting._lanes(2 * PLACES, other) == 1
