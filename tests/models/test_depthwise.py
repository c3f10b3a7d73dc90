"""Depthwise convolutions: the same outputs and gradients as PyTorch's, and the same state dict."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import create_conv2d
from torch import nn

from panoptic.models import depthwise
from panoptic.models.backbone import Backbone
from panoptic.models.depthwise import DepthwiseConv2d, convert_depthwise

CASES = [
    # kernel, stride, padding; the last two as TensorFlow pads, which for stride 2 is to one side alone
    (1, 1, 0),
    (3, 1, 1),
    (3, 2, 1),
    (3, 2, 0),
    (5, 1, 2),
    (5, 2, 2),
    (5, 3, 1),
    (7, 1, 3),
    (7, 2, 0),
    (9, 4, 4),
    (3, 2, "same"),
    (5, 2, "same"),
]


def pair(kernel: int, stride: int, padding: int | str, channels: int = 6) -> tuple[nn.Module, nn.Module]:
    """Return PyTorch's or timm's convolution, and the converted one with the same weights."""
    theirs = create_conv2d(channels, channels, kernel, stride=stride, padding=padding, depthwise=True, bias=True)
    ours = nn.Sequential(
        create_conv2d(channels, channels, kernel, stride=stride, padding=padding, depthwise=True, bias=True)
    )
    ours[0].load_state_dict(theirs.state_dict())
    convert_depthwise(ours)
    assert type(ours[0]) is DepthwiseConv2d
    return theirs, ours[0]


def with_gradients(layer: nn.Module, image: torch.Tensor, gradient: torch.Tensor | None = None):
    """Return the output of a layer and the gradients of the image, the weights and the bias."""
    image = image.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    layer.zero_grad()
    output = layer(image)
    output.backward(torch.ones_like(output) if gradient is None else gradient.to(output.dtype))
    return output.detach(), image.grad, layer.weight.grad, layer.bias.grad


@pytest.mark.parametrize(("kernel", "stride", "padding"), CASES)
@pytest.mark.parametrize("size", [(17, 20), (16, 9)])
def test_gradients_are_those_of_pytorch(kernel, stride, padding, size, monkeypatch):
    """In double precision, in which both are exact but for rounding."""
    monkeypatch.setattr(depthwise, "FASTER_IN", torch.float64)
    torch.manual_seed(0)
    theirs, ours = (layer.double() for layer in pair(kernel, stride, padding))
    image = torch.randn(2, 6, *size, dtype=torch.float64).to(memory_format=torch.channels_last)
    gradient = torch.randn_like(theirs(image))
    used = []
    monkeypatch.setattr(
        depthwise, "_gradient_of_weight", lambda *a, f=depthwise._gradient_of_weight: used.append(1) or f(*a)
    )
    for value, expected in zip(
        with_gradients(ours, image, gradient), with_gradients(theirs, image, gradient), strict=True
    ):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    assert used


@pytest.mark.parametrize(("kernel", "stride", "padding"), CASES)
def test_bfloat16_is_as_near_to_single_precision_as_pytorch(kernel, stride, padding):
    torch.manual_seed(1)
    theirs, ours = pair(kernel, stride, padding, channels=16)
    image = torch.randn(2, 16, 24, 31).to(memory_format=torch.channels_last)
    gradient = torch.randn_like(theirs(image)).bfloat16().float()
    exact = with_gradients(theirs, image, gradient)
    results = []
    for layer in (theirs, ours):
        with torch.autocast("cpu", torch.bfloat16):
            results.append(with_gradients(layer, image, gradient))
    for name, value, other, expected in zip(("output", "image", "weight", "bias"), *results, exact, strict=True):
        assert value.dtype == other.dtype, name
        scale = expected.abs().max()
        error, other_error = ((v.float() - expected).abs().max() / scale for v in (other, value))
        assert error <= max(2 * other_error, 0.01), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_changes_without_gradients_or_in_other_precisions(dtype, monkeypatch):
    monkeypatch.setattr(depthwise._Depthwise, "apply", lambda *_: pytest.fail("taken"))
    theirs, ours = (layer.to(dtype) for layer in pair(5, 2, 2))
    image = torch.randn(1, 6, 12, 12, dtype=dtype)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=0)
    if dtype == torch.float32:
        torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=0)


def test_what_is_no_plain_depthwise_convolution_is_left():
    left = nn.ModuleDict(
        {
            "dense": nn.Conv2d(4, 4, 3),
            "grouped": nn.Conv2d(4, 4, 3, groups=2),
            "multiplied": nn.Conv2d(4, 8, 3, groups=4),
            "even": nn.Conv2d(4, 4, 2, groups=4),
            "oblong": nn.Conv2d(4, 4, (3, 5), groups=4),
            "dilated": nn.Conv2d(4, 4, 3, groups=4, dilation=2),
            "reflected": nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode="reflect"),
            "named": nn.Conv2d(4, 4, 3, groups=4, padding="same"),
            "far": nn.Conv2d(4, 4, 3, groups=4, padding=3),
        }
    )
    before = dict(left.named_children())
    convert_depthwise(left)
    assert all(left[name] is layer for name, layer in before.items())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv3_small_050", "test_convnext"])
def test_a_backbone_keeps_its_state_and_computes_the_same(name):
    torch.manual_seed(0)
    body = timm.create_model(name, features_only=True, out_indices=(-4, -3, -2, -1)).eval()
    backbone = Backbone(name, "random").eval()
    assert sum(isinstance(layer, DepthwiseConv2d) for layer in backbone.modules()) > 3
    assert list(backbone.body.state_dict()) == list(body.state_dict())
    backbone.body.load_state_dict(body.state_dict())
    image = torch.rand(1, 3, 64, 96)
    for level, expected in zip(backbone(image), body(image), strict=True):
        torch.testing.assert_close(level, expected, rtol=0, atol=0)


def test_conversion_draws_no_random_numbers():
    layer = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4))
    state = torch.get_rng_state()
    convert_depthwise(layer)
    assert torch.equal(torch.get_rng_state(), state)
