"""The codec counts and measures in full precision, whatever autocast and the outputs are."""

from __future__ import annotations

import pytest
import torch

from panoptic.codec import Codec, Outputs
from tests.codec.made_maps import (
    CAR,
    LABELS,
    PERSON,
    ROAD,
    SKY,
    make,
    of_classes,
    outputs,
    random_outputs,
    random_scene,
    with_peaks,
)


def test_a_center_keeps_its_half():
    scene = make(torch.ones(4, 2052), [CAR])
    with torch.autocast("cpu", torch.bfloat16):
        targets = Codec(LABELS, stride=1).encode(scene)
    assert targets.offset.dtype == torch.float32
    assert targets.offset[0, :, 0, 0].tolist() == [1.5, 1025.5]
    assert targets.offset[0, :, 3, 1026].tolist() == [-1.5, -0.5]


def test_encoding_is_as_without():
    codec, scene = Codec(LABELS, stride=2, small_area=150), random_scene(3)
    plain = codec.encode(scene)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = codec.encode(scene)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(plain, mixed, strict=True))


def test_decoding_is_as_without():
    codec = Codec(LABELS, stride=4)
    found = random_outputs()
    plain = codec.decode(found)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = codec.decode(found)
    assert torch.equal(plain.ids, mixed.ids)
    assert torch.equal(plain.scores, mixed.scores)
    assert mixed.scores.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_counts_are_exact_in_outputs_of_half_precision(dtype):
    # 3000 pixels of a car and 3001 of a person: half precision makes that a tie, which the car would win.
    classes = torch.full((1, 6001), CAR)
    classes[0, 3000:] = PERSON
    found = outputs(of_classes(classes), with_peaks((1, 6001), y0x3000=3))
    found = Outputs(*(values.to(dtype) for values in found))
    with torch.autocast("cpu", torch.bfloat16):
        decoded = Codec(LABELS, stride=1).decode(found)
    assert decoded.classes.tolist() == [[PERSON]]


def test_areas_of_stuff_are_exact():
    classes = torch.full((1, 6001), ROAD)
    classes[0, 3000:] = SKY
    found = outputs(of_classes(classes), with_peaks((1, 6001)))
    with torch.autocast("cpu", torch.bfloat16):
        decoded = Codec(LABELS, stride=1, stuff_area=3001).decode(found)
    assert decoded.classes.tolist() == [[SKY]]
    assert (decoded.ids == 0).sum() == 3000
