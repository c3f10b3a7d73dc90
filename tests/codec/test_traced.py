"""Decoding as a fixed graph gives what decoding gives."""

from __future__ import annotations

import pytest
import torch

from panoptic.codec import Codec, Outputs, grouping, traced
from panoptic.codec.codec import upsample
from tests.codec.made_maps import CAR, LABELS, PERSON, ROAD, of_classes, outputs, random_outputs, with_peaks


def expect_same(codec: Codec, found: Outputs, size: tuple[int, int] | None = None) -> traced.Decoded:
    height, width = size or tuple(side * codec.stride for side in found.center.shape[1:])
    expected, decoded = codec.decode(found, (height, width)), traced.decode(codec, found, (height, width))
    rows = expected.classes.shape[1]
    assert decoded.classes.shape[1] == codec.max_things + len(LABELS)
    assert torch.equal(decoded.ids, expected.ids)
    assert torch.equal(decoded.classes[:, :rows].long(), expected.classes)
    assert (decoded.classes[:, rows:] == -1).all()
    torch.testing.assert_close(decoded.scores[:, :rows], expected.scores, rtol=1e-5, atol=1e-6)
    assert torch.equal(decoded.areas[:, :rows].long(), expected.areas())
    logits = upsample(found.semantic, codec.stride)[..., :height, :width]
    assert torch.equal(decoded.semantic.long(), logits.argmax(1))
    for image, boxes in zip(expected.ids, decoded.boxes, strict=True):
        for number in range(1, len(boxes) + 1):
            row, column = (image == number).nonzero(as_tuple=True)
            box = [0] * 4 if not len(row) else [column.min(), row.min(), column.max() + 1, row.max() + 1]
            left, top, right, bottom = map(int, box)
            assert boxes[number - 1].tolist() == [left, top, right - left, bottom - top]
    return decoded


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("most", [2, 10, 200])  # fewer than there are peaks, about as many, more than cells
def test_random_outputs(stride: int, most: int):
    for seed in range(3):
        least = {"stuff_area": 4 * stride**2, "thing_area": 5 * seed}
        codec = Codec(LABELS, stride=stride, max_things=most, peak_window=2 * seed + 1, **least)
        expect_same(codec, random_outputs(seed))
        expect_same(codec, random_outputs(seed), (7 * stride - stride // 2, 9 * stride - stride // 2))


def test_no_things_no_peaks_and_void():
    codec = Codec(LABELS, stride=1)
    road, car = (of_classes(torch.full((8, 8), c)) for c in (ROAD, CAR))
    assert expect_same(codec, outputs(road, with_peaks((8, 8), y2x2=3))).classes[0, 0] == ROAD
    assert not expect_same(codec, outputs(car, with_peaks((8, 8)))).ids.any()
    all_void = Codec(LABELS, stride=1, stuff_area=65)
    assert not expect_same(all_void, outputs(road, with_peaks((8, 8)))).ids.any()


def test_images_of_a_batch_have_centers_of_their_own():
    person = of_classes(torch.full((8, 8), PERSON))
    centers = torch.cat([with_peaks((8, 8)), with_peaks((8, 8), y1x1=2, y6x6=3), with_peaks((8, 8), y4x4=1)])
    decoded = expect_same(Codec(LABELS, stride=1), outputs(person.expand(3, -1, -1, -1), centers))
    assert [len(ids.unique()) for ids in decoded.ids] == [1, 2, 1]


def test_equal_logits_peaks_and_distances():
    codec = Codec(LABELS, stride=1, max_things=3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):  # few values, many ties
        semantic = torch.randint(0, 2, (2, 4, 9, 11), generator=generator).float()
        center = torch.randint(-1, 3, (2, 9, 11), generator=generator).float()
        offset = torch.randint(-2, 3, (2, 2, 9, 11), generator=generator).float()
        expect_same(codec, outputs(semantic, center, offset))
    saturated = torch.full((1, 9, 11), 100.0)
    expect_same(codec, outputs(of_classes(torch.full((9, 11), CAR)), saturated))


def test_extreme_outputs():
    codec = Codec(LABELS, stride=1)
    found = random_outputs(1)
    expect_same(codec, found._replace(semantic=found.semantic * 1e6, center=found.center * 1e4))
    expect_same(codec, found._replace(offset=found.offset * 1e4))


@pytest.mark.parametrize("window", [1, 3, 5, 15])
@pytest.mark.parametrize("levels", [2, 5, 2**20])
def test_peaks_are_those_of_the_codec(window: int, levels: int):
    generator = torch.Generator().manual_seed(window)
    heat = torch.randint(0, levels, (3, 17, 23), generator=generator) / levels
    heat[2] = 0.0
    for most in (4, 400):
        cells, heights = grouping.find_peaks(heat, window=window, threshold=0.1, most=most)
        cells_traced, heights_traced = traced.find_peaks(heat, window=window, threshold=0.1, most=most)
        there = heights > 0
        count = heights.shape[1]
        assert torch.equal(heights_traced[:, :count], heights)
        assert not heights_traced[:, count:].any()
        assert torch.equal(cells_traced[:, :count][there], cells[there])


def test_neighboring_heights_keep_their_order():
    # The last cell is higher by the smallest difference that floats have.
    for height in (0.1, 0.5, 1.0):
        heat = torch.full((1, 1000, 1000), torch.tensor(height).nextafter(torch.tensor(0.0)).item())
        heat[0, -1, -1] = height
        cells, _ = traced.find_peaks(heat, window=1, threshold=0.0, most=3)
        assert cells[0].tolist() == [[999, 999], [0, 0], [0, 1]]
