"""The losses of complexity by hand, at the edges, and against the divergences that torch has."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, Poisson, kl_divergence

from panoptic.losses.functional import (
    LEAST_VARIANCE,
    cell_loss,
    complexity_loss,
)


class TestComplexity:
    def test_by_hand(self):
        # Smooth absolute error: x² / 2 below 1, |x| - 1/2 above. Image: 0.125 and 1.5 on the mean; places: 0.5 and 0.
        image, image_target = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.5, 4.0]])
        places, places_target = torch.tensor([[[[3.0]], [[0.0]]]]), torch.tensor([[[[2.0]], [[0.0]]]])
        cells = torch.tensor([[[[1.0]], [[0.0]], [[1.0]]]])
        loss = complexity_loss(image, image_target, places, places_target, cells, cells)
        assert loss.item() == pytest.approx((0.125 + 1.5) / 2 + 0.25)
        wrong = cells.clone()
        wrong[:, 0] = 2.0
        loss = complexity_loss(image, image, places, places, wrong, cells)
        assert loss.item() == pytest.approx(2 - 1 - math.log(2))

    def test_right_is_nothing(self):
        image, places, cells = torch.rand(2, 2), torch.rand(2, 2, 3, 4), torch.rand(2, 3, 3, 4)
        assert complexity_loss(image, image, places, places, cells, cells) == 0


class TestCells:
    @staticmethod
    def cells(*values: tuple[float, float, float]) -> torch.Tensor:
        """One image, of cells in a row, each with number, mean and variance."""
        return torch.tensor(values).T[None, :, None]

    def test_by_hand(self):
        # Three things: the first cell has one where two are expected, of log area 1 where 0 is said with variance
        # 0.45; the second has two, and just so; the third has none where 0.5 are expected, whatever their areas.
        said = self.cells((2.0, 0.0, 0.45), (2.0, 3.0, 0.7), (0.5, 9.0, 9.0))
        true = self.cells((1.0, 1.0, 0.0), (2.0, 3.0, 0.7), (0.0, 0.0, 0.0))
        number = (2 - 1 - math.log(2)) + 0.5
        area = ((0.05 + 1.0) / 0.5 - 1 + math.log(0.5 / 0.05)) / 2
        assert cell_loss(said, true).item() == pytest.approx((number + area) / 3)

    def test_is_the_divergence_of_the_distributions_that_torch_has(self):
        generator = torch.Generator().manual_seed(0)
        said, true = (torch.rand(2, 3, 3, 4, generator=generator) * 4 for _ in range(2))
        true[:, 0] = true[:, 0].round().clamp(min=1)
        number = kl_divergence(Poisson(true[:, 0]), Poisson(said[:, 0]))
        scales = [(values[:, 2] + LEAST_VARIANCE).sqrt() for values in (true, said)]
        area = kl_divergence(Normal(true[:, 1], scales[0]), Normal(said[:, 1], scales[1]))
        expected = (number + true[:, 0] * area).sum() / true[:, 0].sum()
        torch.testing.assert_close(cell_loss(said, true), expected)

    def test_differs_by_a_constant_from_the_likelihood_of_the_things_themselves(self):
        """Of a cell with things of log areas 1, 2 and 4, whatever is said of it."""
        areas = torch.tensor([1.0, 2.0, 4.0])
        true = self.cells((3.0, areas.mean().item(), areas.var(correction=0).item()))
        differences = []
        for number, mean, variance in ((3.0, 2.0, 1.0), (1.0, 2.5, 2.0), (6.0, 0.0, 0.3)):
            likelihood = Poisson(torch.tensor(number)).log_prob(torch.tensor(3.0))
            # Smoothing both with a variance is smoothing the things: each is a normal distribution of its own.
            scale = torch.tensor(variance + LEAST_VARIANCE).sqrt()
            likelihood += (Normal(mean, scale).log_prob(areas) - LEAST_VARIANCE / (2 * scale**2)).sum()
            differences.append((3 * cell_loss(self.cells((number, mean, variance)), true) + likelihood).item())
        assert differences == pytest.approx([differences[0]] * 3, abs=1e-5)

    def test_never_negative_and_least_at_the_truth(self):
        generator = torch.Generator().manual_seed(1)
        true = torch.rand(1, 3, 2, 2, generator=generator)
        true[:, 0] = true[:, 0].mul(3).round()
        said = true.clone().requires_grad_()
        cell_loss(said, true).backward()
        assert said.grad[:, :, true[0, 0] > 0].abs().max() < 1e-6
        for _ in range(20):
            assert cell_loss(torch.rand(1, 3, 2, 2, generator=generator) * 3, true) >= 0

    def test_few_things_among_many_cells_count_as_more(self):
        """A thing in 1024 cells, each expected to hold 0.1: all but one of them for nothing."""
        said, true = torch.full((2, 3, 16, 32), 0.1), torch.zeros(2, 3, 16, 32)
        true[0, 0, 3, 5] = 1.0
        true[0, 1, 3, 5] = true[0, 2, 3, 5] = 0.1
        number = 1023 * 0.1 + (0.1 - 1 - math.log(0.1))
        assert cell_loss(said, true).item() == pytest.approx(number / 4)
        assert cell_loss(said[:1, :, :2], true[:1, :, 2:4]).item() == pytest.approx(
            number - (1024 - 64) * 0.1, rel=1e-4
        )

    def test_a_cell_that_is_sure_to_be_empty_can_be_taught_otherwise(self):
        logit = torch.tensor([-20.0, -60.0], requires_grad=True)
        said = torch.stack([F.softplus(logit), torch.zeros(2), torch.ones(2)])[None, :, None]
        cell_loss(said, self.cells((1.0, 0.0, 1.0), (1.0, 0.0, 1.0))).backward()
        assert logit.grad.tolist() == pytest.approx([-0.5, -0.5], rel=1e-3)

    def test_nothing_there_teaches_that_nothing_is_there(self):
        said = torch.ones(1, 3, 2, 2, requires_grad=True)
        loss = cell_loss(said, torch.zeros(1, 3, 2, 2))
        loss.backward()
        assert loss == 4
        assert said.grad[:, 0].eq(1).all()
        assert not said.grad[:, 1:].any()

    def test_nothing_expected_where_something_is_costs_no_infinity(self):
        loss = cell_loss(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1))
        assert loss.isfinite()
        assert loss > 10
