"""The network: equal starts, any size, gradient everywhere."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from panoptic.codec import Codec
from panoptic.complexity import UNIT_AREA
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.losses import PanopticLoss
from panoptic.models.backbone import Backbone
from panoptic.models.complexity import ComplexityEstimator
from panoptic.models.context import NoContext, PyramidPooling
from panoptic.models.fpn import FPN
from panoptic.models.fusion import AdaptiveFusion, LocalFusion, RandomFusion, StaticFusion, UniformFusion, weighted_sum
from panoptic.models.heads import InstanceHead, SemanticHead
from panoptic.models.network import Fused, PanopticNetwork
from panoptic.segments import Segments

VARIANTS = [UniformFusion, StaticFusion, AdaptiveFusion, LocalFusion, RandomFusion]
LABELS = LabelSpace(
    tuple(
        Category(name, i, isthing, (0, 0, 0))
        for i, (name, isthing) in enumerate((("road", False), ("sky", False), ("car", True), ("person", True)))
    )
)


def build(fusion=AdaptiveFusion, seed=0, upsample=4, instance_upsample=None, **parts) -> PanopticNetwork:
    return PanopticNetwork(
        **{
            "backbone": partial(Backbone, "test_resnet", "random"),
            "context": NoContext,
            "fpn": partial(FPN, channels=16),
            "complexity": partial(ComplexityEstimator, channels=8),
            "fusion": fusion,
            "semantic_head": partial(SemanticHead, channels=8, depth=1, upsample=upsample),
            "instance_head": partial(InstanceHead, channels=8, depth=1, upsample=instance_upsample or upsample),
            **parts,
        },
        num_classes=len(LABELS),
        seed=seed,
    )


def images(size=(64, 96), batch=2) -> torch.Tensor:
    return torch.randint(0, 256, (batch, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def weights(network: torch.nn.Module, without="") -> dict[str, torch.Tensor]:
    return {k: v for k, v in network.state_dict().items() if not (without and k.startswith(without))}


def are_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class TestStart:
    def test_one_seed_is_one_start(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            first = weights(build())
            torch.manual_seed(2)
            torch.rand(7)
            assert are_equal(first, weights(build()))

    def test_another_seed_is_another_start_in_every_part(self):
        first, other = weights(build(seed=0)), weights(build(seed=1))
        for part in ("backbone", "fpn", "complexity", "fusion", "semantic_head", "instance_head"):
            assert any(not torch.equal(v, other[k]) for k, v in first.items() if k.startswith(f"{part}.")), part

    @pytest.mark.parametrize(
        "fusion", [UniformFusion, StaticFusion, LocalFusion, RandomFusion, partial(AdaptiveFusion, hidden=7)]
    )
    def test_networks_that_differ_in_fusion_start_equal_elsewhere(self, fusion):
        assert are_equal(weights(build(), "fusion."), weights(build(fusion), "fusion."))

    def test_other_parts_do_not_shift_those_after_them_either(self):
        wider = build(complexity=partial(ComplexityEstimator, channels=24))
        assert are_equal(weights(build(), "complexity."), weights(wider, "complexity."))

    def test_building_leaves_the_global_random_state(self):
        before = torch.get_rng_state()
        build(seed=3)
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize(
        ("backbone", "mean", "std"),
        [
            ("resnet18", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),  # ImageNet's
            ("tf_efficientnet_lite0", [127.5] * 3, [127.5] * 3),
        ],
    )
    def test_images_are_normalized_as_the_backbone_was_pretrained(self, backbone, mean, std):
        network = build(backbone=partial(Backbone, backbone, "random"))
        for name, expected in (("mean", mean), ("std", std)):
            assert network.state_dict()[name].flatten().tolist() == torch.tensor(expected).tolist()
        image = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
        white = (255 - torch.tensor(mean)) / torch.tensor(std)
        torch.testing.assert_close(network.normalize(image)[0, :, 5, 7], white)


class TestForward:
    @pytest.mark.parametrize("size", [(37, 61), (32, 32), (1, 1), (64, 96), (65, 33)])
    @pytest.mark.parametrize("upsample", [1, 2, 4])
    def test_maps_cover_an_image_of_any_size(self, size, upsample):
        network = build(upsample=upsample).eval()
        stride = 4 // upsample
        assert network.stride == stride
        assert network.complexity_stride == 16
        outputs = network(images(size))
        cells = tuple(-(-side // stride) for side in size)
        assert outputs.semantic.shape == (2, 4, *cells)
        assert outputs.center.shape == (2, *cells)
        assert outputs.offset.shape == (2, 2, *cells)
        assert outputs.complexity.shape == (2, 2)
        assert outputs.complexity_map.shape == (2, 2, *(-(-side // 16) for side in size))
        assert outputs.complexity_cells.shape == (2, 3, *outputs.complexity_map.shape[2:])
        # All that is counted is in the image.
        expected = (outputs.complexity_cells[:, 0].sum((1, 2)) * UNIT_AREA / (size[0] * size[1])).log1p()
        torch.testing.assert_close(outputs.complexity[:, 0], expected)
        assert all(values.isfinite().all() for values in outputs)

    @pytest.mark.parametrize("size", [(37, 61), (33, 64)])
    def test_maps_fit_the_targets_of_the_codec(self, size):
        network = build(upsample=2).eval()
        codec = Codec(LABELS, stride=network.stride, complexity_stride=network.complexity_stride)
        targets, outputs = codec.encode(segments(size)), network(images(size))
        assert targets.center.shape == outputs.center.shape
        assert targets.offset.shape == outputs.offset.shape
        assert targets.complexity_map.shape == outputs.complexity_map.shape
        assert targets.complexity_cells.shape == outputs.complexity_cells.shape
        assert codec.decode(outputs, size).size == size

    @pytest.mark.parametrize("fusion", VARIANTS)
    def test_the_pipeline_part_by_part_bit_for_bit(self, fusion):
        network, size = build(fusion, upsample=2).eval(), (37, 61)
        levels = network.fpn(network.backbone(network.normalize(images(size))))
        inside = (37 / 4, 61 / 4)
        complexity = network.complexity(levels, inside)
        fused, alpha = network.fusion(levels, complexity, inside)
        center, offset = network.instance_head(fused)
        maps = (part[..., :19, :31] for part in (network.semantic_head(fused), center, offset))
        expected = (*maps, complexity.image, complexity.map[..., :3, :4], complexity.cells[..., :3, :4], alpha)
        for value, part in zip(network(images(size)), expected, strict=True):
            assert torch.equal(value, part)

    @pytest.mark.parametrize("fusion", VARIANTS)
    def test_levels_fused_with_the_networks_own_weights_give_its_outputs(self, fusion):
        network, size = build(fusion).eval(), (37, 61)
        expected = network(images(size))
        levels = network.levels(images(size))
        complexity = network.estimate(levels, size)
        found = network.outputs(Fused(weighted_sum(levels, expected.alpha), expected.alpha), complexity, size)
        for value, part in zip(found, expected, strict=True):
            assert torch.equal(value, part)

    def test_bytes_and_floats_agree(self):
        network = build().eval()
        for of_bytes, of_floats in zip(network(images()), network(images().float()), strict=True):
            assert torch.equal(of_bytes, of_floats)

    def test_normalization_by_hand(self):
        # (255 - 123.675) / 58.395, (0 - 116.28) / 57.12 and (103.53 - 103.53) / 57.375; zeros where padded.
        image = torch.tensor([255.0, 0.0, 103.53]).view(1, 3, 1, 1).expand(1, 3, 33, 32)
        normalized = build(backbone=partial(Backbone, "resnet18", "random")).normalize(image)
        assert normalized.shape == (1, 3, 64, 32)
        assert normalized[0, :, 32, 31].tolist() == pytest.approx([2.248908, -2.035714, 0.0], abs=1e-5)
        assert not normalized[:, :, 33:].any()

    def test_memory_format_does_not_matter(self):
        network = build().eval()
        plain = network(images().contiguous())
        channels_last = network(images().contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(tuple(plain), tuple(channels_last), rtol=1e-4, atol=1e-5)

    def test_images_of_a_batch_do_not_see_each_other(self):
        network = build(LocalFusion).eval()
        together = network(images())
        alone = network(images()[1:])
        torch.testing.assert_close(tuple(alone), tuple(values[1:] for values in together), rtol=1e-4, atol=1e-5)


class TestLevels:
    def test_outputs_of_levels_are_those_of_fusing_with_all_weight_on_one(self):
        network = build().eval()
        outputs, of_levels = network.with_levels(images())
        assert torch.equal(outputs.semantic, network(images()).semantic)
        levels = network.levels(images())
        for i, level in enumerate(of_levels):
            alpha = torch.eye(3)[i].expand(2, -1)
            expected = network.outputs(
                Fused(weighted_sum(levels, alpha), alpha), network.estimate(levels, (64, 96)), (64, 96)
            )
            torch.testing.assert_close(level.semantic, expected.semantic)
            torch.testing.assert_close(level.offset, expected.offset)

    def test_statistics_are_those_of_the_fused_map(self):
        alone, supervised = build().train(), build().train()
        alone(images())
        supervised.with_levels(images())
        for (name, expected), value in zip(alone.named_buffers(), supervised.buffers(), strict=True):
            if "running" in name:
                torch.testing.assert_close(value, expected, msg=name)
        assert {norm.momentum for norm in supervised.modules() if isinstance(norm, torch.nn.BatchNorm2d)} == {0.1}


def test_heads_can_have_a_fusion_each():
    network = build(fusion=StaticFusion, fusion_per_head=True).eval()
    before = network(images())
    with torch.no_grad():
        network.instance_fusion.logits.copy_(torch.tensor([5.0, 0.0, -5.0]))
    after = network(images())
    assert torch.equal(before.semantic, after.semantic)
    assert torch.equal(before.alpha, after.alpha)
    assert (before.center - after.center).abs().max() > 1e-4
    assert build().instance_fusion is None


def test_context_reaches_the_coarsest_level_and_has_the_image_alone():
    network = build(context=partial(PyramidPooling, channels=12)).eval()
    seen = []
    network.context.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    network(images((48, 80)))
    level, inside = seen[0]
    assert level.shape[2:] == (2, 3)  # padded to whole cells of 32
    assert inside == (2, 3)
    assert network.fpn.lateral[-1].in_channels == 12


def test_statistics_of_norms_have_the_momentum_that_is_asked_for():
    network = build(norm_momentum=0.03)
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.03}
    assert len(norms) > 10
    with pytest.raises(InputError, match=r"^norm_momentum: expected a number in \(0, 1\], got 0"):
        build(norm_momentum=0)


def segments(size=(64, 96), batch=2) -> Segments:
    ids = torch.ones(batch, *size, dtype=torch.int32)
    ids[:, : size[0] // 2] = 2
    ids[0, 4:20, 8:24], ids[0, 10:30, 30:44], ids[1, 8:24, 8:32] = 3, 4, 3
    classes = torch.tensor([[0, 1, 2, 3], [0, 1, 2, -1]])[:batch]
    return Segments(ids, classes, torch.zeros_like(classes, dtype=torch.bool))


@pytest.mark.parametrize("fusion", VARIANTS)
def test_every_parameter_gets_gradient(fusion):
    """Within two steps: the last normalization of each residual block starts at 0, which holds back the first."""
    network = build(fusion).train()
    codec = Codec(LABELS, stride=network.stride, complexity_stride=network.complexity_stride)
    loss, targets = PanopticLoss(), codec.encode(segments())
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    missing = {name for name, _ in network.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        loss(network(images()), targets)["total"].backward()
        missing -= {n for n, p in network.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
        optimizer.step()
    assert missing == set()


@pytest.mark.parametrize("fusion", VARIANTS)
def test_a_few_steps_lower_the_loss(fusion):
    network = build(fusion).train()
    codec = Codec(LABELS, stride=network.stride, complexity_stride=network.complexity_stride)
    loss, targets = PanopticLoss(), codec.encode(segments())
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        total = loss(network(images()), targets)["total"]
        total.backward()
        optimizer.step()
        values.append(total.item())
    assert values[-1] < 0.8 * values[0]


def test_parameters_of_the_full_model_are_within_their_budget():
    """ResNet-50 with the widths of the full configuration: 23.5 million are its own."""
    network = build(
        backbone=partial(Backbone, "resnet50", "random"),
        fpn=partial(FPN, channels=128),
        complexity=partial(ComplexityEstimator, channels=64),
        semantic_head=partial(SemanticHead, channels=128, depth=2, upsample=4),
        instance_head=partial(InstanceHead, channels=128, depth=2, upsample=4),
    )
    assert sum(p.numel() for p in network.backbone.parameters()) == 23_508_032
    assert sum(p.numel() for p in network.parameters()) <= 28_050_000


def test_heads_at_two_strides_are_refused():
    with pytest.raises(InputError, match=r"semantic_head.upsample=2 and instance_head.upsample=4"):
        build(upsample=2, instance_upsample=4)


@pytest.mark.parametrize("upsample", [3, 8])
def test_an_upsampling_that_does_not_divide_the_finest_stride_is_refused(upsample):
    with pytest.raises(InputError, match=f"upsample: expected a divisor of the finest stride, 4, got {upsample}"):
        build(upsample=upsample)
