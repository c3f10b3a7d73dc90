"""The semantic loss by hand, at the edges, and its gradients."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from panoptic.losses.functional import (
    dice_loss,
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
