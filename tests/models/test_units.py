"""Active units of a fusion's MLP, counted from their outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from panoptic.models import AdaptiveFusion, LocalFusion, UniformFusion
from panoptic.models.complexity import ComplexityEstimate
from panoptic.models.units import HiddenUnits


def run(fusion: nn.Module, images: int = 6) -> None:
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(images, 4, 8 >> i, 8 >> i, generator=generator) for i in range(3)]
    measures = torch.rand(images, 2, generator=generator)
    fusion(levels, ComplexityEstimate(measures, measures[:, :, None, None], torch.zeros(images, 3, 1, 1)))


@pytest.mark.parametrize("variant", [AdaptiveFusion, LocalFusion])
def test_units_that_are_off_or_constant_are_not_active(variant):
    fusion = variant(4, 3, hidden=8).eval()
    with torch.no_grad():
        fusion.from_complexity.bias[:2] -= 100.0  # far where SiLU is flat
        fusion.from_complexity.weight[2] = 0.0
        layers = fusion.from_features if variant is LocalFusion else [fusion.from_features]
        for layer in layers:
            layer.weight[2] = 0.0
        if variant is LocalFusion:
            fusion.from_places.weight[2] = 0.0
    with HiddenUnits(fusion) as units:
        run(fusion)
    assert units.active_share() == 5 / 8


def test_batches_add_up_and_nothing_is_recorded_afterwards():
    activation = nn.Module()
    activation.activation = nn.Identity()
    with HiddenUnits(activation) as units:
        activation.activation(torch.tensor([[0.0, 1.0]]))
        assert units.active_share() == 0.0  # one image does not vary
        activation.activation(torch.tensor([[0.0, 1.019]]))
        assert units.active_share() == 0.0  # by 0.0095
        activation.activation(torch.tensor([[0.0, 2.0]]))
    activation.activation(torch.tensor([[100.0, 0.0]]))
    assert units.active_share() == 0.5


def test_a_fusion_without_units_has_no_share():
    fusion = UniformFusion(4, 3)
    with HiddenUnits(fusion) as units:
        run(fusion)
    assert units.active_share() is None


class Gate(nn.Module):
    """What the units of a fusion look like to the compiler, without the type checks of the tests."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.SiLU()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return 2 * self.activation(values + 1)


def test_a_compiled_network_is_not_compiled_again_for_every_batch():
    gate, compiled = Gate(), []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    torch.compiler.reset()
    fast = torch.compile(gate, backend=backend)
    with HiddenUnits(gate) as units:
        fast(torch.tensor([[0.0, 1.0]]))
        graphs = len(compiled)
        for value in (1.0, 2.0, 3.0):
            fast(torch.tensor([[0.0, value]]))
    torch.compiler.reset()
    assert len(compiled) == graphs
    assert units.active_share() == 0.5
