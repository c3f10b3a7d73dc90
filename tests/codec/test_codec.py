"""The codec: there and back, the images that have nothing in them, and its settings."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from panoptic.codec import Codec
from panoptic.errors import InputError
from panoptic.metrics import PanopticQuality
from panoptic.segments import VOID, Segments
from tests.codec.made_maps import (
    CAR,
    LABELS,
    PERSON,
    ROAD,
    boxes,
    make,
    random_scene,
)


def there_and_back(codec: Codec, segments: Segments) -> Segments:
    return codec.decode(codec.encode(segments).as_outputs(len(LABELS)), segments.size)


def is_same(a: Segments, b: Segments) -> bool:
    """Whether two batches have the same segments, whatever their ids."""
    for one, other in zip(a.unstack(), b.unstack(), strict=True):
        pairs = torch.stack([one.ids.flatten(), other.ids.flatten()], dim=1).unique(dim=0)
        if len(pairs[:, 0].unique()) != len(pairs) or len(pairs[:, 1].unique()) != len(pairs):
            return False
        if not torch.equal(one.semantic(), other.semantic()):
            return False
    return True


def quality(prediction: Segments, target: Segments) -> float:
    metric = PanopticQuality(LABELS)
    metric.update(prediction, target)
    return metric.compute()["pq"].item()


class TestThereAndBack:
    @pytest.mark.parametrize("seed", range(3))
    def test_exact_at_stride_1(self, seed):
        scene = random_scene(seed, least=3)
        decoded = there_and_back(Codec(LABELS, stride=1), scene)
        assert is_same(decoded, scene)
        assert quality(decoded, scene) == 1.0

    def test_exact_for_shapes_that_are_not_boxes(self):
        y, x = torch.meshgrid(torch.arange(40), torch.arange(60), indexing="ij")
        ids = torch.ones(40, 60)
        ring = (y - 20) ** 2 + (x - 20) ** 2
        ids[(ring < 15**2) & (ring > 8**2)] = 2  # its center of mass is not on it
        ids[ring < 5**2] = 1
        ids[(y + x > 80) & (x > 40)] = 3
        scene = make(ids, [ROAD, CAR, PERSON])
        assert is_same(there_and_back(Codec(LABELS, stride=1), scene), scene)

    @pytest.mark.parametrize(("stride", "least"), [(2, 0.88), (4, 0.8)])
    @pytest.mark.parametrize("size", [(64, 96), (65, 99), (67, 97)])
    def test_high_at_greater_strides(self, stride, least, size):
        codec = Codec(LABELS, stride=stride)
        scenes = [random_scene(seed, size) for seed in range(4)]
        for scene in scenes:
            decoded = there_and_back(codec, scene)
            assert decoded.size == size
            found = decoded.unstack()[0].classes
            assert torch.equal(found.sort().values, scene.classes[0].sort().values)
        pairs = [(there_and_back(codec, scene), scene) for scene in scenes]
        assert np.mean([quality(*pair) for pair in pairs]) > least

    @pytest.mark.parametrize("stride", [1, 2, 4])
    def test_touching_things_of_one_class_are_told_apart(self, stride):
        scene = boxes((32, 48), (CAR, 8, 8, 24, 20), (CAR, 8, 20, 24, 36), (CAR, 24, 8, 32, 36))
        decoded = there_and_back(Codec(LABELS, stride=stride), scene)
        assert quality(decoded, scene) > {1: 0.9999, 2: 0.9999, 4: 0.9}[stride]  # corners are rounded at 4

    def test_maps_are_rounded_up_and_the_rest_is_void(self):
        targets = Codec(LABELS, stride=4, complexity_stride=16).encode(make(torch.ones(37, 61), [CAR]))
        assert targets.semantic.shape == targets.center.shape == (1, 10, 16)
        assert targets.complexity_map.shape == (1, 2, 3, 4)
        # The middle of the last row of cells is row 38, of the last column column 62: both beyond the image.
        assert targets.semantic[0, -1].unique().tolist() == [VOID]
        assert targets.semantic[0, :, -1].unique().tolist() == [VOID]
        assert targets.semantic[0, :-1, :-1].unique().tolist() == [CAR]

    @pytest.mark.parametrize("stride", [1, 2, 4])
    @pytest.mark.parametrize(
        "segments",
        [
            make(torch.zeros(16, 24), []),
            make(torch.zeros(16, 24), [CAR]),
            make(torch.ones(16, 24), [ROAD]),
            make(torch.ones(16, 24), [CAR]),
            make(torch.ones(16, 24), [CAR], crowd={1}),
        ],
        ids=["no segment", "no pixel", "no things", "no stuff", "only crowd"],
    )
    def test_images_with_nothing_of_a_kind(self, segments, stride):
        codec = Codec(LABELS, stride=stride, complexity_stride=8)
        targets = codec.encode(segments)
        assert all(t.isfinite().all() for t in targets)
        decoded = codec.decode(targets.as_outputs(len(LABELS)), segments.size)
        assert decoded.scores.isfinite().all()
        assert decoded.size == segments.size
        if segments.classes.tolist() in ([[ROAD]], [[CAR]]) and segments.areas()[0, 0] and not segments.crowd.any():
            assert is_same(decoded, segments)
        if segments.crowd.any():  # a thing class everywhere, and no center
            assert not decoded.ids.any()
            assert decoded.unstack()[0].classes.tolist() == []

    def test_more_things_than_are_looked_for(self):
        things = [(CAR, y, x, y + 6, x + 6) for y in range(0, 40, 8) for x in range(0, 40, 8)]
        scene = boxes((40, 40), *things)
        all_found = there_and_back(Codec(LABELS, stride=1, max_things=25), scene)
        assert is_same(all_found, scene)
        some_found = there_and_back(Codec(LABELS, stride=1, max_things=7), scene).unstack()[0]
        assert (some_found.classes == CAR).sum() == 7
        assert torch.equal(some_found.semantic(), scene.semantic()[0])  # every pixel joins one of them
        perfect = Codec(LABELS, stride=1).encode(Segments.stack([scene.unstack()[0], boxes((40, 40)).unstack()[0]]))
        for most, exceeded in ((24, True), (25, False)):
            found = Codec(LABELS, stride=1, max_things=most).exceeds_limit(perfect.as_outputs(len(LABELS)))
            assert found.tolist() == [exceeded, False]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_things": 0}, "^max_things: expected at least 1, got 0"),
        ({"small_area": -1}, "^small_area: expected at least 0, got -1"),
        ({"small_weight": -0.5}, "^small_weight: expected at least 0, got -0.5"),
        ({"stuff_area": -1}, "^stuff_area: expected at least 0, got -1"),
        ({"thing_area": -1}, "^thing_area: expected at least 0, got -1"),
        ({"peak_threshold": -0.1}, "^peak_threshold: expected a score in \\[0, 1\\], got -0.1"),
        ({"peak_threshold": math.nan}, "^peak_threshold: expected a score in \\[0, 1\\], got nan"),
        ({"window": 4}, "^window: expected an odd number of cells, got 4"),
        ({"peak_window": 2}, "^peak_window: expected an odd number of cells, got 2"),
        ({"peak_window": -1}, "^peak_window: expected an odd number of cells, got -1"),
        ({"sigma": 0.0}, "^sigma: expected a positive number of cells, got 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        Codec(LABELS, stride=1, **settings)
