"""The complexity estimator: its range, its grid, what it can learn."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from panoptic.complexity import image_complexity, local_complexity, measure
from panoptic.errors import InputError
from panoptic.models.complexity import ComplexityEstimator
from panoptic.segments import Segments


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


def softplus_inverse(value: torch.Tensor) -> torch.Tensor:
    return torch.log(torch.expm1(value))


def test_both_by_hand_from_what_cells_hold():
    # Cells of a row: one thing of log area 1; none; two things whose log areas have mean 3 and variance 0.5.
    estimator = ComplexityEstimator(8, 3, window=3).eval()
    estimator.features = torch.nn.Identity()
    with torch.no_grad():
        estimator.moments.weight.copy_(torch.eye(3)[:, :, None, None])
        estimator.moments.bias.zero_()
    count, mean, variance = torch.tensor([[1.0, 1e-9, 2.0], [1.0, 7.0, 3.0], [1e-9, 9.0, 0.5]])
    cells = torch.stack([softplus_inverse(count), mean, softplus_inverse(variance)])[None, :, None]
    image, places = estimator(cells)
    # All three: mean (1 + 2 * 3) / 3 = 7/3, squares (1 + 2 * (9 + 0.5)) / 3 = 20/3, variance 20/3 - 49/9 = 11/9.
    torch.testing.assert_close(image, torch.tensor([[math.log(4.0), 11 / 9]]), atol=1e-5, rtol=0.0)
    expected = torch.tensor([[math.log(2.0), math.log(4.0), math.log(3.0)], [0.0, 11 / 9, 0.5]])
    torch.testing.assert_close(places[0, :, 0], expected, atol=1e-5, rtol=0.0)


def test_perfect_cells_give_the_definition():
    """What the estimator makes of the truth's own cells is what :mod:`panoptic.complexity` says of the segments."""
    ids = torch.ones(1, 64, 96, dtype=torch.int32)
    boxes = [(0, 0, 8, 8), (4, 40, 20, 50), (30, 10, 33, 30), (30, 60, 60, 90), (50, 0, 64, 40)]
    for i, (top, left, bottom, right) in enumerate(boxes):
        ids[0, top:bottom, left:right] = i + 2
    segments = Segments(ids, torch.tensor([[0, 1, 1, 1, 1, 1]]), torch.zeros(1, 6, dtype=torch.bool))
    measures = measure(segments)
    cells = torch.zeros(3, 4, 6)
    for area, (y, x) in zip(measures.areas[0, 1:].tolist(), measures.centers[0, 1:].tolist(), strict=True):
        cells[:, int(y // 16), int(x // 16)] += torch.tensor([1.0, math.log(area), math.log(area) ** 2])
    mean = cells[1] / cells[0].clamp(min=1)
    variance = (cells[2] / cells[0].clamp(min=1) - mean**2).clamp(min=1e-9)
    estimator = ComplexityEstimator(8, 3, window=5).eval()
    estimator.features = torch.nn.Identity()
    with torch.no_grad():
        estimator.moments.weight.copy_(torch.eye(3)[:, :, None, None])
        estimator.moments.bias.zero_()
    said = torch.stack([softplus_inverse(cells[0].clamp(min=1e-9)), mean, softplus_inverse(variance)])[None]
    image, places = estimator(said)
    things = (False, True)
    torch.testing.assert_close(image, image_complexity(segments, things), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(places, local_complexity(segments, things, cell=16, window=5), atol=1e-4, rtol=0.0)


def test_places_see_what_is_near_them():
    estimator = ComplexityEstimator(8, 16, window=3).eval()
    before = torch.randn(1, 8, 64, 64)
    after = before.clone()
    after[..., :4, :4] += 1.0
    changed = (estimator(before).map != estimator(after).map).any(dim=1)[0]
    # A cell sees the 3 + 2 * 2 = 7 cells around its middle, and a place one cell more to each side.
    assert changed[0, 0]
    assert not changed[3:].any()
    assert not changed[:, 3:].any()
    assert not torch.equal(estimator(before).image, estimator(after).image)


def test_half_precision_does_not_reach_the_sums():
    estimator = ComplexityEstimator(8, 16).eval()
    finest = torch.randn(2, 8, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        image, places = estimator(finest)
    assert image.dtype == places.dtype == torch.float32
    torch.testing.assert_close(image, estimator(finest).image, atol=0.1, rtol=0.02)


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


@pytest.mark.parametrize("window", [0, 4])
def test_a_window_without_a_middle_is_refused(window):
    with pytest.raises(InputError, match=rf"model.complexity.window: expected an odd number of cells, got {window}"):
        ComplexityEstimator(8, 8, window)
