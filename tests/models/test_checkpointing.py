"""Gradient checkpointing: the same numbers as without, from fewer activations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from panoptic.errors import InputError
from panoptic.models.backbone import Backbone


def make(checkpointing: bool, name="resnet18") -> Backbone:
    torch.manual_seed(0)
    return Backbone(name, "random", checkpointing)


def steps(backbone: nn.Module, count=2) -> int:
    """Some training steps without an optimizer; the bytes of activations that the last forward pass kept."""
    kept = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        if not isinstance(tensor, nn.Parameter):
            kept += tensor.numel() * tensor.element_size()
        return tensor

    for i in range(count):
        images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(i))
        kept = 0
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            features = backbone(images)
        total = sum((feature**2).mean() for feature in features)
        size = kept
        total.backward()
    return size


def test_gradients_and_statistics_are_the_same_from_fewer_activations():
    plain, checkpointed = make(False), make(True)
    size, smaller = steps(plain), steps(checkpointed)
    assert smaller < size / 2
    for (name, one), (_, other) in zip(plain.named_parameters(), checkpointed.named_parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-4, atol=1e-6), name
    for name, value in plain.state_dict().items():  # running statistics and their counts too
        assert torch.allclose(value, checkpointed.state_dict()[name], rtol=1e-5), name


def test_exchanged_norms_count_once_too():
    """Norms are exchanged for synchronized ones after the network is built."""
    plain, checkpointed = make(False), make(True)
    for backbone in (plain, checkpointed):
        for name, module in list(backbone.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                backbone.set_submodule(name, nn.BatchNorm2d(module.num_features))
    steps(plain), steps(checkpointed)
    assert torch.allclose(plain.body.layer2[0].bn1.running_var, checkpointed.body.layer2[0].bn1.running_var)
    assert checkpointed.body.layer2[0].bn1.num_batches_tracked == 2


def test_evaluation_is_as_without():
    plain, checkpointed = make(False).eval(), make(True).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for one, other in zip(plain(images), checkpointed(images), strict=True):
            assert torch.equal(one, other)


def test_a_model_that_cannot_is_named():
    with pytest.raises(InputError, match=r"^checkpointing: expected .* got 'hrnet_w18_small'"):
        Backbone("hrnet_w18_small", "random", True)
