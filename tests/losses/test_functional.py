"""The losses by hand, at the edges, and their gradients."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, Poisson, kl_divergence

from panoptic.losses.functional import (
    LEAST_VARIANCE,
    cell_loss,
    center_loss,
    complexity_loss,
    dice_loss,
    offset_loss,
    semantic_boundary,
    semantic_loss,
)
from panoptic.segments import VOID


def boundary(rows) -> list[list[int]]:
    return semantic_boundary(torch.tensor([rows]))[0].int().tolist()


class TestBoundary:
    def test_by_hand(self):
        # Both sides of an edge, and lines of one pixel.
        assert boundary([[0, 0, 0, 1, 1, 1]]) == [[0, 0, 1, 1, 0, 0]]
        assert boundary([[5], [5], [2], [2]]) == [[0], [1], [1], [0]]
        assert boundary([[0, 1, 1, 1]]) == [[1, 1, 0, 0]]
        assert boundary([[1, 1, 1, 0]]) == [[0, 0, 1, 1]]
        assert boundary([[0, 0, 0, 5, 0, 0, 0]]) == [[0, 0, 1, 1, 1, 0, 0]]
        assert boundary([[3, 3, 3], [3, 3, 3]]) == [[0, 0, 0], [0, 0, 0]]
        assert boundary([[7]]) == [[0]]

    def test_edge_of_a_region_by_hand(self):
        rows = [[0, 0, 0, 0, 0]] * 5
        rows[1:4] = [[0, 1, 1, 1, 0]] * 3
        # The middle of the square sees 1 on all sides, the corners of the image see 0.
        assert boundary(rows) == [
            [0, 1, 1, 1, 0],
            [1, 1, 1, 1, 1],
            [1, 1, 0, 1, 1],
            [1, 1, 1, 1, 1],
            [0, 1, 1, 1, 0],
        ]

    def test_the_edge_of_void_is_one(self):
        assert boundary([[0, 0, 0, VOID, VOID, VOID]]) == [[0, 0, 1, 1, 0, 0]]

    def test_a_name_is_not_a_quantity(self):
        one, other = torch.tensor([[[0, 0, 1, 1, 2, 2]]]), torch.tensor([[[18, 18, 3, 3, 11, 11]]])
        assert torch.equal(semantic_boundary(one), semantic_boundary(other))

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("size", [(9, 13), (2, 5), (17, 2), (1, 6)])
    def test_is_where_dilation_and_erosion_of_a_label_map_differ(self, seed, size):
        """With a cross of four neighbors, as OpenCV has it."""
        semantic = np.random.default_rng(seed).integers(0, 3, size).astype(np.uint8)
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        expected = torch.from_numpy(cv2.dilate(semantic, cross) != cv2.erode(semantic, cross))
        assert expected.any()
        assert torch.equal(semantic_boundary(torch.from_numpy(semantic).long()[None])[0], expected)

    def test_flips_and_turns_move_it_along(self):
        semantic = torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
        edges = semantic_boundary(semantic)
        assert torch.equal(semantic_boundary(semantic.flip(1)), edges.flip(1))
        assert torch.equal(semantic_boundary(semantic.flip(2)), edges.flip(2))
        assert torch.equal(semantic_boundary(semantic.transpose(1, 2)), edges.transpose(1, 2))

    def test_images_of_a_batch_do_not_see_each_other(self):
        semantic = torch.stack([torch.zeros(4, 4, dtype=torch.int64), torch.ones(4, 4, dtype=torch.int64)])
        assert not semantic_boundary(semantic).any()


def semantic_case():
    """Six pixels in a row, a boundary in the middle, each right with the probability given."""
    semantic = torch.tensor([[[0, 0, 0, 1, 1, 1]]])
    probability = torch.tensor([0.5, 0.8, 0.9, 0.4, 0.7, 0.25])
    first = torch.where(semantic[0, 0] == 0, probability, 1 - probability)
    logits = torch.stack([first.log(), (1 - first).log()])[None, :, None].requires_grad_()
    return logits, semantic, -probability.log()


class TestSemantic:
    def test_weighted_mean_by_hand(self):
        logits, semantic, losses = semantic_case()
        weight = torch.tensor([1.0, 1.0, 2.0, 2.0, 1.0, 1.0])  # the two beside the edge
        loss = semantic_loss(logits, semantic, torch.ones(1, 1, 6), boundary_weight=2.0)
        assert loss.item() == pytest.approx(((losses * weight).sum() / 8).item())

    def test_boundary_weight_1_is_the_plain_mean(self):
        logits, semantic, losses = semantic_case()
        loss = semantic_loss(logits, semantic, torch.ones(1, 1, 6), boundary_weight=1.0)
        assert loss.item() == pytest.approx(losses.mean().item())
        assert loss.item() == pytest.approx(F.cross_entropy(logits, semantic).item())

    def test_boundary_weight_0_takes_the_inside_alone(self):
        logits, semantic, losses = semantic_case()
        loss = semantic_loss(logits, semantic, torch.ones(1, 1, 6), boundary_weight=0.0)
        assert loss.item() == pytest.approx(losses[[0, 1, 4, 5]].mean().item())
        loss.backward()
        assert not logits.grad[..., 2:4].any()
        assert (logits.grad[..., [0, 1, 4, 5]] != 0).all()

    def test_pixel_weights_by_hand(self):
        logits, semantic, losses = semantic_case()
        weight = torch.tensor([3.0, 1.0, 1.0, 0.0, 1.0, 1.0])
        loss = semantic_loss(logits, semantic, weight.view(1, 1, 6), boundary_weight=2.0)
        both = torch.tensor([3.0, 1.0, 2.0, 0.0, 1.0, 1.0])
        assert loss.item() == pytest.approx(((losses * both).sum() / 8).item())
        loss.backward()
        assert not logits.grad[..., 3].any()

    def test_weights_say_how_much_against_the_others_and_do_not_scale(self):
        logits, semantic, _ = semantic_case()
        one, ten = (semantic_loss(logits, semantic, torch.full((1, 1, 6), w)).item() for w in (1.0, 10.0))
        assert one == pytest.approx(ten)

    def test_void_counts_nowhere(self):
        logits, semantic, losses = semantic_case()
        semantic[0, 0, 4:] = VOID
        loss = semantic_loss(logits, semantic, torch.ones(1, 1, 6), boundary_weight=2.0)
        # Pixel 3 is beside an edge on both of its sides, which counts once.
        expected = (losses[:2].sum() + 2 * losses[2] + 2 * losses[3]) / 6
        assert loss.item() == pytest.approx(expected.item())
        loss.backward()
        assert not logits.grad[..., 4:].any()

    @pytest.mark.parametrize("hard_pixels", [1.0, 0.25])
    def test_all_void_is_zero_with_zero_gradient(self, hard_pixels):
        logits = torch.randn(2, 3, 4, 5, requires_grad=True)
        semantic = torch.full((2, 4, 5), VOID)
        loss = semantic_loss(logits, semantic, torch.ones(2, 4, 5), hard_pixels=hard_pixels)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(logits.grad, torch.zeros_like(logits))

    def test_hard_pixels_are_those_of_the_highest_loss(self):
        logits, semantic, losses = semantic_case()
        loss = semantic_loss(logits, semantic, torch.ones(1, 1, 6), boundary_weight=1.0, hard_pixels=0.5)
        # The probabilities 0.25, 0.4 and 0.5 are the three worst.
        assert loss.item() == pytest.approx(losses[[5, 3, 0]].mean().item())
        loss.backward()
        assert (logits.grad[0, :, 0] != 0).any(0).tolist() == [True, False, False, True, False, True]

    def test_a_share_of_hard_pixels_takes_at_least_one(self):
        logits, semantic, losses = semantic_case()
        loss = semantic_loss(logits, semantic, torch.ones(1, 1, 6), hard_pixels=0.01)
        # Weighted, 2 * log(1 / 0.4) = 1.83 is above log(1 / 0.25) = 1.39.
        assert loss.item() == pytest.approx(losses[3].item())

    @pytest.mark.parametrize(("hard_pixels", "hardest"), [(0.25, [5]), (0.3, [5]), (0.45, [5, 3]), (0.5, [5, 3, 0])])
    def test_a_share_of_hard_pixels_is_rounded_down(self, hard_pixels, hardest):
        logits, semantic, losses = semantic_case()  # 6 pixels: shares of 1.5, 1.8, 2.7 and 3
        weight = torch.ones(1, 1, 6)
        loss = semantic_loss(logits, semantic, weight, boundary_weight=1.0, hard_pixels=hard_pixels)
        assert loss.item() == pytest.approx(losses[hardest].mean().item())

    def test_void_is_never_hard(self):
        logits, semantic, losses = semantic_case()
        semantic[0, 0, 5] = VOID
        loss = semantic_loss(logits, semantic, torch.ones(1, 1, 6), boundary_weight=1.0, hard_pixels=1 / 6)
        assert loss.item() == pytest.approx(losses[3].item())

    def test_certain_and_right_is_nothing_and_certain_and_wrong_is_large(self):
        semantic = torch.randint(0, 3, (2, 6, 6), generator=torch.Generator().manual_seed(0))
        right = F.one_hot(semantic, 3).permute(0, 3, 1, 2) * 30.0
        assert semantic_loss(right, semantic, torch.ones(2, 6, 6)) < 1e-6
        assert semantic_loss(-right, semantic, torch.ones(2, 6, 6)) > 10

    def test_half_precision_is_computed_in_full(self):
        logits, semantic, _ = semantic_case()
        in_half = semantic_loss(logits.half(), semantic, torch.ones(1, 1, 6))
        assert in_half.dtype == torch.float32
        assert in_half.item() == pytest.approx(
            semantic_loss(logits.half().float(), semantic, torch.ones(1, 1, 6)).item()
        )


class TestCenter:
    def one(self, logit: float, heat: float, weight: float = 1.0) -> float:
        values = (torch.full((1, 1, 1), value) for value in (logit, heat, weight))
        return center_loss(*values).item()

    def test_at_a_center_by_hand(self):
        # sigmoid(0) = 1/2: -log(1/2) (1 - 1/2)² = 0.1733
        assert self.one(0.0, 1.0) == pytest.approx(math.log(2) / 4)
        # sigmoid(log 3) = 3/4: -log(3/4) / 16
        assert self.one(math.log(3), 1.0) == pytest.approx(math.log(4 / 3) / 16)

    def test_elsewhere_by_hand(self):
        # Nothing near: -log(1 - 3/4) (3/4)². At a heat of 1/2 it is (1/2)⁴ of that.
        assert self.one(math.log(3), 0.0) == pytest.approx(math.log(4) * 9 / 16)
        assert self.one(math.log(3), 0.5) == pytest.approx(math.log(4) * 9 / 16 / 16)

    def test_is_a_mean_over_centers_and_not_over_places(self):
        # Two centers at 1/2, and two places elsewhere: the sum of all, halved.
        logits = torch.tensor([[[0.0, 0.0, math.log(3), math.log(3)]]])
        heat = torch.tensor([[[1.0, 1.0, 0.0, 0.5]]])
        expected = (2 * math.log(2) / 4 + math.log(4) * 9 / 16 * (1 + 1 / 16)) / 2
        assert center_loss(logits, heat, torch.ones(1, 1, 4)).item() == pytest.approx(expected)
        more = F.pad(torch.stack([logits, heat, torch.ones(1, 1, 4)]), (0, 50), value=0.0)
        assert center_loss(*more).item() == pytest.approx(expected)

    def test_an_image_without_things_still_teaches(self):
        logits = torch.zeros(1, 2, 2, requires_grad=True)
        loss = center_loss(logits, torch.zeros(1, 2, 2), torch.ones(1, 2, 2))
        assert loss.item() == pytest.approx(4 * math.log(2) / 4)
        loss.backward()
        assert (logits.grad > 0).all()  # downwards

    def test_the_gradient_raises_centers_and_lowers_the_rest(self):
        logits = torch.zeros(1, 1, 3, requires_grad=True)
        center_loss(logits, torch.tensor([[[1.0, 0.5, 0.0]]]), torch.ones(1, 1, 3)).backward()
        at_center, near, far = logits.grad.flatten().tolist()
        assert at_center < 0 < near < far

    def test_weight_0_counts_nowhere(self):
        logits = torch.randn(1, 2, 3, requires_grad=True)
        heat = torch.tensor([[[1.0, 0.3, 0.0], [1.0, 0.0, 0.0]]])
        weight = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])
        loss = center_loss(logits, heat, weight)
        loss.backward()
        assert not logits.grad[:, 0].any()
        assert (logits.grad[:, 1] != 0).all()
        assert loss.item() == pytest.approx(center_loss(logits[:, 1:], heat[:, 1:], weight[:, 1:]).item())

    def test_no_weight_at_all_is_zero_with_zero_gradient(self):
        logits = torch.randn(1, 2, 3, requires_grad=True)
        loss = center_loss(logits, torch.ones(1, 2, 3), torch.zeros(1, 2, 3))
        loss.backward()
        assert loss.item() == 0
        assert not logits.grad.any()

    @pytest.mark.parametrize("logit", [-200.0, 200.0])
    @pytest.mark.parametrize("heat", [0.0, 0.9, 1.0])
    def test_extreme_logits_are_finite(self, logit, heat):
        logits = torch.full((1, 1, 1), logit, requires_grad=True)
        loss = center_loss(logits, torch.full((1, 1, 1), heat), torch.ones(1, 1, 1))
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()

    def test_right_is_nothing(self):
        heat = torch.zeros(1, 8, 8)
        heat[0, 3, 4] = 1.0
        assert center_loss(torch.where(heat == 1, 15.0, -15.0), heat, torch.ones(1, 8, 8)) < 1e-6


class TestOffset:
    def test_by_hand(self):
        # |1 - 0| + |-2 - 0.5| = 3.5 and |0 - 1| + |3 - 3| = 1; the third does not count.
        offset = torch.tensor([[[[1.0, 0.0, 9.0]], [[-2.0, 3.0, 9.0]]]], requires_grad=True)
        target = torch.tensor([[[[0.0, 1.0, 0.0]], [[0.5, 3.0, 0.0]]]])
        loss = offset_loss(offset, target, torch.tensor([[[1.0, 1.0, 0.0]]]))
        assert loss.item() == pytest.approx(4.5 / 2)
        loss.backward()
        assert offset.grad[0, :, 0].tolist() == [[0.5, -0.5, 0.0], [-0.5, 0.0, 0.0]]

    def test_no_thing_is_zero_with_zero_gradient(self):
        offset = torch.randn(1, 2, 3, 3, requires_grad=True)
        loss = offset_loss(offset, torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3))
        loss.backward()
        assert loss.item() == 0
        assert not offset.grad.any()

    def test_right_is_nothing(self):
        target = torch.randn(1, 2, 3, 3)
        assert offset_loss(target, target, torch.ones(1, 3, 3)) == 0


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


def test_gradients_are_those_of_small_differences():
    """Loosely, since the losses are computed in single precision."""
    generator = torch.Generator().manual_seed(0)
    semantic = torch.randint(0, 3, (1, 4, 4), generator=generator)
    heat = torch.rand(1, 4, 4, generator=generator) * 0.9
    heat[0, 1, 2] = 1.0
    target = torch.randn(1, 2, 4, 4, generator=generator)
    weight = torch.rand(1, 4, 4, generator=generator) + 0.5
    cases = [
        (torch.randn(1, 3, 4, 4, generator=generator), lambda x: semantic_loss(x, semantic, weight)),
        (torch.randn(1, 4, 4, generator=generator), lambda x: center_loss(x, heat, weight)),
        (torch.randn(1, 2, 4, 4, generator=generator), lambda x: offset_loss(x, target, weight)),
    ]
    for start, loss in cases:
        start.requires_grad_()
        loss(start).backward()
        direction = torch.randn(start.shape, generator=generator)
        step = 1e-2
        with torch.no_grad():
            slope = (loss(start + step * direction) - loss(start - step * direction)) / (2 * step)
        assert slope.abs() > 1e-3
        assert slope.item() == pytest.approx((start.grad * direction).sum().item(), rel=0.03)


class TestClassBalance:
    """Ten pixels, in no row beside another class: eight of class 0, two of class 1; void elsewhere."""

    semantic = torch.full((1, 5, 9), VOID)
    semantic[0, 0, ::2], semantic[0, 2, :5:2] = 0, 0
    semantic[0, 4, [0, 4]] = 1
    logits = torch.zeros(1, 3, 5, 9)
    logits[:, 1] = math.log(3)  # of the classes, 1/5, 3/5 and 1/5
    ones = torch.ones(1, 5, 9)

    @pytest.mark.parametrize(("balance", "shares"), [(0.0, (8, 2)), (0.5, (math.sqrt(8), math.sqrt(2))), (1.0, (1, 1))])
    def test_classes_count_by_a_power_of_their_pixels(self, balance, shares):
        expected = (shares[0] * math.log(5) + shares[1] * math.log(5 / 3)) / sum(shares)
        loss = semantic_loss(self.logits, self.semantic, self.ones, boundary_weight=1.0, class_balance=balance)
        assert loss.item() == pytest.approx(expected, rel=1e-6)

    def test_a_batch_of_void_alone_is_zero(self):
        nothing = torch.full((1, 5, 9), VOID)
        assert semantic_loss(self.logits, nothing, self.ones, class_balance=0.5) == 0.0

    def test_one_class_alone_is_as_without(self):
        alone = torch.zeros(1, 5, 9, dtype=torch.int64)
        losses = [semantic_loss(self.logits, alone, self.ones, class_balance=balance) for balance in (0.0, 0.5)]
        torch.testing.assert_close(*losses)


class TestDice:
    def test_by_hand(self):
        # Two pixels of class 0 with probability 3/4, one of class 1 with 1/2; class 2 does not occur.
        probabilities = torch.tensor([[0.75, 0.75, 0.5], [0.25, 0.25, 0.5], [1e-9, 1e-9, 1e-9]])
        semantic = torch.tensor([[[0, 0, 1]]])
        first = 1 - 2 * 1.5 / (2.0 + 2)  # overlap 1.5; probability 2 in all, area 2
        second = 1 - 2 * 0.5 / (1.0 + 1)
        loss = dice_loss(probabilities.log()[None, :, None], semantic)
        assert loss.item() == pytest.approx((first + second) / 2, abs=1e-6)

    def test_classes_count_equally_whatever_their_area(self):
        semantic = torch.zeros(1, 8, 8, dtype=torch.int64)
        semantic[0, 0, 0] = 1
        wrong_in_one = F.one_hot(torch.zeros_like(semantic), 2).permute(0, 3, 1, 2) * 50.0  # all class 0
        assert dice_loss(wrong_in_one, semantic).item() == pytest.approx(0.5, abs=0.01)

    def test_perfect_is_0_and_void_counts_for_nothing(self):
        semantic = torch.randint(0, 3, (2, 6, 6), generator=torch.Generator().manual_seed(0))
        logits = F.one_hot(semantic, 3).permute(0, 3, 1, 2) * 50.0
        assert dice_loss(logits, semantic).item() == pytest.approx(0, abs=1e-6)
        semantic[:, :3] = VOID
        changed = logits.clone()
        changed[:, :, :3] = torch.randn(2, 3, 3, 6)
        assert dice_loss(changed, semantic).item() == pytest.approx(0, abs=1e-6)

    def test_void_alone_has_no_loss_and_no_gradient(self):
        logits = torch.randn(1, 3, 4, 4, requires_grad=True)
        loss = dice_loss(logits, torch.full((1, 4, 4), VOID))
        loss.backward()
        assert loss.item() == 0
        assert (logits.grad == 0).all()

    def test_gradient(self):
        logits = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
        semantic = torch.randint(0, 3, (2, 3, 4), generator=torch.Generator().manual_seed(0))
        semantic[0, 0] = VOID
        dice_loss(logits, semantic).backward()
        step = torch.randn_like(logits)
        with torch.no_grad():
            change = [dice_loss(logits + sign * 1e-2 * step, semantic).item() for sign in (1, -1)]
        assert (logits.grad * step).sum().item() == pytest.approx((change[0] - change[1]) / 2e-2, rel=0.02)
