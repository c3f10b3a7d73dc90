"""Standardization by running statistics."""

from __future__ import annotations

import pytest
import torch

from panoptic.models.layers import RunningStandardization


def test_statistics_of_the_first_batches_are_those_of_all_their_rows():
    rows = 3 + 2 * torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    layer = RunningStandardization(5, momentum=0.01)
    for batch in rows.split(4):
        layer(batch)
    torch.testing.assert_close(layer.running_mean, rows.mean(0))
    torch.testing.assert_close(layer.running_var, rows.var(0, correction=0))


def test_later_batches_weigh_by_the_momentum():
    layer = RunningStandardization(1, momentum=0.25)
    for _ in range(6):
        layer(torch.tensor([[1.0], [3.0]]))
    layer(torch.tensor([[6.0], [6.0]]))
    assert layer.running_mean.item() == pytest.approx(0.75 * 2 + 0.25 * 6)
    # The mixture of 0.75 with mean 2 and variance 1, and 0.25 with mean 6 and variance 0.
    assert layer.running_var.item() == pytest.approx(0.75 * (1 + 2**2) + 0.25 * 6**2 - 3.0**2)


@pytest.mark.parametrize("training", [False, True])
def test_rows_are_standardized_by_what_was_before_them(training):
    layer = RunningStandardization(2)
    layer(torch.tensor([[1.0, -4.0], [3.0, 0.0]]))
    layer.train(training)
    before = layer.state_dict()["running_mean"].clone()
    standard = layer(torch.tensor([[4.0, -2.0], [1e6, -1e6]]))
    torch.testing.assert_close(standard, torch.tensor([[2.0, 0.0], [5.0, -5.0]]))
    assert torch.equal(layer.running_mean, before) is not training


def test_one_row_and_half_precision():
    layer = RunningStandardization(2)
    with torch.autocast("cpu", torch.bfloat16):
        first = layer(torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16))
        second = layer(torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16))
    assert first.dtype == second.dtype == torch.float32
    assert second.tolist() == [[0.0, 0.0]]  # no variance, no infinity


@pytest.mark.parametrize("wrong", [float("inf"), float("nan")])
def test_an_overflow_does_not_stay(wrong):
    """A column with a value that is no number keeps its statistics; the others go on."""
    layer = RunningStandardization(2)
    layer(torch.tensor([[0.0, 0.0], [4.0, 4.0]]))
    layer(torch.tensor([[wrong, 8.0], [2.0, 8.0]]))
    assert layer.running_mean.tolist() == [2.0, 5.0]
    assert layer.running_var[0] == 4.0
    torch.testing.assert_close(layer(torch.tensor([[4.0, 5.0]])), torch.tensor([[1.0, 0.0]]))


def test_gradient_reaches_what_is_standardized():
    layer = RunningStandardization(1)
    layer(torch.tensor([[0.0], [4.0]]))
    rows = torch.tensor([[3.0]], requires_grad=True)
    layer(rows).sum().backward()
    assert rows.grad.item() == pytest.approx(0.5)
