"""The heads: sub-pixel convolution by hand, sizes, where they start."""

from __future__ import annotations

import pytest
import torch

from panoptic.errors import InputError
from panoptic.models.heads import OFFSET_UNIT, InstanceHead, SemanticHead
from panoptic.models.layers import SubpixelConv, conv_norm_act


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class TestSubpixelConv:
    def test_by_hand(self):
        # One channel in, one out, a factor of 2: predictions 1 to 4 times the input plus 10, row by row in each cell.
        layer = SubpixelConv(1, 1, 2, bias=10.0)
        with torch.no_grad():
            layer.conv.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1, 1))
        result = layer(torch.tensor([[[[1.0, 2.0]]]]))
        assert result.tolist() == [[[[11.0, 12.0, 12.0, 14.0], [13.0, 14.0, 16.0, 18.0]]]]

    @pytest.mark.parametrize("factor", [1, 2, 4])
    def test_finer_cells_start_out_equal(self, factor):
        result = SubpixelConv(8, 3, factor)(torch.randn(2, 8, 4, 5))
        assert result.shape == (2, 3, 4 * factor, 5 * factor)
        cells = result.unfold(2, factor, factor).unfold(3, factor, factor).flatten(4)
        assert torch.equal(cells, cells[..., :1].expand_as(cells))
        channels = result[:, :, ::factor, ::factor]
        assert (channels[:, 0] != channels[:, 1]).all()  # the outputs themselves differ


def test_conv_norm_act_keeps_the_size_but_for_the_stride():
    images = torch.randn(2, 3, 9, 12)
    assert conv_norm_act(3, 5)(images).shape == (2, 5, 9, 12)
    assert conv_norm_act(3, 5, kernel=1)(images).shape == (2, 5, 9, 12)
    assert conv_norm_act(3, 5, stride=2)(images).shape == (2, 5, 5, 6)
    activated = conv_norm_act(3, 5)(images)
    assert activated.min() == 0
    assert activated.max() > 0


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("upsample", [1, 2, 4])
def test_sizes(upsample, separable):
    fused = torch.randn(2, 8, 6, 10)
    semantic = SemanticHead(8, 5, channels=4, upsample=upsample, separable=separable)(fused)
    assert semantic.shape == (2, 5, 6 * upsample, 10 * upsample)
    center, offset = InstanceHead(8, channels=4, upsample=upsample, separable=separable)(fused)
    assert center.shape == (2, 6 * upsample, 10 * upsample)
    assert offset.shape == (2, 2, 6 * upsample, 10 * upsample)


def test_an_untrained_head_sees_next_to_no_centers_and_no_class_before_the_others():
    fused = torch.randn(2, 8, 12, 20)
    center, offset = InstanceHead(8, channels=16)(fused)
    assert center.sigmoid().mean().item() == pytest.approx(0.018, abs=0.004)  # sigmoid(-4)
    assert center.sigmoid().max() < 0.1  # below the codec's threshold
    assert offset.abs().max() < OFFSET_UNIT / 4
    assert SemanticHead(8, 5, channels=16)(fused).softmax(1).sub(0.2).abs().max() < 0.1


@pytest.mark.parametrize(("separable", "reach"), [(False, 1), (True, 2)])
def test_a_head_looks_as_far_as_it_is_deep(separable, reach):
    fused = torch.randn(1, 8, 17, 17)
    other = fused.clone()
    other[:, :, 8, 8] += 1.0
    for depth in (1, 2, 3):
        head = SemanticHead(8, 5, channels=8, depth=depth, upsample=1, separable=separable).eval()
        changed = (head(fused) != head(other)).any(dim=1)[0]
        far = reach * depth
        inside = torch.zeros(17, 17, dtype=torch.bool)
        inside[8 - far : 9 + far, 8 - far : 9 + far] = True
        assert not changed[~inside].any()
        assert changed.sum() > (2 * reach * (depth - 1) + 1) ** 2


def test_separable_heads_have_few_weights():
    """A full convolution has 9 x 128 x 128, a separable one 25 x 128 + 128 x 128; the predictions are the same."""
    full, separable = (InstanceHead(128, separable=value).tower for value in (False, True))
    assert [sum(p.numel() for p in tower.parameters() if p.ndim == 4) for tower in (full, separable)] == [
        2 * 147_456,
        2 * (3_200 + 16_384),
    ]


@pytest.mark.parametrize("separable", [False, True])
def test_every_parameter_gets_gradient(separable):
    fused = torch.randn(2, 8, 6, 10)
    for head in (SemanticHead(8, 5, channels=4, separable=separable), InstanceHead(8, channels=4, separable=separable)):
        outputs = head(fused)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        sum(values.square().mean() for values in outputs).backward()
        assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("key", ["channels", "depth", "upsample"])
def test_settings_below_one_are_named(key):
    with pytest.raises(InputError, match=f"^{key}: expected at least 1, got 0"):
        SemanticHead(8, 5, **{key: 0})
    with pytest.raises(InputError, match=f"^{key}: expected at least 1, got -1"):
        InstanceHead(8, **{key: -1})
