"""Adaptive fusion learns to choose levels where the right level depends on the image, and stays able to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from panoptic.models import AdaptiveFusion, FeaturesFusion, LocalFusion, StaticFusion, UniformFusion
from panoptic.models.complexity import ComplexityEstimate
from panoptic.models.units import HiddenUnits
from panoptic.training import adamw_cosine, muon_cosine

CHANNELS, STEPS, BATCH = 8, 200, 32
OPTIMIZERS = {
    "muon": lambda network: muon_cosine(network, STEPS, lr=0.02, weight_decay=1e-4, warmup=0.1),
    "adamw": lambda network: adamw_cosine(network, STEPS, lr=3e-3, weight_decay=1e-4, warmup=0.1),
}


class Classifier(nn.Module):
    """Linear classifier of the fused map, averaged."""

    def __init__(self, fusion: nn.Module) -> None:
        super().__init__()
        self.fusion = fusion
        self.head = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, levels: list[torch.Tensor], density: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        complexity = ComplexityEstimate(
            torch.stack([density, torch.zeros_like(density)], 1),
            torch.zeros(len(density), 2, 1, 1),
            torch.zeros(len(density), 3, 1, 1),
        )
        fused, alpha = self.fusion(levels, complexity)
        return self.head(fused).mean((1, 2, 3)), alpha


def images(count: int, generator: torch.Generator, *, shown_by: str):
    """Images of two kinds, whose class, the sign of a channel, only the fine or only the coarse level shows.

    The other level shows a random sign there, so that no fixed weighting of the levels has the class of both kinds. The
    kind is a small part of a large direction that all images share, as with real pooled features, or of the density.
    """
    flags = torch.randint(2, (3, count), generator=generator)
    (is_fine, positive, other), kind = flags.bool(), 2 * flags[0] - 1.0
    label, distractor = 2.0 * positive - 1, 2.0 * other - 1
    fine, middle, coarse = (0.25 * torch.randn(count, CHANNELS, size, size, generator=generator) for size in (4, 2, 1))
    fine[:, 0] += torch.where(is_fine, label, distractor)[:, None, None]
    coarse[:, 0] += torch.where(is_fine, distractor, label)[:, None, None]
    hint = {"features": torch.zeros(count), "complexity": torch.zeros(count)} | {shown_by: 0.3 * kind}
    for level in (fine, middle, coarse):
        level[:, 1] += 3 + hint["features"][:, None, None]
    density = 2 + hint["complexity"]
    return [fine, middle, coarse], density, is_fine, positive


def trained(variant: type[nn.Module], optimizer: str, seed: int, shown_by: str = "features"):
    """Accuracy on new images, α by kind, and the share of active units of a fusion after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        options = {} if variant is UniformFusion else {"lr": 0.003}  # the run is short
        network = Classifier(variant(CHANNELS, 3, **options))
    steps, schedule = OPTIMIZERS[optimizer](network)
    for _ in range(STEPS):
        levels, density, _, positive = images(BATCH, generator, shown_by=shown_by)
        logits, _ = network(levels, density)
        loss = F.binary_cross_entropy_with_logits(4 * logits, positive.float())
        steps.zero_grad()
        loss.backward()
        steps.step()
        schedule.step()
    network.eval()
    levels, density, is_fine, positive = images(1000, generator, shown_by=shown_by)
    with torch.no_grad(), HiddenUnits(network.fusion) as units:
        logits, alpha = network(levels, density)
    alpha = alpha.flatten(2).mean(2) if alpha.ndim > 2 else alpha
    accuracy = ((logits > 0) == positive).float().mean().item()
    return accuracy, alpha[is_fine].mean(0) - alpha[~is_fine].mean(0), units.active_share()


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (3, 4))])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_alpha_separates_kinds_of_images_and_beats_fixed_weights(optimizer, seed):
    fixed = [trained(variant, optimizer, seed)[0] for variant in (UniformFusion, StaticFusion)]
    assert max(fixed) < 0.85  # three quarters: the class where both signs agree, else a guess
    accuracy, separation, active = trained(AdaptiveFusion, optimizer, seed)
    assert accuracy > 0.95
    assert separation[0] > 0.4  # more of the fine level for images whose class is there
    assert separation[2] < -0.4
    assert active >= 0.9


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_complexity_alone_is_enough_and_without_it_nothing_is_left(optimizer):
    with_complexity, separation, active = trained(AdaptiveFusion, optimizer, 0, "complexity")
    assert with_complexity > 0.95
    assert separation[0] > 0.4
    assert active >= 0.9
    assert trained(FeaturesFusion, optimizer, 0, "complexity")[0] < 0.85


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_local_weights_separate_kinds_too(optimizer):
    accuracy, separation, active = trained(LocalFusion, optimizer, 0, "complexity")
    assert accuracy > 0.95
    assert separation[0] > 0.3
    assert active >= 0.9
