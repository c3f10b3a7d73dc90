"""Sums that are the same whatever the order of their terms."""

from __future__ import annotations

import math
from fractions import Fraction

import torch

from panoptic.metrics.functional import exact_sum_by_class, sum_by_class, sum_of_images


def test_counts_by_class_leave_padding_out() -> None:
    values, classes = torch.tensor([[3, 4, 5, 9], [1, 1, 1, 1]]), torch.tensor([[0, 2, 0, -1], [1, 1, -1, 2]])
    assert sum_by_class(values, classes, 3).tolist() == [[8, 0, 4], [0, 2, 1]]
    assert sum_by_class(values > 3, classes, 3).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert sum_by_class(values[:, :0], classes[:, :0], 3).tolist() == [[0, 0, 0]] * 2


def test_a_sum_of_ious_is_rounded_once_and_the_same_in_any_order() -> None:
    generator = torch.Generator().manual_seed(0)
    union = torch.randint(3, 500_000, (2000,), generator=generator)
    overlap = (union.double() * (0.5 + 0.5 * torch.rand(2000, generator=generator).double())).ceil()
    ious = torch.where(torch.rand(2000, generator=generator) < 0.9, overlap / union, 0.0)
    classes = torch.zeros(2000, dtype=torch.int64)
    exact = float(sum(map(Fraction, ious.tolist())))
    sums = set()
    for _ in range(5):
        order = torch.randperm(2000, generator=generator)
        sums.add(exact_sum_by_class(ious[order][None], classes[None], 1).item())
    assert sums == {exact} == {math.fsum(ious.tolist())}
    plain = {ious[torch.randperm(2000, generator=generator)].cumsum(0)[-1].item() for _ in range(5)}
    assert len(plain) > 1  # which is what this is for


def test_images_are_summed_in_their_order() -> None:
    values = torch.tensor([[1.0], [1e-16], [1e-16]], dtype=torch.float64)
    assert sum_of_images(values).item() == 1.0
    assert sum_of_images(values.flip(0)).item() == 1.0 + 2e-16
    assert sum_of_images(values[:0]).tolist() == [0.0]
