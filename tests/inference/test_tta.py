"""Test-time augmentation: views by hand, networks that do not care how they look at an image, and a trained one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from panoptic.codec import Codec, Outputs
from panoptic.complexity import UNIT_AREA
from panoptic.errors import InputError
from panoptic.inference.tta import VIEWS, check_tta, mean_outputs
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

LABELS = LabelSpace((Category("car", 1, True, (255, 0, 0)), Category("sky", 2, False, (0, 0, 255))))


def pooled(images: Tensor, stride: int) -> Tensor:
    """Means over cells; the last ones hold what is left of the image."""
    return torch.nn.functional.avg_pool2d(images.float(), stride, ceil_mode=True, count_include_pad=False)


class Reader:
    """A network that says what the pixels are: red is a class logit, green a center logit; all offsets lead to one
    pixel, which is given as a share of height and width, so that it finds the same in every view."""

    def __init__(self, stride: int, target: tuple[float, float]) -> None:
        self.stride = stride
        self.target = target
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, images: Tensor) -> Outputs:
        self.sizes.append(tuple(images.shape[-2:]))
        cells = pooled(images, self.stride)
        height, width = images.shape[-2:]
        mirrored = images[0, 2, 0, 0] > images[0, 2, 0, -1]  # blue rises from left to right
        share = (self.target[0], 1 - self.target[1] if mirrored else self.target[1])
        rows = torch.arange(cells.shape[2]).view(-1, 1).expand(cells.shape[2:])
        columns = torch.arange(cells.shape[3]).expand(cells.shape[2:])
        offset = torch.stack(
            [
                share[0] * height / self.stride - (rows + 0.5),
                share[1] * width / self.stride - (columns + 0.5),
            ]
        ).expand(len(images), -1, -1, -1)
        semantic = torch.stack([cells[:, 0] / 100, -cells[:, 0] / 100], 1)
        places = images.new_zeros(len(images), 3, 1, 1, dtype=torch.float32)
        alpha = torch.full((len(images), 3), 1 / 3)
        three_things = torch.tensor([math.log1p(3 * UNIT_AREA / (height * width)), 0.5]).expand(len(images), 2)
        complexity = three_things, places[:, :2], places
        return Outputs(semantic, cells[:, 1] / 100, offset, *complexity, alpha)


def images(height: int, width: int) -> Tensor:
    """Smooth, with no symmetry."""
    rows, columns = torch.arange(height).view(-1, 1) / height, torch.arange(width) / width
    red = 120 * rows + 100 * columns
    green = 60 + 90 * columns * rows
    blue = 200 * columns + 0 * rows
    return torch.stack([red, green, blue])[None]


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("size", [(24, 40), (23, 37)])
def test_a_network_that_does_not_care_gives_the_same_mirrored(stride, size):
    network = Reader(stride, (0.3, 0.7))
    once = network(images(*size))
    mean = mean_outputs(network, images(*size), stride=stride, scales=(1.0,), flips=(False, True))
    inside = (..., slice(size[0] // stride), slice(size[1] // stride))  # cells that no edge cuts
    tolerance = 1e-4 if size[1] % stride == 0 else 0.03
    torch.testing.assert_close(
        mean.semantic.softmax(1)[inside], once.semantic.softmax(1)[inside], atol=tolerance, rtol=0
    )
    torch.testing.assert_close(mean.center.sigmoid()[inside], once.center.sigmoid()[inside], atol=tolerance, rtol=0)
    torch.testing.assert_close(mean.offset, once.offset, atol=0.51, rtol=0)  # mirrored cells end elsewhere
    if size[1] % stride == 0:
        torch.testing.assert_close(mean.offset, once.offset, atol=1e-4, rtol=0)


def test_a_network_that_does_not_care_gives_about_the_same_at_any_scale():
    network = Reader(1, (0.3, 0.7))
    picture = images(48, 80)
    once = network(picture)
    scales, flips = VIEWS["multiscale"]
    mean = mean_outputs(network, picture, stride=1, scales=scales, flips=flips)
    assert len(network.sizes) == 1 + 14
    assert set(network.sizes) == {(round(48 * s), round(80 * s)) for s in scales}
    inside = (..., slice(2, -2), slice(2, -2))  # border cells of a small view reach further
    torch.testing.assert_close(mean.complexity, once.complexity)  # three things per area of the image
    torch.testing.assert_close(mean.offset[inside], once.offset[inside], atol=1e-3, rtol=0)
    torch.testing.assert_close(mean.semantic.softmax(1)[inside], once.semantic.softmax(1)[inside], atol=0.01, rtol=0)
    torch.testing.assert_close(mean.center.sigmoid()[inside], once.center.sigmoid()[inside], atol=0.01, rtol=0)


def test_by_hand():
    """One row of two cells: what the mirrored view says of its left cell is about the right one."""
    said = iter(
        [
            ([0.9, 0.2], [0.5, 0.1], [3.0, 1.0]),
            ([0.4, 0.7], [0.3, 0.9], [5.0, 7.0]),
        ]
    )

    def network(view: Tensor) -> Outputs:
        car, center, dx = (torch.tensor(values) for values in next(said))
        semantic = torch.stack([car, 1 - car]).log()[None, :, None]
        offset = torch.stack([torch.zeros(2), dx])[None, :, None]
        zeros = torch.zeros(1, 3, 1, 1)
        complexity = zeros[:, :2, 0, 0], zeros[:, :2], zeros
        return Outputs(semantic, center.logit()[None, None], offset, *complexity, torch.ones(1, 1))

    mean = mean_outputs(network, torch.zeros(1, 3, 1, 2), stride=1, scales=(1.0,), flips=(False, True))
    torch.testing.assert_close(mean.semantic.softmax(1)[0, 0, 0], torch.tensor([(0.9 + 0.7) / 2, (0.2 + 0.4) / 2]))
    torch.testing.assert_close(mean.center.sigmoid()[0, 0], torch.tensor([(0.5 + 0.9) / 2, (0.1 + 0.3) / 2]))
    torch.testing.assert_close(mean.offset[0, 1, 0], torch.tensor([(3.0 - 7.0) / 2, (1.0 - 5.0) / 2]))


def test_one_view_is_the_outputs_themselves():
    network = Reader(1, (0.5, 0.5))
    picture = images(8, 8)
    once = network(picture)
    again = mean_outputs(network, picture, stride=1, scales=(1.0,), flips=(False,))
    assert all(torch.equal(a, b) for a, b in zip(again[:3], once[:3], strict=True))


def test_certain_outputs_stay_finite_and_decode():
    """Probabilities of exactly 0 and 1, as a trained network gives them in single precision."""
    ids = torch.zeros(1, 16, 16, dtype=torch.int32)
    ids[0, 4:12, 4:12] = 1
    ids[0, :4] = 2
    segments = Segments(ids, torch.tensor([[0, 1]]), torch.zeros(1, 2, dtype=torch.bool))
    codec = Codec(LABELS, 1)
    outputs = codec.encode(segments).as_outputs(2)
    sure = outputs._replace(semantic=outputs.semantic * 1e4, center=outputs.center * 1e4)
    mirrored = sure._replace(
        **{name: getattr(sure, name).flip(-1) for name in ("semantic", "center", "offset")},
    )
    mirrored.offset[:, 1] *= -1
    views = iter([sure, mirrored])
    mean = mean_outputs(lambda view: next(views), torch.zeros(1, 3, 16, 16), stride=1, **flipped())
    assert all(torch.isfinite(part).all() for part in mean)
    assert torch.equal(codec.decode(mean).semantic(), codec.decode(sure).semantic())
    assert torch.equal(codec.decode(mean).ids, codec.decode(sure).ids)


def flipped() -> dict[str, tuple]:
    return dict(zip(("scales", "flips"), VIEWS["flip"], strict=True))


def test_names_are_checked():
    for name in VIEWS:
        check_tta(name)
    with pytest.raises(InputError, match="tta: expected none, flip, multiscale, got 'rotate'"):
        check_tta("rotate")
