"""The complexity estimator: its range, its grid, what it can learn."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from panoptic.complexity import UNIT_AREA, cell_areas, complexity_of_cells, image_complexity, thing_cells
from panoptic.errors import InputError
from panoptic.models.complexity import ComplexityEstimator, complexity_estimate
from panoptic.segments import Segments


def local_complexity(segments: Segments, is_thing, cell: int, window: int) -> torch.Tensor:
    cells = thing_cells(segments, is_thing, cell=cell)
    return complexity_of_cells(cells, window=window, areas=cell_areas(segments.size, cell, cells.device))


CELL = 16 * 16 / UNIT_AREA
"""Area of a cell of the map."""


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def levels(batch=2, channels=8, size=(16, 24), scale=1.0) -> list[torch.Tensor]:
    """Of a pyramid, each half as fine as the one before, rounded up."""
    return [scale * torch.randn(batch, channels, *(-(-side // 2**i) for side in size)) for i in range(3)]


def test_never_negative():
    estimator = ComplexityEstimator(8, 3, channels=16)
    for scale in (0.0, 1.0, 1e3):
        image, places, cells = estimator(levels(scale=scale))
        assert image.min() >= 0
        assert places.min() >= 0
        assert cells[:, ::2].min() >= 0  # numbers and variances


@pytest.mark.parametrize(("size", "grid"), [((16, 24), (4, 6)), ((17, 25), (5, 7)), ((8, 8), (2, 2))])
def test_one_place_per_four_cells_rounded_up(size, grid):
    image, places, cells = ComplexityEstimator(8, 3, channels=16)(levels(size=size))
    assert image.shape == (2, 2)
    assert places.shape == (2, 2, *grid)
    assert cells.shape == (2, 3, *grid)
    assert ComplexityEstimator(8, 3).stride == 16
    assert ComplexityEstimator(8, 2, finest_stride=8).stride == 16


def test_both_by_hand_from_what_cells_hold():
    # Cells of a row: one thing of log area 1; none; two things whose log areas have mean 3 and variance 0.5.
    cells = torch.tensor([[1.0, 0.0, 2.0], [1.0, 7.0, 3.0], [0.0, 9.0, 0.5]])[:, None, None]
    estimate = complexity_estimate(*cells, areas=torch.tensor([[1.0, 2.0, 0.5]]), window=3)
    # All three: mean (1 + 2 * 3) / 3 = 7/3, squares (1 + 2 * (9 + 0.5)) / 3 = 20/3, variance 20/3 - 49/9 = 11/9.
    torch.testing.assert_close(estimate.image, torch.tensor([[math.log1p(3 / 3.5), 11 / 9]]), atol=1e-5, rtol=0.0)
    densities = [math.log1p(1 / 3), math.log1p(3 / 3.5), math.log1p(2 / 2.5)]
    expected = torch.tensor([densities, [0.0, 11 / 9, 0.5]])
    torch.testing.assert_close(estimate.map[0, :, 0], expected, atol=1e-5, rtol=0.0)
    assert torch.equal(estimate.cells, cells.transpose(0, 1))


def test_the_cells_of_the_truth_give_the_definition():
    """What the estimator makes of the truth's own cells is what :mod:`panoptic.complexity` says of the segments."""
    ids = torch.ones(1, 64, 96, dtype=torch.int32)
    boxes = [(0, 0, 8, 8), (4, 40, 20, 50), (30, 10, 33, 30), (30, 60, 60, 90), (50, 0, 64, 40)]
    for i, (top, left, bottom, right) in enumerate(boxes):
        ids[0, top:bottom, left:right] = i + 2
    segments = Segments(ids, torch.tensor([[0, 1, 1, 1, 1, 1]]), torch.zeros(1, 6, dtype=torch.bool))
    things = (False, True)
    areas = cell_areas((64, 96), 16, torch.device("cpu"))
    image, places, _ = complexity_estimate(*thing_cells(segments, things, cell=16).unbind(1), areas, window=5)
    torch.testing.assert_close(image, image_complexity(segments, things), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(places, local_complexity(segments, things, cell=16, window=5), atol=1e-4, rtol=0.0)


def test_a_prediction_is_summed_up_by_the_definition():
    """Number and variance through softplus, mean as it is."""
    estimator = ComplexityEstimator(8, 3, channels=16, window=3)
    with torch.no_grad():
        estimator.moments.weight.zero_()
        estimator.moments.bias.copy_(torch.tensor([math.log(math.e**0.25 - 1), 3.0, math.log(math.e**0.5 - 1)]))
    image, places, cells = estimator(levels())
    expected = torch.tensor([0.25, 3.0, 0.5])[:, None, None].expand(2, 3, 4, 6)
    torch.testing.assert_close(cells, expected)
    density = math.log1p(0.25 / CELL)  # of any part of the image
    torch.testing.assert_close(image, torch.tensor([density, 0.5]).expand(2, 2), atol=1e-4, rtol=0.0)
    assert places[:, 0].flatten().tolist() == pytest.approx([density] * 48)


def test_places_see_what_is_near_them():
    estimator = ComplexityEstimator(8, 3, channels=16, window=3).eval()
    before = levels(1, size=(64, 64))
    for level, whole in enumerate(before):
        after = [values.clone() for values in before]
        after[level][..., : whole.shape[-2] // 16, : whole.shape[-1] // 16] += 1.0
        alone, around = (
            getattr(estimator(before), field).ne(getattr(estimator(after), field)).any(dim=1)[0]
            for field in ("cells", "map")
        )
        # The corner is one cell of the map; a cell sees at most two around it, and a place one more to each side.
        assert alone[0, 0]
        assert not alone[3:].any()
        assert not alone[:, 3:].any()
        assert around[0, 0]
        assert not around[4:].any()
        assert not torch.equal(estimator(before).image, estimator(after).image)


def test_padding_holds_nothing():
    """Nor does it count in the windows around the cells beside it."""
    estimator = ComplexityEstimator(8, 3, channels=16, window=3).eval()
    maps = levels(size=(16, 24))
    whole, inside = estimator(maps), estimator(maps, (11.5, 16))  # in cells of the finest level
    assert not inside.cells[:, 0, 3:].any()
    assert not inside.cells[:, 0, :, 4:].any()
    assert torch.equal(inside.cells[..., :3, :4], whole.cells[..., :3, :4])
    areas = cell_areas((46, 64), 16, torch.device("cpu"))
    expected = complexity_estimate(*whole.cells[..., :3, :4].unbind(1), areas, window=3)
    torch.testing.assert_close(inside.image, expected.image)
    torch.testing.assert_close(inside.map[..., :3, :4], expected.map)
    assert torch.equal(estimator(maps, (16, 24)).image, whole.image)


def test_each_image_of_a_batch_may_have_padding_of_its_own():
    estimator = ComplexityEstimator(8, 3, channels=16, window=3).eval()
    maps = levels(size=(16, 24))
    both = estimator([level[:1].repeat(2, 1, 1, 1) for level in maps], torch.tensor([[11.5, 16.0], [16.0, 24.0]]))
    for i, expected in enumerate((estimator(maps, (11.5, 16)), estimator(maps))):
        for name, found in both._asdict().items():
            torch.testing.assert_close(found[i], getattr(expected, name)[0], msg=name)


def test_half_precision_does_not_reach_the_sums():
    estimator = ComplexityEstimator(8, 3, channels=16).eval()
    maps = levels(size=(64, 64))
    with torch.autocast("cpu", torch.bfloat16):
        image, places, cells = estimator(maps)
    assert image.dtype == places.dtype == cells.dtype == torch.float32
    torch.testing.assert_close(image, estimator(maps).image, atol=0.1, rtol=0.02)


def bright_cells(counts: torch.Tensor) -> list[torch.Tensor]:
    """As many bright cells as said, each in a different one of 16 places."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.zeros(len(counts), 1, 16, 16)
    for image, count in enumerate(counts.tolist()):
        places = torch.randperm(16, generator=generator)[:count]
        maps[image, 0, 4 * (places // 4) + 1, 4 * (places % 4) + 1] = 4.0
    return [maps, maps.new_zeros(len(maps), 1, 8, 8), maps.new_zeros(len(maps), 1, 4, 4)]


def test_learns_to_count_bright_cells():
    counts = torch.arange(8).repeat(2)
    maps, target = bright_cells(counts), (counts / (16 * CELL)).log1p()
    estimator = ComplexityEstimator(1, 3, channels=16)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        loss = F.mse_loss(estimator(maps).image[:, 0], target)
        loss.backward()
        optimizer.step()
    assert loss < 0.05 * target.var()


def test_every_parameter_gets_gradient():
    estimator = ComplexityEstimator(8, 3, channels=16)
    image, places, _ = estimator(levels())
    (image.square().sum() + places.square().sum()).backward()
    assert [name for name, p in estimator.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_width_below_one_is_refused():
    with pytest.raises(InputError, match=r"^channels: expected at least 1, got 0"):
        ComplexityEstimator(8, 3, channels=0)


@pytest.mark.parametrize("window", [0, 4])
def test_a_window_without_a_middle_is_refused(window):
    with pytest.raises(InputError, match=rf"^window: expected an odd number of cells, got {window}"):
        ComplexityEstimator(8, 3, channels=8, window=window)


def test_cells_start_nearly_empty():
    """A cell starts with a number of things of about softplus(-2), log areas of 0 and a variance of softplus(0)."""
    estimator = ComplexityEstimator(8, 3, channels=16, window=3).eval()
    with torch.no_grad():
        estimator.moments.weight.zero_()
    _, _, cells = estimator(levels())
    expected = torch.tensor([math.log1p(math.exp(-2)), 0.0, math.log(2)])[:, None, None]
    torch.testing.assert_close(cells, expected.expand_as(cells))
