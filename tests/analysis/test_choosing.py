"""Choosing weights from hand-made counts, where the right choice and what it gains are known."""

from __future__ import annotations

import math

import pytest
import torch

from panoptic.analysis.choosing import (
    choose,
    choose_each,
    gain,
    points,
    quality,
    quartiles_of,
    resample,
    take,
    total,
    two_folds,
)
from panoptic.metrics.functional import PanopticCounts


def found(matched: list[list[int]]) -> PanopticCounts:
    """Counts of one class by weighting and image: 1 for a segment that is matched whole, 0 for one that is missed.

    None for an image without the class.
    """
    tp = torch.tensor([[[value or 0] for value in row] for row in matched])
    fn = torch.tensor([[[int(value == 0)] for value in row] for row in matched])
    return PanopticCounts(tp.double(), tp, torch.zeros_like(tp), fn)


def test_pq_of_a_set_by_hand():
    """Class 0: IoU 0.8 + 0.6 over two matches and one miss, 1.4 / 2.5. Class 1 in no image. Class 2: one false hit."""
    counts = PanopticCounts(
        torch.tensor([[0.8, 0, 0], [0.6, 0, 0], [0, 0, 0]], dtype=torch.float64),
        torch.tensor([[1, 0, 0], [1, 0, 0], [0, 0, 0]]),
        torch.tensor([[0, 0, 0], [0, 0, 0], [0, 0, 1]]),
        torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 0]]),
    )
    assert points(total(counts)).item() == pytest.approx(100 * (1.4 / 2.5 + 0) / 2)
    assert points(total(counts, torch.tensor([True, True, False]))).item() == pytest.approx(56.0)
    assert quality(counts).tolist() == pytest.approx([0.8, 0.6 / 1.5, 0.0])
    nothing = total(counts, torch.tensor([False] * 3))
    assert math.isnan(quality(nothing).item())
    assert points(nothing).item() == 0.0


MATCHED = [
    [0, 0, 1, 1, 1, 0],  # weighting 0 is right for the third to the fifth image
    [1, 1, 0, 0, 1, 1],  # 1 for all but the third and the fourth: the best fixed one
    [0, 0, 0, 1, 0, 0],
]


def test_the_best_of_all_of_each_group_and_of_each_image():
    counts = found(MATCHED)
    assert choose(counts, torch.zeros(6, dtype=torch.int64)).tolist() == [1] * 6
    groups = torch.tensor([0, 0, 3, 3, 0, 0])
    assert choose(counts, groups).tolist() == [1, 1, 0, 0, 1, 1]
    assert choose_each(counts, torch.tensor([1] * 6)).tolist() == [1, 1, 0, 0, 1, 1]
    # The fourth and the fifth image have two best ones: the default where it is one, else the first.
    assert choose_each(counts, torch.tensor([2] * 6)).tolist() == [1, 1, 0, 2, 0, 1]
    chosen = take(counts, choose(counts, groups))
    assert points(total(chosen)).item() == 100.0
    assert chosen.tp.flatten().tolist() == [1] * 6


def test_ties_of_a_group_go_to_the_best_of_all():
    counts = found([[1, 0, 0, 0], [1, 1, 0, 1]])
    assert choose(counts, torch.tensor([0, 1, 1, 2])).tolist() == [1, 1, 1, 1]


def test_nothing_there_and_nothing_found_is_best():
    counts = found([[None, 1], [None, 1]])
    counts = counts._replace(fp=torch.tensor([[[1], [0]], [[0], [0]]]))  # by the first weighting, in the first image
    assert choose_each(counts, torch.tensor([0, 0])).tolist() == [1, 0]


def test_two_folds_choose_on_the_other_half():
    counts, folds = found(MATCHED), torch.tensor([0, 1, 0, 1, 0, 1])
    # On the second, fourth and sixth image weighting 1 has two of three; on the first, third and fifth two, as has 0,
    # and the first of ties is taken.
    assert choose(counts, torch.zeros(6, dtype=torch.int64), folds).tolist() == [1, 0, 1, 0, 1, 0]
    # The third image is served by the fourth, where 0 and 2 are best and 1, the fixed one, is not; of the first and the
    # fifth alone 1 is best; the last is alone in its group, and takes the fixed one of the other half.
    groups = torch.tensor([0, 0, 1, 1, 0, 2])
    assert choose(counts, groups, folds).tolist() == [1, 1, 0, 0, 1, 0]


def test_noise_gains_on_the_same_images_and_not_on_the_other_half():
    """Weightings that are all right half of the time, at random: each image has one that suits it, and no group has."""
    generator = torch.Generator().manual_seed(0)
    tp = torch.randint(0, 2, (16, 4000, 1), generator=generator)
    counts = PanopticCounts(tp.double(), tp, torch.zeros_like(tp), 1 - tp)
    groups, folds = torch.arange(4000) % 4, two_folds(4000)
    fixed = choose(counts, torch.zeros_like(groups), folds)
    resampled = resample(4000, 200)

    def gained(chosen: torch.Tensor) -> tuple[float, float, float]:
        return gain(take(counts, chosen), take(counts, fixed), resampled)

    each, same, other = (
        gained(choose_each(counts, fixed)),
        gained(choose(counts, groups)),
        gained(choose(counts, groups, folds)),
    )
    assert each.value > 30
    assert same.low > 0
    assert other.low < 0


def test_folds_are_halves_and_always_the_same():
    for images in (2, 7, 100):
        folds = two_folds(images)
        assert sorted(folds.bincount().tolist()) == [images // 2, images - images // 2]
        assert torch.equal(folds, two_folds(images))
    assert two_folds(100)[:50].float().mean().item() == pytest.approx(0.5, abs=0.2)  # no first and second half


def test_quartiles_and_a_group_without_a_value():
    values = torch.tensor([1.0, 2, math.nan, 3, 4, 5, 6, 7, 8], dtype=torch.float64)
    assert quartiles_of(values).tolist() == [0, 0, 4, 1, 1, 2, 2, 3, 3]
    assert quartiles_of(torch.full((2,), math.nan, dtype=torch.float64)).tolist() == [4, 4]


def test_bootstrap_by_hand_and_the_same_again():
    """One of two images is gained: PQ 0, 1 / 1.5 or 1, in 1, 2 and 1 of 4 samples of two images."""
    before, after = (take(found([row]), torch.tensor([0, 0])) for row in ([0, 0], [1, 0]))
    resampled = resample(2)
    assert resampled.sum(1).unique().tolist() == [2]
    assert (resampled[:, 0] == 1).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert gain(after, before, resampled) == pytest.approx((100 / 1.5, 0.0, 100.0))
    assert gain(after, after, resampled) == (0.0, 0.0, 0.0)
    assert torch.equal(resampled, resample(2))
    # A hundred images, of which half are gained: 50 ± 1.96 x 5 matches, and k give 2k / (100 + k).
    before, after = (take(found([row]), torch.zeros(100, dtype=torch.int64)) for row in ([0] * 100, [0, 1] * 50))
    assert gain(after, before, resample(100)) == pytest.approx((66.7, 57.3, 74.8), abs=1.0)
