"""Targets from segments, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from panoptic.codec import Codec
from panoptic.segments import VOID, Segments
from tests.codec.made_maps import (
    CAR,
    LABELS,
    PERSON,
    boxes,
    make,
    random_scene,
)


def test_offsets_by_hand():
    # Rows 2..3 and columns 2..4: the center is (2.5, 3).
    targets = Codec(LABELS, stride=1).encode(boxes((6, 8), (CAR, 2, 2, 4, 5)))
    assert targets.offset[0, 0, 2:4, 2:5].tolist() == [[0.5] * 3, [-0.5] * 3]
    assert targets.offset[0, 1, 2:4, 2:5].tolist() == [[1.0, 0.0, -1.0]] * 2
    assert targets.offset_weight[0].sum() == pytest.approx(6 / 6**0.5)  # six pixels of weight 1 / sqrt(6)
    assert (targets.offset[0] * (targets.offset_weight == 0)).abs().sum() == 0


def test_offsets_are_in_cells():
    # Rows 0..7 and columns 4..15 of pixels: the center (3.5, 9.5) is at (0.5, 2) in cells of 4, whose own centers
    # are at 1.5, 5.5, 9.5 ...
    targets = Codec(LABELS, stride=4).encode(boxes((16, 24), (CAR, 0, 4, 8, 16)))
    assert targets.offset[0, 0, :2, 1:4].tolist() == [[0.5] * 3, [-0.5] * 3]
    assert targets.offset[0, 1, :2, 1:4].tolist() == [[1.0, 0.0, -1.0]] * 2


@pytest.mark.parametrize("sigma", [1.0, 2.0, 2.5])
def test_heatmap_is_a_gaussian_of_the_distance_to_the_nearest_center(sigma):
    # One pixel each, at (10, 8) and (14, 30): the peaks are there.
    scene = boxes((24, 40), (CAR, 10, 8, 11, 9), (PERSON, 14, 30, 15, 31))
    center = Codec(LABELS, stride=1, sigma=sigma).encode(scene).center[0]
    y, x = torch.meshgrid(torch.arange(24), torch.arange(40), indexing="ij")
    expected = torch.zeros(24, 40)
    for row, column in ((10, 8), (14, 30)):
        dy, dx = y - row, x - column
        near = torch.maximum(dy.abs(), dx.abs()) <= math.ceil(3 * sigma)
        expected = expected.maximum(torch.exp(-(dy**2 + dx**2) / (2 * sigma**2)) * near)
    torch.testing.assert_close(center, expected, rtol=1e-5, atol=1e-7)
    assert center[10, 8] == center[14, 30] == 1.0


def test_heatmap_value_by_hand():
    center = Codec(LABELS, stride=1, sigma=2.0).encode(boxes((24, 24), (CAR, 10, 8, 11, 9))).center[0]
    assert center[13, 12] == pytest.approx(math.exp(-25 / 8))  # 3 down and 4 right, 25 = 3² + 4²
    assert center[10, 14] == pytest.approx(math.exp(-36 / 8))  # 6 right, the last that is not cut off
    assert center[10, 15] == 0.0


def test_a_peak_is_at_the_cell_nearest_to_its_center_and_inside_the_map():
    # In the last of 3 columns of cells of 4 over 9 pixels: (8.5 / 4) - 0.5 = 1.625 is nearest to 2.
    targets = Codec(LABELS, stride=4).encode(boxes((9, 9), (CAR, 8, 8, 9, 9), (CAR, 0, 0, 1, 1)))
    assert (targets.center[0] == 1.0).nonzero().tolist() == [[0, 0], [2, 2]]


def test_weights():
    # A crowd of 8 pixels, a car of 8, a person of 9, void in a corner; things below 9 pixels are small.
    scene = boxes((12, 12), (CAR, 0, 0, 2, 4), (CAR, 4, 0, 6, 4), (PERSON, 6, 6, 9, 9), crowd={3})
    ids = scene.ids.clone()
    ids[0, 11, 11] = 0
    scene = Segments(ids, scene.classes, scene.crowd)
    targets = Codec(LABELS, stride=1, small_area=9, small_weight=3.0).encode(scene)
    expected = torch.ones(12, 12)
    expected[4:6, :4] = 3
    assert torch.equal(targets.semantic_weight[0], expected)
    assert torch.equal(targets.center_weight[0], ((scene.ids[0] > 0) & (scene.ids[0] != 3)).float())
    expected = torch.zeros(12, 12)
    expected[4:6, :4] = 8**-0.5
    expected[6:9, 6:9] = 9**-0.5
    # Table rows follow the order of the boxes behind stuff: the car, and the person.
    assert torch.allclose(targets.offset_weight[0], torch.where(scene.ids[0] > 3, expected, 0.0))
    assert (targets.center[0] == 1.0).sum() == 2  # the crowd has no center
    assert targets.semantic[0, 11, 11] == VOID
    assert targets.semantic[0, 0, 0] == CAR  # a crowd has its class


def test_small_means_pixels_of_the_image_at_any_stride():
    scene = boxes((16, 16), (CAR, 0, 0, 4, 4))
    for small_area, weight in ((16, 1.0), (17, 5.0)):
        targets = Codec(LABELS, stride=4, small_area=small_area, small_weight=5.0).encode(scene)
        assert targets.semantic_weight[0, 0, 0] == weight
        assert targets.semantic_weight.sum() == 15 + weight


def test_batched_is_each_alone():
    codec = Codec(LABELS, stride=2, small_area=150)
    empty = make(torch.zeros(64, 96), [])
    scenes = [random_scene(0), empty, boxes((64, 96), (CAR, 0, 0, 9, 9), crowd={3}), random_scene(1)]
    together = codec.encode(Segments.stack([scene.unstack()[0] for scene in scenes]))
    for i, scene in enumerate(scenes):
        for name, alone, batched in zip(together._fields, codec.encode(scene), together, strict=True):
            assert torch.equal(alone[0], batched[i]), name
