"""Context of the coarsest level, by hand and inside the image alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from panoptic.errors import InputError
from panoptic.models import NoContext, PyramidPooling
from panoptic.models.context import _pooling, _resizing


def test_none_is_the_level_itself():
    context, level = NoContext(5), torch.randn(1, 5, 2, 3)
    assert context.channels == 5
    assert context(level, (2, 3)) is level


def test_pyramid_pooling_by_hand():
    context = PyramidPooling(1, channels=2, bins=(1, 2)).eval()
    seen = []
    context.output.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for branch in context.branches:
            branch.weight.fill_(1.0)
            branch.bias.zero_()
    level = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
    assert context(level, (2, 2)).shape == (1, 2, 2, 2)
    assert seen[0][0, 0].tolist() == level[0, 0].tolist()
    assert seen[0][0, 1].tolist() == [[4.0, 4.0], [4.0, 4.0]]  # the mean
    assert seen[0][0, 2].tolist() == level[0, 0].tolist()  # a grid of 2 x 2


def test_padding_is_left_out():
    context = PyramidPooling(3, channels=8).eval()
    level, filled = torch.randn(2, 3, 5, 7), None
    filled = level.clone()
    filled[:, :, 4:], filled[..., 6:] = 1e3, -1e3
    inside = (4, 6)
    torch.testing.assert_close(context(level, inside)[..., :4, :6], context(filled, inside)[..., :4, :6])
    assert (context(level, (5, 7)) - context(filled, (5, 7)))[..., :4, :6].abs().max() > 0.1


@pytest.mark.parametrize("length", [1, 2, 3, 5, 6, 7, 12, 31])
@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_the_matrices_are_those_of_torch(length: int, bins: int):
    used = min(bins, length)
    row = torch.randn(1, 1, length)
    pooled = _pooling(length, bins, row.device) @ row[0, 0]
    torch.testing.assert_close(pooled[:used], F.adaptive_avg_pool1d(row, used)[0, 0])
    assert pooled[used:].abs().sum() == 0
    values = torch.randn(1, 1, bins)
    expected = F.interpolate(values[..., :used], length, mode="linear", align_corners=False)[0, 0]
    torch.testing.assert_close(_resizing(length, bins, row.device) @ values[0, 0], expected)


def test_an_image_of_a_cell_has_context():
    assert PyramidPooling(3, channels=8).eval()(torch.randn(1, 3, 1, 1), (1, 1)).shape == (1, 8, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "^channels: expected at least 1, got 0"),
        ({"bins": [2, 0]}, r"^bins: expected numbers of at least 1, got \[2, 0\]"),
        ({"bins": []}, "^bins: expected numbers of at least 1"),
    ],
)
def test_settings_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        PyramidPooling(4, **options)
