"""Prediction at a reduced resolution: places, areas and numbers of things, and the rule that chooses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from panoptic.codec import Codec, Outputs
from panoptic.errors import InputError
from panoptic.inference.resolution import (
    AdaptiveResolution,
    check_scale,
    predict_adaptively,
    predict_at,
    scaled,
)
from panoptic.labels import Category, LabelSpace

LABELS = LabelSpace((Category("road", 0, False, (0, 0, 0)), Category("sky", 1, False, (9, 9, 9))))
CODEC = Codec(LABELS, stride=1, complexity_stride=16)


class Reader:
    """A network that reads sky from bright pixels, and the object density from the brightest, at any size."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, images: Tensor) -> Outputs:
        self.sizes.append(tuple(images.shape[-2:]))
        bright = images.float()[:, 0]
        batch, height, width = bright.shape
        count = bright.amax((1, 2)) / 255  # things, whatever the size
        density = (count / (height * width / 256**2)).log1p()
        cells = math.ceil(height / 16), math.ceil(width / 16)
        return Outputs(
            torch.stack([128 - bright, bright - 128], 1),
            torch.full_like(bright, -9.0),
            torch.zeros(batch, 2, height, width),
            torch.stack([density, torch.zeros(batch)], 1),
            torch.zeros(batch, 2, *cells),
            torch.zeros(batch, 3, *cells),
            torch.full((batch, 3), 1 / 3),
        )


def image(height: int, width: int, top: int) -> Tensor:
    """Dark above a row, bright from there on."""
    pixels = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    pixels[:, :, top:] = 255
    return pixels


@pytest.mark.parametrize(("height", "width", "scale"), [(64, 96, 0.5), (61, 37, 0.5), (64, 96, 0.75), (50, 50, 0.3)])
def test_segments_lie_where_they_are_in_the_image(height, width, scale):
    top = height // 2
    predicted = predict_at(Reader(), CODEC, image(height, width, top), scale)
    assert predicted.segments.size == (height, width)
    classes = predicted.segments.per_pixel(predicted.segments.classes, -1)[0]
    edge = int((classes == 0).sum(0)[width // 2])
    assert abs(edge - top) <= math.ceil(0.5 / scale)
    assert (classes[: edge - 1] == 0).all()
    assert (classes[edge + 1 :] == 1).all()
    assert predicted.segments.ids.dtype == torch.int32


def test_full_size_is_the_network_and_the_codec_alone():
    pixels = image(40, 56, 10)
    predicted = predict_at(Reader(), CODEC, pixels, 1.0)
    outputs = Reader()(pixels)
    assert torch.equal(predicted.outputs.semantic, outputs.semantic)
    assert torch.equal(predicted.segments.ids, CODEC.decode(outputs, (40, 56)).ids)
    assert predicted.scale == 1


def test_object_density_is_that_of_the_image_as_it_came():
    pixels = image(64, 96, 0)
    small, full = (predict_at(Reader(), CODEC, pixels, scale) for scale in (0.5, 1.0))
    assert small.outputs.complexity[0, 0].item() == pytest.approx(full.outputs.complexity[0, 0].item(), rel=1e-5)


def test_small_stuff_is_that_of_the_full_image():
    """A strip of 4 x 40 pixels is dropped at any resolution where less than 200 pixels are, and kept where 100 are."""
    pixels = image(40, 40, 36)
    for area, count in ((200, 1), (100, 2)):
        codec = Codec(LABELS, stride=1, complexity_stride=16, stuff_area=area, thing_area=40)
        for scale in (1.0, 0.5):
            segments = predict_at(Reader(), codec, pixels, scale).segments
            assert int((segments.classes >= 0).sum()) == count, (area, scale)
    assert scaled(codec, 1.0) is codec
    assert (scaled(codec, 0.5).stuff_area, scaled(codec, 0.5).thing_area) == (25, 10)


def test_a_rule_looks_again_where_the_first_look_finds_many_things():
    network, pixels = Reader(), image(64, 64, 32)
    density = predict_at(Reader(), CODEC, pixels, 0.5).outputs.complexity[0, 0].item()
    stays = predict_adaptively(network, CODEC, pixels, AdaptiveResolution(0.5, density + 0.1))
    assert (stays.scale, network.sizes) == (0.5, [(32, 32)])
    goes_on = predict_adaptively(network, CODEC, pixels, AdaptiveResolution(0.5, density - 0.1))
    assert (goes_on.scale, network.sizes[1:]) == (1.0, [(32, 32), (64, 64)])


@pytest.mark.parametrize("scale", [0, -1, 1.5, "half", True, None, float("nan")])
def test_a_factor_out_of_range_is_refused(scale):
    with pytest.raises(InputError, match=r"resolution: expected adaptive or a number in \(0, 1\], got"):
        check_scale(scale)


def test_a_rule_comes_from_the_checkpoint_or_is_asked_for():
    rule = AdaptiveResolution.from_record({"first": 0.5, "threshold": 1.25, "drop": 0.3}, "best.ckpt")
    assert rule == AdaptiveResolution(0.5, 1.25)
    with pytest.raises(InputError, match=r"best.ckpt: expected a checkpoint with a threshold .* panoptic.resolution"):
        AdaptiveResolution.from_record(None, "best.ckpt")
    for damaged in ({"first": 0.5}, {"first": "x", "threshold": 1}, [1]):
        with pytest.raises(InputError, match=r"best\.ckpt: expected a rule .* got a damaged one"):
            AdaptiveResolution.from_record(damaged, "best.ckpt")
    with pytest.raises(InputError, match="first: expected a factor below 1"):
        AdaptiveResolution(1, 0.0)
