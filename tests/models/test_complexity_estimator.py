"""The complexity estimator: its range, its grid, what it can learn."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from panoptic.errors import InputError
from panoptic.models.complexity import ComplexityEstimator


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_never_negative():
    estimator = ComplexityEstimator(8, 16)
    for scale in (0.0, 1.0, 1e3):
        image, places = estimator(torch.randn(2, 8, 16, 24) * scale)
        assert image.min() >= 0
        assert places.min() >= 0


@pytest.mark.parametrize(("size", "grid"), [((16, 24), (4, 6)), ((17, 25), (5, 7)), ((8, 8), (2, 2))])
def test_one_place_per_four_cells_rounded_up(size, grid):
    image, places = ComplexityEstimator(8, 16)(torch.randn(2, 8, *size))
    assert image.shape == (2, 2)
    assert places.shape == (2, 2, *grid)
    assert ComplexityEstimator.stride == 4


def test_both_by_hand_from_constant_features():
    estimator = ComplexityEstimator(8, 16).eval()
    estimator.features = torch.nn.Identity()
    features = torch.rand(1, 16, 3, 5)
    with torch.no_grad():
        for layer in (estimator.per_place, estimator.per_image[0], estimator.per_image[2]):
            layer.weight.fill_(0.0)
        estimator.per_place.bias.copy_(torch.tensor([0.0, 1.0]))
        estimator.per_image[2].bias.copy_(torch.tensor([2.0, -3.0]))
    image, places = estimator(features)
    torch.testing.assert_close(image, F.softplus(torch.tensor([[2.0, -3.0]])))
    torch.testing.assert_close(places, F.softplus(torch.tensor([0.0, 1.0])).view(1, 2, 1, 1).expand(1, 2, 3, 5))


def test_places_see_what_is_near_them():
    estimator = ComplexityEstimator(8, 16).eval()
    before = torch.randn(1, 8, 32, 32)
    after = before.clone()
    after[..., :4, :4] += 1.0
    changed = (estimator(before).map != estimator(after).map).any(dim=1)[0]
    # A place sees the 3 + 2 * 2 = 7 cells around its middle, so only the first two rows and columns can change.
    assert changed[0, 0]
    assert not changed[2:].any()
    assert not changed[:, 2:].any()
    assert not torch.equal(estimator(before).image, estimator(after).image)


def test_learns_to_count_bright_cells():
    generator = torch.Generator().manual_seed(0)
    counts = torch.arange(8).repeat(2)
    maps = torch.zeros(16, 1, 16, 16)
    for image, count in enumerate(counts.tolist()):
        places = torch.randperm(16, generator=generator)[:count]
        maps[image, 0, 4 * (places // 4) + 1, 4 * (places % 4) + 1] = 4.0
    target = counts.float().log1p()
    estimator = ComplexityEstimator(1, 16)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        loss = F.mse_loss(estimator(maps).image[:, 0], target)
        loss.backward()
        optimizer.step()
    assert loss < 0.05 * target.var()


def test_every_parameter_gets_gradient():
    estimator = ComplexityEstimator(8, 16)
    image, places = estimator(torch.randn(2, 8, 16, 24))
    (image.square().sum() + places.square().sum()).backward()
    assert [name for name, p in estimator.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_width_below_one_is_refused():
    with pytest.raises(InputError, match=r"model.complexity.channels: expected at least 1, got 0"):
        ComplexityEstimator(8, 0)
