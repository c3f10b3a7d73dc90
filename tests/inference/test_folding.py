"""Folding: the same outputs, without BatchNorm, for every backbone and whatever cannot be traced."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from panoptic.inference.folding import fold_batchnorm
from panoptic.models.backbone import Backbone
from panoptic.models.complexity import ComplexityEstimator
from panoptic.models.context import NoContext, PyramidPooling
from panoptic.models.fpn import FPN
from panoptic.models.fusion import AdaptiveFusion, LocalFusion
from panoptic.models.heads import InstanceHead, SemanticHead
from panoptic.models.network import PanopticNetwork


def build(name: str, fusion=AdaptiveFusion, context=NoContext) -> nn.Module:
    return PanopticNetwork(
        backbone=partial(Backbone, name, "random"),
        context=context,
        fpn=partial(FPN, channels=16),
        complexity=partial(ComplexityEstimator, channels=8),
        fusion=fusion,
        semantic_head=partial(SemanticHead, channels=8, depth=2),
        instance_head=partial(InstanceHead, channels=8, depth=1),
        num_classes=5,
    )


def give_statistics(network: nn.Module) -> nn.Module:
    """BatchNorm as after training, rather than the identity."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.2, 0.2),
            ):
                values.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)
    return network.eval()


def count_norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_context_is_folded_too():
    network = give_statistics(build("test_resnet", context=partial(PyramidPooling, channels=8)))
    folded = fold_batchnorm(network)
    assert count_norms(folded) == 0
    images = torch.randint(256, (2, 3, 70, 90), dtype=torch.uint8)
    torch.testing.assert_close(folded(images).semantic, network(images).semantic, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("head", [SemanticHead(8, 5, channels=8, separable=True), InstanceHead(8, separable=True)])
def test_separable_heads_are_folded(head):
    folded = fold_batchnorm(give_statistics(head))
    assert count_norms(folded) == 0
    fused = torch.randn(2, 8, 6, 10)
    torch.testing.assert_close(folded(fused), head(fused), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "left"),
    # EfficientNet's BatchNorm and its activation are one module, which stays; so do ConvNeXt's LayerNorms.
    [("test_resnet", 0), ("resnet18", 0), ("test_efficientnet", None), ("test_convnext", 0)],
)
@pytest.mark.parametrize("fusion", [AdaptiveFusion, LocalFusion])
def test_outputs_are_the_same_without_batchnorm(name, left, fusion):
    network = give_statistics(build(name, fusion))
    folded = fold_batchnorm(network)
    images = torch.randint(0, 256, (2, 3, 70, 101), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, got = network(images), folded(images)
    for field, one, other in zip(expected._fields, expected, got, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5), field
    assert count_norms(folded) < count_norms(network)
    assert left is None or count_norms(folded) == left


def test_the_network_itself_stays_as_it_was():
    network = give_statistics(build("test_resnet")).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold_batchnorm(network)
    assert network.training
    assert not folded.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert folded.stride == network.stride


class Untraceable(nn.Module):
    """Branches on values, which tracing cannot follow; inside are layers that it can."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x):
        return self.layers(x) if x.sum() > 0 else self.layers(-x)


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = nn.ModuleDict({"inner": Untraceable()})

    def forward(self, x):
        return self.part["inner"](x)


def test_what_cannot_be_traced_is_folded_inside():
    network = give_statistics(Whole())
    folded = fold_batchnorm(network)
    assert count_norms(folded) == 0
    for sign in (-1.0, 1.0):
        x = sign * torch.rand(1, 3, 8, 8)
        assert torch.allclose(network(x), folded(x), atol=1e-5)


def test_a_convolution_that_others_read_is_not_folded():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            x = self.conv(x)
            return x + self.norm(x)

    network = nn.Module()
    network.part = nn.ModuleDict({"inner": Shared()})
    give_statistics(network)
    folded = fold_batchnorm(network)
    x = torch.rand(1, 3, 4, 4)
    assert count_norms(folded) == 1
    assert torch.allclose(network.part["inner"](x), folded.part["inner"](x))
