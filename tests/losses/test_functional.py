"""The losses of centers and offsets by hand and at the edges, and the gradients of all of a pixel."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from panoptic.losses.functional import (
    center_loss,
    offset_loss,
    semantic_loss,
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
