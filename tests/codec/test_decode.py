"""Segments from outputs, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from panoptic.codec import Codec, Outputs
from panoptic.segments import VOID
from tests.codec.made_maps import (
    CAR,
    LABELS,
    PERSON,
    ROAD,
    SKY,
    of_classes,
    outputs,
    random_outputs,
    with_peaks,
)


def test_offsets_scale_with_the_stride():
    # Peaks in columns 1 and 6 of 8: pixels 5.5 and 25.5. Every pixel points 2 cells, that is 8 pixels, to the
    # right, so those left of 15.5 - 8 = 7.5 belong to the first; unscaled it would be those left of 13.5.
    offset = torch.zeros(1, 2, 1, 8)
    offset[:, 1] = 2.0
    logits = of_classes(torch.full((1, 8), CAR))
    decoded = Codec(LABELS, stride=4).decode(outputs(logits, with_peaks((1, 8), y0x1=4, y0x6=3), offset))
    assert decoded.size == (4, 32)
    assert decoded.ids[0].tolist() == [[1] * 8 + [2] * 24] * 4


def test_offsets_point_down_and_right():
    # Two peaks, in the corners of 9 x 9; a pixel at the middle that points up and left belongs to the first.
    logits = of_classes(torch.full((9, 9), CAR))
    center = with_peaks((9, 9), y0x0=4, y8x8=3)
    for sign, segment in ((-1.0, 1), (1.0, 2)):
        offset = torch.zeros(1, 2, 9, 9)
        offset[0, :, 4, 4] = sign
        assert Codec(LABELS, stride=1).decode(outputs(logits, center, offset)).ids[0, 4, 4] == segment


def test_two_equal_neighbors_are_one_peak():
    logits = of_classes(torch.full((8, 8), CAR))
    for places in ({"y3x3": 2, "y3x4": 2}, {"y3x3": 2, "y4x3": 2}, {"y3x4": 2, "y4x3": 2}, {"y3x3": 2, "y4x4": 2}):
        decoded = Codec(LABELS, stride=1).decode(outputs(logits, with_peaks((8, 8), **places)))
        assert decoded.classes.tolist() == [[CAR]]
        assert decoded.ids.unique().tolist() == [1]
    apart = Codec(LABELS, stride=1).decode(outputs(logits, with_peaks((8, 8), y3x3=2, y3x5=2)))
    assert apart.classes.tolist() == [[CAR, CAR]]


def test_a_wider_window_takes_the_higher_of_two_near_peaks():
    logits = of_classes(torch.full((8, 8), CAR))
    center = with_peaks((8, 8), y3x3=2, y3x5=3)
    assert len(Codec(LABELS, stride=1, peak_window=3).decode(outputs(logits, center)).classes[0]) == 2
    one = Codec(LABELS, stride=1, peak_window=5).decode(outputs(logits, center))
    assert one.scores[0].tolist() == pytest.approx([torch.tensor(3.0).sigmoid().item()])


def test_peaks_below_the_threshold_are_none():
    # sigmoid(log(0.3 / 0.7)) = 0.3
    found = outputs(of_classes(torch.full((8, 8), CAR)), with_peaks((8, 8), y2x2=math.log(0.3 / 0.7), y6x6=2))
    assert len(Codec(LABELS, stride=1, peak_threshold=0.29).decode(found).classes[0]) == 2
    assert len(Codec(LABELS, stride=1, peak_threshold=0.31).decode(found).classes[0]) == 1


def test_things_without_a_peak_are_void():
    classes = torch.full((6, 6), ROAD)
    classes[2:4] = CAR
    decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(classes), with_peaks((6, 6))))
    assert decoded.semantic()[0].tolist() == [[ROAD] * 6] * 2 + [[VOID] * 6] * 2 + [[ROAD] * 6] * 2


def test_class_by_majority_of_the_pixels():
    # The right half of the car looks like a person, of road nothing counts.
    classes = torch.full((6, 10), ROAD)
    classes[1:4, :5], classes[1:4, 5:9] = CAR, PERSON
    decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(classes), with_peaks((6, 10), y2x4=3)))
    assert decoded.classes.tolist() == [[CAR, ROAD]]
    assert decoded.semantic()[0, 1:4, :9].unique().tolist() == [CAR]
    classes[1:4, 4] = PERSON
    decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(classes), with_peaks((6, 10), y2x4=3)))
    assert decoded.classes.tolist() == [[PERSON, ROAD]]


def test_scores_by_hand():
    # Road is certain by 3 : 1 + 1 + 1, a probability of 1/2; a car by 9 : 1 + 1 + 1 in one column, 3/4, and by 1/2
    # in another, on the mean 5/8; the peak is sigmoid(log 4) = 0.8.
    logits = torch.zeros(1, 4, 4, 4)
    logits[0, ROAD, :, :2] = math.log(3)
    logits[0, CAR, :, 2] = math.log(9)
    logits[0, CAR, :, 3] = math.log(3)
    decoded = Codec(LABELS, stride=1).decode(outputs(logits, with_peaks((4, 4), y1x2=math.log(4))))
    assert decoded.classes.tolist() == [[CAR, ROAD]]
    assert decoded.scores[0].tolist() == pytest.approx([0.8 * 5 / 8, 0.5])


def test_table_is_things_by_peak_then_stuff_by_class():
    classes = torch.full((9, 9), SKY)
    classes[3:], classes[:3, :3], classes[6:, 6:] = ROAD, CAR, PERSON
    center = with_peaks((9, 9), y1x1=1, y7x7=2)
    decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(classes), center))
    assert decoded.classes.tolist() == [[PERSON, CAR, ROAD, SKY]]
    assert torch.equal(decoded.semantic()[0], classes)
    assert not decoded.crowd.any()


def test_small_stuff_becomes_void():
    classes = torch.full((6, 6), ROAD)
    classes[0, :5] = SKY
    found = outputs(of_classes(classes), with_peaks((6, 6)))
    assert Codec(LABELS, stride=1, stuff_area=5).decode(found).classes.tolist() == [[ROAD, SKY]]
    filtered = Codec(LABELS, stride=1, stuff_area=6).decode(found)
    assert filtered.classes.tolist() == [[ROAD]]
    assert filtered.semantic()[0, 0].tolist() == [VOID] * 5 + [ROAD]


def test_small_things_are_kept_by_the_filter_of_stuff():
    classes = torch.full((6, 6), ROAD)
    classes[2, 2] = CAR
    found = outputs(of_classes(classes), with_peaks((6, 6), y2x2=3))
    assert Codec(LABELS, stride=1, stuff_area=6).decode(found).classes.tolist() == [[CAR, ROAD]]


def test_things_below_the_least_area_become_void():
    classes = torch.full((6, 6), ROAD)
    classes[1, 1:4] = CAR
    found = outputs(of_classes(classes), with_peaks((6, 6), y1x2=3))
    assert Codec(LABELS, stride=1, thing_area=3, stuff_area=6).decode(found).classes.tolist() == [[CAR, ROAD]]
    filtered = Codec(LABELS, stride=1, thing_area=4, stuff_area=6).decode(found)
    assert filtered.classes.tolist() == [[ROAD]]
    assert filtered.semantic()[0, 1].tolist() == [ROAD, VOID, VOID, VOID, ROAD, ROAD]


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_batched_is_each_alone(stride):
    codec = Codec(LABELS, stride=stride, stuff_area=4)
    found = random_outputs()
    together = codec.decode(found)
    assert 0 < len(together.unstack()[1].classes) < len(together.unstack()[0].classes)
    for i, batched in enumerate(together.unstack()):
        alone = codec.decode(Outputs(*(values[i : i + 1] for values in found))).unstack()[0]
        assert torch.equal(alone.ids, batched.ids)
        assert torch.equal(alone.classes, batched.classes)
        torch.testing.assert_close(alone.scores, batched.scores, rtol=1e-6, atol=0)


@pytest.mark.parametrize("seed", range(3))
def test_every_result_is_valid(seed):
    decoded = Codec(LABELS, stride=2).decode(random_outputs(seed), (13, 17))
    assert decoded.size == (13, 17)
    for image in decoded.unstack():
        assert (image.areas() > 0).all()
        assert int(image.ids.max()) <= len(image.classes)
        assert ((image.scores > 0) & (image.scores <= 1)).all()
        stuff = [c for c in image.classes.tolist() if c in LABELS.stuff]
        assert stuff == sorted(set(stuff))


def test_a_size_cuts_off_what_lies_beyond():
    # One at a time, since a cut may take a segment away and change the ids of the others.
    codec = Codec(LABELS, stride=4)
    for image in range(4):
        found = Outputs(*(values[image : image + 1] for values in random_outputs()))
        cut = codec.decode(found, (26, 33))
        assert cut.size == (26, 33)
        whole = codec.decode(found)
        assert whole.size == (28, 36)
        different = cut.semantic() != whole.semantic()[:, :26, :33]
        assert different.float().mean() < 0.02  # a majority may turn at the edge


def test_more_centers_than_a_chunk():
    # 64 centers in a row, every second column, and each pixel nearest to its own: a center between two belongs to
    # the first, which has the higher peak.
    center = torch.full((1, 1, 128), -20.0)
    center[0, 0, ::2] = torch.linspace(4, 3, 64)
    decoded = Codec(LABELS, stride=1).decode(outputs(of_classes(torch.full((1, 128), CAR)), center))
    assert decoded.ids[0, 0].tolist() == [1 + i // 2 for i in range(128)]
