"""The pyramid: the flow from coarse to fine, by hand and by what reaches what."""

from __future__ import annotations

import pytest
import torch

from panoptic.errors import InputError
from panoptic.models.fpn import FPN, NUM_LEVELS

CHANNELS = (2, 3, 4, 5)


def features(size=(16, 24), value=None) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, c, max(size[0] >> i, 1), max(size[1] >> i, 1)) for i, c in enumerate(CHANNELS)]
    if value is not None:
        return [torch.full(shape, value) for shape in shapes]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def plain(fpn: FPN) -> FPN:
    """With laterals that sum their channels, and outputs that only pass on: the flow alone remains."""
    fpn.output = torch.nn.ModuleList(torch.nn.Identity() for _ in range(NUM_LEVELS))
    for lateral in fpn.lateral:
        torch.nn.init.ones_(lateral.weight)
        torch.nn.init.zeros_(lateral.bias)
    return fpn


def test_each_level_sums_all_from_its_own_to_the_coarsest():
    levels = plain(FPN(CHANNELS, channels=1))(features(value=1.0))
    # Sums of the channels: 2, 3, 4 and 5.
    assert [level.unique().tolist() for level in levels] == [[14.0], [12.0], [9.0]]
    assert [tuple(level.shape[-2:]) for level in levels] == [(16, 24), (8, 12), (4, 6)]


def test_coarse_cells_spread_over_the_fine_ones_they_cover():
    inputs = features(value=0.0)
    inputs[3][0, 0, 0, 2] = 1.0  # of 2 x 3 cells, so rows 0..7 and columns 16..23 of the finest
    finest = plain(FPN(CHANNELS, channels=1))(inputs)[0][0, 0]
    expected = torch.zeros(16, 24)
    expected[:8, 16:] = 1.0
    assert torch.equal(finest, expected)


def test_coarse_levels_reach_fine_ones_and_not_the_other_way():
    fpn = FPN(CHANNELS, channels=8).eval()
    inputs = features()
    before = fpn(inputs)
    for changed in range(4):
        other = [f + 1.0 if i == changed else f for i, f in enumerate(inputs)]
        same = [torch.equal(a, b) for a, b in zip(before, fpn(other), strict=True)]
        assert same == [level > changed for level in range(3)]


def test_any_widths_and_odd_sizes():
    inputs = [torch.randn(2, c, *size) for c, size in zip(CHANNELS, ((17, 9), (9, 5), (5, 3), (3, 2)), strict=True)]
    levels = FPN(CHANNELS, channels=6)(inputs)
    assert [tuple(level.shape) for level in levels] == [(2, 6, 17, 9), (2, 6, 9, 5), (2, 6, 5, 3)]
    assert all(level.min() == 0 and level.max() > 0 for level in levels)


def test_every_parameter_gets_gradient():
    fpn = FPN(CHANNELS, channels=8)
    sum(level.square().mean() for level in fpn(features())).backward()
    without = [name for name, p in fpn.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_errors():
    with pytest.raises(InputError, match=r"^channels: expected at least 1, got 0"):
        FPN(CHANNELS, channels=0)
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is shorter"):
        FPN(CHANNELS, channels=2)(features()[:3])


def test_without_the_top_down_path_levels_are_kept_apart():
    levels = plain(FPN(CHANNELS, channels=1, top_down=False))(features(value=1.0))
    # Sums of the channels: 2, 3, and 4 with the coarsest's 5.
    assert [level.unique().tolist() for level in levels] == [[2.0], [3.0], [9.0]]
    fpn = FPN(CHANNELS, channels=8, top_down=False).eval()
    inputs = features()
    before = fpn(inputs)
    for changed in range(4):
        other = [f + 1.0 if i == changed else f for i, f in enumerate(inputs)]
        same = [torch.equal(a, b) for a, b in zip(before, fpn(other), strict=True)]
        assert same == [level != min(changed, 2) for level in range(3)]


def test_variants_of_the_path_have_the_same_weights():
    one, other = (FPN(CHANNELS, channels=8, top_down=top_down).state_dict() for top_down in (True, False))
    assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in other.items()}
