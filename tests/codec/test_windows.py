"""Decoding in windows: what decoding the whole image gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from panoptic.codec import Codec, Outputs
from panoptic.codec.grouping import most_likely
from panoptic.codec.windows import PixelMaps, decode_windows
from tests.codec.made_maps import CAR, LABELS, boxes, outputs, random_scene

CPU = torch.device("cpu")


def maps_of(codec: Codec, outputs: Outputs, size: tuple[int, int]) -> PixelMaps:
    logits, offset = codec.at_pixels(outputs, size)
    classes, confidence = most_likely(logits)
    center = outputs.center[0].sigmoid()
    return PixelMaps(classes[0].byte().numpy(), confidence[0].numpy(), offset[0].numpy(), center.numpy())


def windows_of(size: tuple[int, int], side: int) -> list[tuple[slice, slice]]:
    rows, columns = ([slice(a, min(a + side, length)) for a in range(0, length, side)] for length in size)
    return [(row, column) for row in rows for column in columns]


def drawn_outputs(seed: int, size: tuple[int, int]) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    semantic = torch.randn(1, 4, *size, generator=generator) * 3
    center = torch.randn(1, *size, generator=generator) * 2
    return outputs(semantic, center, torch.randn(1, 2, *size, generator=generator) * 4)


def expect_the_same(codec: Codec, given: Outputs, size: tuple[int, int], side: int) -> None:
    whole = codec.decode(given, size).unstack()[0]
    found, exceeds = decode_windows(codec, maps_of(codec, given, size), windows_of(size, side), CPU)
    assert torch.equal(found.ids, whole.ids)
    assert torch.equal(found.classes, whole.classes)
    assert torch.equal(found.crowd, whole.crowd)
    torch.testing.assert_close(found.scores, whole.scores, rtol=1e-4, atol=1e-5)
    assert exceeds == bool(codec.exceeds_limit(given)[0])


@pytest.mark.parametrize("side", [7, 32, 500])
@pytest.mark.parametrize("stride", [1, 4])
def test_windows_give_what_the_whole_gives(side: int, stride: int) -> None:
    size = (61, 83)
    codec = Codec(LABELS, stride=stride, peak_window=5, stuff_area=30)
    for seed in range(3):
        scene = codec.encode(random_scene(seed, size)).as_outputs(len(LABELS))
        expect_the_same(codec, scene, size, side)
        drawn = drawn_outputs(seed, tuple(-(-side // stride) for side in size))
        expect_the_same(codec, drawn, size, side)
        expect_the_same(replace(codec, max_things=3), drawn, size, side)


def test_a_thing_over_many_windows_is_one() -> None:
    codec = Codec(LABELS, stride=1, peak_window=5)
    given = codec.encode(boxes((60, 90), (CAR, 10, 5, 50, 85))).as_outputs(len(LABELS))
    found, _ = decode_windows(codec, maps_of(codec, given, (60, 90)), windows_of((60, 90), 16), CPU)
    assert found.classes.tolist().count(CAR) == 1
    car = found.ids == found.classes.tolist().index(CAR) + 1
    assert int(car.sum()) == 40 * 80


def test_an_image_without_things() -> None:
    codec = Codec(LABELS, stride=1)
    given = codec.encode(boxes((20, 30))).as_outputs(len(LABELS))
    expect_the_same(codec, given, (20, 30), 8)
