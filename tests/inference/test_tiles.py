"""Prediction in tiles: parts of an image, blended seams, and what the whole image gives."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from panoptic.codec import Codec
from panoptic.errors import InputError
from panoptic.inference import tiles
from panoptic.inference.folding import fold_batchnorm
from panoptic.inference.predictor import Predictor
from panoptic.inference.tiles import Blender, Tiling, parts_along, predict_tiled
from panoptic.labels import Category, LabelSpace
from panoptic.models.backbone import Backbone
from panoptic.models.complexity import ComplexityEstimator
from panoptic.models.context import NoContext
from panoptic.models.fpn import FPN
from panoptic.models.fusion import AdaptiveFusion, LocalFusion, SizedFusion, UniformFusion
from panoptic.models.heads import InstanceHead, SemanticHead
from panoptic.models.network import PanopticNetwork

LABELS = LabelSpace(
    tuple(
        Category(name, i, isthing, (0, 0, 0))
        for i, (name, isthing) in enumerate((("road", False), ("sky", False), ("car", True), ("person", True)))
    )
)
CPU = torch.device("cpu")


def build(fusion, upsample=4, per_head=False) -> PanopticNetwork:
    """A small network whose outputs differ from place to place, as after training."""
    network = PanopticNetwork(
        backbone=partial(Backbone, "test_resnet", "random"),
        context=NoContext,
        fpn=partial(FPN, channels=16),
        complexity=partial(ComplexityEstimator, channels=8),
        fusion=fusion,
        semantic_head=partial(SemanticHead, channels=8, depth=1, upsample=upsample),
        instance_head=partial(InstanceHead, channels=8, depth=1, upsample=upsample),
        fusion_per_head=per_head,
        num_classes=len(LABELS),
        seed=1,
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for head in (network.semantic_head.logits, network.instance_head.center, network.instance_head.offset):
            head.conv.weight.copy_(40 * torch.randn(head.conv.weight.shape, generator=generator))
            head.conv.bias.zero_()
        for module in (network.fusion, network.instance_fusion):
            if module is not None and hasattr(module, "logits"):
                module.logits.weight.copy_(torch.randn(module.logits.weight.shape, generator=generator))
    return fold_batchnorm(network)


def picture(height: int, width: int) -> np.ndarray:
    """An image with structure at several scales."""
    random = np.random.default_rng(3)
    layers = [
        np.kron(random.integers(0, 86, (-(-height // side), -(-width // side), 3)), np.ones((side, side, 1)))
        for side in (1, 8, 32)
    ]
    return sum(layer[:height, :width] for layer in layers).astype(np.uint8)


class TestParts:
    @pytest.mark.parametrize("side", [1, 31, 64, 65, 333, 1000, 2048])
    @pytest.mark.parametrize(("tile", "overlap"), [(64, 0), (64, 64), (128, 32), (100, 50), (512, 128)])
    def test_cores_cover_the_side_once(self, side: int, tile: int, overlap: int) -> None:
        parts = parts_along(side, Tiling(tile, overlap), unit=32, finest=4)
        assert [parts[0].core.start, parts[-1].core.stop] == [0, side]
        for before, after in pairwise(parts):
            assert before.core.stop == after.core.start
            assert before.core.stop % 32 == 0
            width = before.reach.stop - after.reach.start
            assert width == 2 * (after.core.start - after.reach.start) == 2 * (overlap // 16 * 4)
        for part in parts:
            assert 0 < part.core.stop - part.core.start <= tile
            assert part.seen.start == max(part.core.start - -(-overlap // 32) * 32, 0)
            assert part.seen.stop == min(part.core.stop + -(-overlap // 32) * 32, side)
            assert part.seen.start <= part.reach.start
            assert part.reach.stop <= part.seen.stop

    def test_tiles_are_of_nearly_equal_size(self) -> None:
        parts = parts_along(1100, Tiling(512, 0), unit=32, finest=4)
        assert [part.core.stop - part.core.start for part in parts] == [352, 384, 364]

    def test_sizes_that_make_no_sense_are_refused(self) -> None:
        with pytest.raises(InputError, match="tile: expected at least 64 pixels, or 0 for none, got 32"):
            Tiling.of(32)
        with pytest.raises(InputError, match="overlap: expected 0 to tile=64 pixels, got 65"):
            Tiling.of(64, 65)
        assert Tiling.of(0) is None
        assert Tiling.of(64) == Tiling(64, 32)
        assert Tiling.of(4096) == Tiling(4096, 128)


class TestBlender:
    @pytest.mark.parametrize("stride", [1, 4])
    def test_parts_of_one_map_give_that_map(self, stride: int) -> None:
        rows, columns = (parts_along(side, Tiling(64, 48), 32, 4) for side in (150, 201))
        whole = torch.rand(2, -(-150 // stride), -(-201 // stride))
        blended = torch.full_like(whole, float("nan"))
        blender = Blender(rows, columns, stride)
        for number in range(len(rows) * len(columns)):
            row, column = rows[number // len(columns)].seen, columns[number % len(columns)].seen
            seen = whole[
                :, row.start // stride : -(-row.stop // stride), column.start // stride : -(-column.stop // stride)
            ]
            rows_used, columns_used = blender.used(number)
            at, values = blender.add(number, seen[:, rows_used, columns_used])
            assert blended[:, at[0], at[1]].isnan().all()  # each place is complete once
            blended[:, at[0], at[1]] = values
        torch.testing.assert_close(blended, whole)

    def test_weights_change_linearly_across_a_seam(self) -> None:
        rows, columns = parts_along(64, Tiling(64, 32), 32, 4), parts_along(128, Tiling(64, 32), 32, 4)
        blender = Blender(rows, columns, 1)
        assert blender.used(0) == (slice(0, 64), slice(0, 72))
        assert blender.used(1) == (slice(0, 64), slice(24, 96))
        _, first = blender.add(0, torch.zeros(1, 64, 72))
        at, second = blender.add(1, torch.ones(1, 64, 72))
        assert first.shape == (1, 64, 56)
        assert at[1] == slice(56, 128)
        steps = (torch.arange(16) + 0.5) / 16
        torch.testing.assert_close(second[0, 0, :16], steps)
        assert (second[..., 16:] == 1).all()


@pytest.mark.parametrize(
    ("fusion", "upsample", "per_head"),
    [(AdaptiveFusion, 4, False), (LocalFusion, 1, False), (SizedFusion, 2, True)],
)
def test_with_a_wide_margin_the_result_is_that_of_the_whole_image(fusion, upsample: int, per_head: bool) -> None:
    # The network sees less than 192 pixels far, the margin without the seam.
    network = build(fusion, upsample, per_head)
    codec = Codec(LABELS, stride=network.stride, complexity_stride=16, peak_window=15, max_things=2000)
    image = picture(90, 1000)
    whole = Predictor(network, codec, CPU).predict_one(image)
    found = predict_tiled(network, codec, image, Tiling(256, 256), CPU)
    assert len(whole.segments.classes) > 10
    torch.testing.assert_close(found.complexity, whole.complexity)
    torch.testing.assert_close(found.alpha, whole.alpha, rtol=0, atol=1e-3)  # the whole image's has padding
    assert torch.equal(found.segments.classes, whole.segments.classes)
    assert (found.segments.ids == whole.segments.ids).float().mean() > 0.9999
    torch.testing.assert_close(found.segments.scores, whole.segments.scores, rtol=1e-3, atol=1e-4)
    narrow = predict_tiled(network, codec, image, Tiling(256, 0), CPU)  # and without a margin it is not
    assert (narrow.segments.ids == whole.segments.ids).float().mean() < 0.999


def test_the_network_sees_less_far_than_the_margin_of_the_test_above() -> None:
    network = build(UniformFusion)
    for column in range(400, 432, 5):
        image = torch.zeros(1, 3, 64, 800)
        image[..., column] = float("nan")
        touched = network(image).semantic.isnan().any(1).any(1)[0].nonzero()
        assert 32 < column - int(touched.min()) < 192
        assert 32 < int(touched.max()) - column < 192


def test_the_predictor_takes_tiles_for_larger_images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(AdaptiveFusion)
    codec = Codec(LABELS, stride=network.stride, complexity_stride=16, peak_threshold=0.1, max_things=2)
    predictor = Predictor(network, codec, CPU, tiling=Tiling(128, 32))
    called = []
    monkeypatch.setattr(
        "panoptic.inference.predictor.predict_tiled",
        lambda *arguments: called.append(arguments[2].shape) or predict_tiled(*arguments),
    )
    small, large = picture(128, 100), picture(60, 200)
    assert predictor(small).ids.shape == (128, 100)
    assert called == []
    before = predictor.limited
    assert predictor(large).ids.shape == (60, 200)
    assert called == [(60, 200, 3)]
    assert predictor.limited == before + 1  # of 2 things a tile, 4
    assert sum(segment.isthing for segment in predictor(large).segments) <= 4
    with pytest.raises(InputError, match="tile: expected 0 with test-time augmentation"):
        Predictor(network, codec, CPU, tta="flip", tiling=Tiling(128, 32))


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network = build(UniformFusion)
    codec = Codec(LABELS, stride=network.stride, complexity_stride=16)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tiles.os, "posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match="expected room for temporary files of tiles, got: No space left on device"):
        predict_tiled(network, codec, picture(64, 200), Tiling(64, 0), CPU)
    assert list(tmp_path.iterdir()) == []
