"""Fusion: weighted sums by hand, and where each variant takes its weights from."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from panoptic.errors import InputError
from panoptic.models.complexity import ComplexityEstimate
from panoptic.models.fusion import (
    BOUND,
    AdaptiveFusion,
    FeaturesFusion,
    LocalFusion,
    RandomFusion,
    SizedFusion,
    StaticFusion,
    UniformFusion,
    pool,
    weighted_sum,
)

VARIANTS = [UniformFusion, StaticFusion, AdaptiveFusion, FeaturesFusion, LocalFusion, SizedFusion]
CHANNELS, LEVELS = 8, 3


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def levels(batch=2, size=(16, 24)) -> list[torch.Tensor]:
    return [torch.randn(batch, CHANNELS, size[0] >> i, size[1] >> i, requires_grad=True) for i in range(LEVELS)]


def estimate(batch=2, place=(4, 6)) -> ComplexityEstimate:
    image, places = torch.rand(batch, 2, requires_grad=True), torch.rand(batch, 2, *place, requires_grad=True)
    return ComplexityEstimate(image, places, torch.rand(batch, 3, *place, requires_grad=True))


def with_large_weights(fusion: torch.nn.Module) -> torch.nn.Module:
    """As it might be after training: far from uniform."""
    logits = fusion.logits if isinstance(fusion.logits, torch.nn.Parameter) else fusion.logits.weight
    torch.nn.init.normal_(logits, std=1.0)
    return fusion


def test_weighted_sum_by_hand_with_weights_of_the_image():
    fine, coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[[[10.0]]]])
    fused = weighted_sum([fine, coarse], torch.tensor([[0.75, 0.25]]))
    assert fused.tolist() == [[[[3.25, 4.0], [4.75, 5.5]]]]  # 0.75 x + 2.5


def test_weighted_sum_by_hand_with_weights_of_places():
    fine, coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([[[[10.0]]]])
    first = torch.tensor([[1.0, 0.5], [0.0, 0.25]])
    fused = weighted_sum([fine, coarse], torch.stack([first, 1 - first])[None])
    assert fused.tolist() == [[[[1.0, 6.0], [10.0, 8.5]]]]  # 1; 1 + 5; 10; 1 + 7.5


def test_coarse_levels_are_enlarged_bilinearly():
    # Cells of the coarse level, 0 and 8, lie between the fine ones: 0, 1/4, 3/4 and 1 of the way.
    fused = weighted_sum([torch.zeros(1, 1, 1, 4), torch.tensor([[[[0.0, 8.0]]]])], torch.tensor([[0.5, 0.5]]))
    assert fused.flatten().tolist() == [0.0, 1.0, 3.0, 4.0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("trained", [False, True])
def test_alpha_is_positive_and_sums_to_one(variant, trained):
    fusion = variant(CHANNELS, LEVELS)
    if trained and variant is not UniformFusion:
        fusion = with_large_weights(fusion)
    maps, complexity = levels(), estimate()
    fused, alpha = fusion(maps, complexity)
    assert alpha.shape == ((2, 3, 16, 24) if issubclass(variant, LocalFusion) else (2, 3))
    assert (alpha > 0).all()
    torch.testing.assert_close(alpha.sum(1), torch.ones_like(alpha[:, 0]))
    torch.testing.assert_close(fused, weighted_sum(maps, alpha))


@pytest.mark.parametrize("variant", VARIANTS)
def test_averages_may_be_given_as_for_tiles(variant):
    fusion, maps, complexity, inside = variant(CHANNELS, LEVELS).eval(), levels(), estimate(), (15.5, 23.0)
    if variant is not UniformFusion:
        fusion = with_large_weights(fusion)
    for found, expected in zip(
        fusion(maps, complexity, inside, pool(maps, inside)), fusion(maps, complexity, inside), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_starts_within_a_hundredth_of_uniform(variant):
    _, alpha = variant(CHANNELS, LEVELS)(levels(), estimate())
    assert (alpha - 1 / 3).abs().max() < 0.01


@pytest.mark.parametrize("variant", VARIANTS)
def test_levels_that_agree_are_kept_whatever_the_weights(variant):
    fusion = variant(CHANNELS, LEVELS)
    if variant is not UniformFusion:
        fusion = with_large_weights(fusion)
    constant = torch.randn(2, CHANNELS, 1, 1)
    fused, _ = fusion([constant.expand(-1, -1, 16 >> i, 24 >> i) for i in range(3)], estimate())
    torch.testing.assert_close(fused, constant.expand(-1, -1, 16, 24))


def test_uniform_is_the_mean_and_has_nothing_to_learn():
    fusion = UniformFusion(CHANNELS, LEVELS)
    maps = [torch.randn(2, CHANNELS, 4, 6) for _ in range(3)]
    fused, alpha = fusion(maps, estimate())
    torch.testing.assert_close(fused, torch.stack(maps).mean(0))
    assert torch.equal(alpha, torch.full((2, 3), 1 / 3))
    assert list(fusion.parameters()) == []


def test_random_weights_are_uniform_over_the_simplex():
    """Of Dirichlet(1, 1, 1), each weight has mean 1/3 and variance 1/18, and two have covariance -1/36."""
    fusion, images = RandomFusion(1, LEVELS).train(), 100_000
    maps = [torch.full((images, 1, 1, 1), float(value)) for value in (1, 2, 6)]
    fused, alpha = fusion(maps, estimate(images, (1, 1)))
    assert alpha.shape == (images, 3)
    assert (alpha >= 0).all()
    torch.testing.assert_close(alpha.sum(1), torch.ones(images))
    torch.testing.assert_close(fused.flatten(), alpha @ torch.tensor([1.0, 2.0, 6.0]))
    assert alpha.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.004)
    assert alpha.T.cov().flatten().tolist() == pytest.approx(
        [1 / 18 if i == j else -1 / 36 for i in range(3) for j in range(3)], abs=0.001
    )
    assert (alpha[:, 0] < 0.5).float().mean().item() == pytest.approx(3 / 4, abs=0.006)  # 1 - (1 - 1/2)²


def test_random_weights_repeat_with_the_seed_and_are_uniform_in_evaluation():
    fusion, maps, complexity = RandomFusion(CHANNELS, LEVELS), levels(), estimate()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(fusion(maps, complexity, None)[1])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0][0], drawn[0][1])  # an image, and another of its batch
    assert torch.equal(fusion.eval()(maps, complexity)[1], UniformFusion(CHANNELS, LEVELS)(maps, complexity)[1])
    assert list(fusion.parameters()) == []


def test_static_is_the_same_for_every_image_and_its_gradient_by_hand():
    fusion = StaticFusion(CHANNELS, LEVELS)
    maps = [torch.full((2, CHANNELS, 2, 2), float(value)) for value in (1, 2, 6)]
    fused, alpha = fusion(maps, estimate())
    assert torch.equal(alpha[0], alpha[1])
    fused.mean().backward()
    # The softmax's: α_i (x_i - Σ α x), with α = 1/3 and a mean of 3; at 0, the bound does not bend.
    assert fusion.logits.grad.tolist() == pytest.approx([-2 / 3, -1 / 3, 1.0], abs=1e-6)


def test_static_by_hand():
    fusion = StaticFusion(1, 3)
    with torch.no_grad():  # about any mean; bent by the bound to logarithms of 1, 2 and 4
        fusion.logits.copy_(7.0 + BOUND * torch.atanh(torch.tensor([0.5, 1.0, 2.0]).log() / BOUND))
    fused, alpha = fusion([torch.full((1, 1, 1, 1), value) for value in (7.0, 14.0, 21.0)], estimate(1))
    assert alpha[0].tolist() == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    assert fused.item() == pytest.approx(1 + 4 + 12, rel=1e-6)


@pytest.mark.parametrize("variant", [AdaptiveFusion, LocalFusion])
def test_alpha_depends_on_complexity_and_on_features(variant):
    fusion = with_large_weights(variant(CHANNELS, LEVELS)).eval()
    maps, complexity = levels(), estimate()
    _, alpha = fusion(maps, complexity)
    _, of_other_complexity = fusion(maps, ComplexityEstimate(*(values + 3 for values in complexity)))
    _, of_other_features = fusion([maps[0].flip(1), *maps[1:]], complexity)
    assert (alpha - of_other_complexity).abs().max() > 0.01
    assert (alpha - of_other_features).abs().max() > 0.01


@pytest.mark.parametrize("variant", [AdaptiveFusion, LocalFusion])
@pytest.mark.parametrize("training", [False, True])
def test_images_of_a_batch_do_not_see_each_other(variant, training):
    fusion = with_large_weights(variant(CHANNELS, LEVELS)).train(training)
    again = copy.deepcopy(fusion)
    maps, complexity = levels(), estimate()
    fused, alpha = fusion(maps, complexity)
    assert (alpha[0] - alpha[1]).abs().max() > 0.01
    alone = again([level[1:] for level in maps], ComplexityEstimate(*(values[1:] for values in complexity)))
    torch.testing.assert_close(alone, (fused[1:], alpha[1:]))


def test_features_fusion_is_adaptive_fusion_with_complexity_cut():
    """It starts from the same weights, and equals adaptive fusion on an image of average complexity."""
    cut, whole = (with_same_weights(variant) for variant in (FeaturesFusion, AdaptiveFusion))
    maps, complexity = levels(), estimate()
    (_, alpha), (_, other) = cut(maps, complexity), cut(maps, ComplexityEstimate(*(v + 3 for v in complexity)))
    assert torch.equal(alpha, other)
    average = complexity._replace(image=whole.standardize_complexity.running_mean.expand(2, 2))
    torch.testing.assert_close(whole(maps, average)[1], alpha)
    assert (whole(maps, complexity)[1] - alpha).abs().max() > 0.01


def with_same_weights(variant):
    torch.manual_seed(1)
    return with_large_weights(variant(CHANNELS, LEVELS)).eval()


@pytest.mark.parametrize("variant", [AdaptiveFusion, FeaturesFusion])
def test_weights_do_not_depend_on_padding(variant):
    fusion = with_large_weights(variant(CHANNELS, LEVELS)).eval()
    maps, complexity = levels(size=(16, 24)), estimate()
    inside = (13.5, 17.0)  # 14 x 17 cells of the finest level, 7 x 9 and 4 x 5 of the coarser ones
    cells = [(14, 17), (7, 9), (4, 5)]
    torch.testing.assert_close(
        pool(maps, inside), torch.cat([m[..., :h, :w].mean((2, 3)) for m, (h, w) in zip(maps, cells, strict=True)], 1)
    )
    filled = [m.detach().clone() for m in maps]
    for level, (rows, columns) in zip(filled, cells, strict=True):
        level[..., rows:, :] = 1e3
        level[..., columns:] = -1e3
    assert torch.equal(fusion(maps, complexity, inside)[1], fusion(filled, complexity, inside)[1])
    assert (fusion(maps, complexity)[1] - fusion(filled, complexity)[1]).abs().max() > 0.01


@pytest.mark.parametrize("trained", [False, True])
def test_adaptive_sends_gradient_to_the_estimate_of_the_image(trained):
    fusion = AdaptiveFusion(CHANNELS, LEVELS)
    fusion = with_large_weights(fusion) if trained else fusion
    complexity = estimate()
    fused, _ = fusion(levels(), complexity)
    fused.square().mean().backward()
    assert (complexity.image.grad != 0).all()
    assert complexity.map.grad is None
    assert all((parameter.grad != 0).any() for parameter in fusion.parameters())


@pytest.mark.parametrize("trained", [False, True])
def test_local_sends_gradient_to_both_estimates(trained):
    fusion = LocalFusion(CHANNELS, LEVELS)
    fusion = with_large_weights(fusion) if trained else fusion
    complexity = estimate()
    fused, _ = fusion(levels(), complexity)
    fused.square().mean().backward()
    assert (complexity.map.grad != 0).all()
    assert (complexity.image.grad != 0).all()
    assert all((parameter.grad != 0).any() for parameter in fusion.parameters())


def test_local_varies_over_place_and_with_the_map_there():
    fusion = with_large_weights(LocalFusion(CHANNELS, LEVELS)).eval()
    maps, complexity = levels(), estimate()
    _, alpha = fusion(maps, complexity)
    assert alpha.std(dim=(2, 3)).min() > 0.01
    changed = complexity.map.detach().clone()
    changed[:, :, :, 5] += 3.0  # the last column, whose middle is that of columns 20 to 23 of the finest level
    _, other = fusion(maps, complexity._replace(map=changed))
    difference = (alpha - other).abs().amax(dim=(0, 1, 2))
    assert difference[-4:].min() > 0.01
    assert difference[:16].max() == 0
    assert difference[18:20].min() > 0


def test_local_by_hand():
    # One hidden unit: 1 x density of the image + 2 x density here + 3 x fine + 4 x coarse; logits 0 and half of it.
    fusion = LocalFusion(1, 2, hidden=1).eval()  # standardized with a mean of 0 and a variance of 1
    with torch.no_grad():
        fusion.from_complexity.weight.copy_(torch.tensor([[1.0, 0.0]]))
        fusion.from_complexity.bias.zero_()
        fusion.from_places.weight.copy_(torch.tensor([2.0, 0.0]).view(1, 2, 1, 1))
        for layer, weight in zip(fusion.from_features, (3.0, 4.0), strict=True):
            layer.weight.fill_(weight)
        fusion.logits.weight.copy_(torch.tensor([0.0, 0.5]).view(2, 1, 1, 1))
        fusion.logits.bias.zero_()
    here = torch.tensor([[[[0.2]], [[9.0]]]])
    complexity = ComplexityEstimate(torch.tensor([[0.1, 9.0]]), here, torch.zeros(1, 3, 1, 1))
    fine, coarse = torch.tensor([[[[0.0, 1.0], [-1.0, 0.5]]]]), torch.tensor([[[[0.25]]]])
    fused, alpha = fusion([fine, coarse], complexity)
    for (row, column), value in {(0, 0): 0.0, (0, 1): 1.0, (1, 0): -1.0, (1, 1): 0.5}.items():
        unit = 0.1 + 2 * 0.2 + 3 * value + 4 * 0.25
        about_mean = 0.25 * unit / (1 + math.exp(-unit))
        share = 1 / (1 + math.exp(2 * BOUND * math.tanh(about_mean / BOUND)))
        assert alpha[0, 0, row, column].item() == pytest.approx(share, abs=1e-6)
        assert fused[0, 0, row, column].item() == pytest.approx(share * value + (1 - share) * 0.25, abs=1e-6)


@pytest.mark.parametrize("variant", [StaticFusion, AdaptiveFusion, LocalFusion])
def test_no_level_is_ever_shut_off(variant):
    fusion = variant(CHANNELS, LEVELS)
    torch.nn.init.normal_(fusion.logits if variant is StaticFusion else fusion.logits.weight, std=1e4)
    _, alpha = fusion(levels(), estimate())
    assert (alpha.amax() - alpha.amin()) > 0.4
    least = math.exp(-BOUND) / (math.exp(-BOUND) + 2 * math.exp(BOUND))
    assert alpha.min() >= least * 0.999
    assert alpha.max() <= 1 - 2 * least


def test_local_takes_a_map_of_any_size():
    maps = levels(size=(16, 24))
    _, alpha = LocalFusion(CHANNELS, LEVELS)(maps, estimate(place=(1, 2)))
    assert alpha.shape == (2, 3, 16, 24)


@pytest.mark.parametrize("variant", [StaticFusion, AdaptiveFusion, LocalFusion])
def test_a_negative_learning_rate_is_refused(variant):
    with pytest.raises(InputError, match=r"^lr: expected at least 0, got -0.1"):
        variant(CHANNELS, LEVELS, lr=-0.1)


@pytest.mark.parametrize("variant", [AdaptiveFusion, LocalFusion])
def test_a_width_below_one_is_refused(variant):
    with pytest.raises(InputError, match=r"^hidden: expected at least 1, got 0"):
        variant(CHANNELS, LEVELS, hidden=0)


@pytest.mark.parametrize("variant", [*VARIANTS, RandomFusion])
def test_weights_are_in_single_precision_for_all(variant):
    """Under autocast too, so that variants do not differ in how they round."""
    fusion = variant(CHANNELS, LEVELS)
    maps = [level.detach().bfloat16() for level in levels()]
    with torch.autocast("cpu", torch.bfloat16):
        fused, alpha = fusion(maps, estimate())
    assert (fused.dtype, alpha.dtype) == (torch.float32, torch.float32)
