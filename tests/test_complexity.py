"""Complexity: both numbers by hand, over the image and per place, and what must not change them."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from panoptic.complexity import (
    UNIT_AREA,
    cell_areas,
    complexity_of_cells,
    image_complexity,
    measure,
    thing_cells,
    things_of,
)
from panoptic.segments import Segments

ROAD, CAR = 0, 1
IS_THING = (False, True)


def local_complexity(segments: Segments, is_thing, cell: int, window: int) -> torch.Tensor:
    cells = thing_cells(segments, is_thing, cell=cell)
    return complexity_of_cells(cells, window=window, areas=cell_areas(segments.size, cell, cells.device))


def density(count: float, pixels: float) -> float:
    """Of so many things on so many pixels."""
    return math.log1p(count * UNIT_AREA / pixels)


def make(ids, classes, crowd=()) -> Segments:
    """A batch of one image from a map of ids; ``crowd`` names the ids that are one."""
    return Segments.stack(
        [
            Segments(
                torch.as_tensor(ids, dtype=torch.int32),
                torch.tensor(classes, dtype=torch.int64),
                torch.tensor([i + 1 in crowd for i in range(len(classes))], dtype=torch.bool),
            )
        ]
    )


def boxes(size, *areas, classes=None, crowd=()) -> Segments:
    """An image with boxes given as (top, left, bottom, right)."""
    ids = torch.zeros(size, dtype=torch.int32)
    for i, (top, left, bottom, right) in enumerate(areas):
        ids[top:bottom, left:right] = i + 1
    return make(ids, classes or [CAR] * len(areas), crowd)


def random_things(seed: int, size=(24, 40)) -> Segments:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 7, (1, 1, size[0] // 4, size[1] // 4), generator=generator).float()
    return make(F.interpolate(ids, scale_factor=4)[0, 0], [CAR, ROAD, CAR, CAR, CAR, CAR], crowd={3})


# Areas 1, 4 and 16 pixels: the logarithms are 0, a and 2a with a = log 4; their mean is a, their variance
# (a² + 0 + a²) / 3.
THREE = boxes((8, 16), (0, 0, 1, 1), (2, 2, 4, 4), (4, 8, 8, 12))
THREE_VARIANCE = 2 / 3 * math.log(4) ** 2


def test_object_density_and_scale_variance_by_hand():
    assert UNIT_AREA == 256 * 256
    expected = [math.log(1 + 3 * 512), THREE_VARIANCE]  # of 8 x 16 pixels, 512 make a unit
    assert image_complexity(THREE, IS_THING)[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_two_things_of_one_size_have_no_variance():
    number, variance = image_complexity(boxes((4, 4), (0, 0, 2, 2), (2, 2, 4, 4)), IS_THING)[0].tolist()
    assert number == pytest.approx(density(2, 16))
    assert variance == pytest.approx(0.0, abs=1e-12)


def test_one_thing_has_no_variance():
    assert image_complexity(boxes((4, 4), (0, 0, 2, 3)), IS_THING)[0].tolist() == [pytest.approx(density(1, 16)), 0.0]


def test_crowd_stuff_and_rows_without_a_pixel_are_left_out():
    ids = F.pad(THREE.ids[0], (0, 0, 0, 4))
    ids[8:10], ids[10:12] = 4, 5
    segments = make(ids, [CAR, CAR, CAR, ROAD, CAR, CAR], crowd={5})
    assert things_of(segments, IS_THING)[0].tolist() == [True, True, True, False, False, False]
    number, variance = image_complexity(segments, IS_THING)[0].tolist()
    assert number == pytest.approx(density(3, 12 * 16))
    assert variance == pytest.approx(THREE_VARIANCE)


@pytest.mark.parametrize(
    "segments",
    [
        make(torch.zeros(8, 8), []),
        make(torch.zeros(8, 8), [CAR]),
        boxes((8, 8), (0, 0, 8, 8), classes=[ROAD]),
        boxes((8, 8), (0, 0, 8, 8), crowd={1}),
    ],
    ids=["no segment", "no pixel", "only stuff", "only crowd"],
)
def test_nothing_to_count_is_zero(segments):
    assert image_complexity(segments, IS_THING).tolist() == [[0.0, 0.0]]
    assert local_complexity(segments, IS_THING, cell=4, window=3).tolist() == torch.zeros(1, 2, 2, 2).tolist()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("factor", [2, 3])
def test_resolution_changes_the_unit_alone(seed, factor):
    segments = random_things(seed)
    larger = F.interpolate(segments.ids[None].float(), scale_factor=factor)[0].int()
    enlarged = Segments(larger, segments.classes, segments.crowd)
    here, there = (image_complexity(s, IS_THING) for s in (segments, enlarged))
    assert there[0, 0].expm1() * factor**2 == pytest.approx(here[0, 0].expm1().item(), rel=1e-5)
    assert there[0, 1] == pytest.approx(here[0, 1].item(), rel=1e-6)
    assert here[0, 1] > 0


def test_images_of_a_batch_do_not_see_each_other():
    size = (24, 40)
    images = [
        boxes(size, (1, 1, 3, 4), (8, 0, 20, 40)),
        make(torch.zeros(size), []),
        random_things(0),
        random_things(1),
    ]
    batch = Segments.stack([image.unstack()[0] for image in images])
    alone = torch.cat([image_complexity(image, IS_THING) for image in images])
    torch.testing.assert_close(image_complexity(batch, IS_THING), alone, rtol=1e-6, atol=0)


@pytest.mark.parametrize("repeats", [(1, 2), (3, 1), (2, 3)])
def test_object_density_is_that_of_a_part(repeats):
    """An image tiled with the same things has the density of one tile, however large it is."""
    tile = boxes((16, 24), (0, 0, 2, 2), (4, 8, 8, 12), (10, 3, 12, 5))
    rows, columns = repeats
    ids = torch.cat(
        [
            torch.cat(
                [torch.where(tile.ids[0] > 0, tile.ids[0] + 3 * (r * columns + c), 0) for c in range(columns)], dim=1
            )
            for r in range(rows)
        ]
    )
    whole = make(ids, [CAR] * (3 * rows * columns))
    torch.testing.assert_close(image_complexity(whole, IS_THING), image_complexity(tile, IS_THING))


def test_areas_of_cells_by_hand():
    areas = cell_areas((9, 20), 8, torch.device("cpu")) * UNIT_AREA
    assert areas.tolist() == [[64.0, 64.0, 32.0], [8.0, 8.0, 4.0]]
    assert cell_areas((512, 1024), 16, torch.device("cpu")).sum() == 8.0


def test_centers_by_hand():
    # An L of pixels (0, 0), (1, 0), (1, 1): y = 2/3, x = 1/3. The box spans rows 2..3 and columns 2..4.
    ids = torch.zeros(5, 6)
    ids[0, 0] = ids[1, 0] = ids[1, 1] = 1
    ids[2:4, 2:5] = 2
    centers = measure(make(ids, [CAR, CAR, CAR])).centers[0].tolist()
    assert centers[0] == pytest.approx([2 / 3, 1 / 3], rel=1e-6)
    assert centers[1] == [2.5, 3.0]
    assert centers[2] == [0.0, 0.0]  # no pixel


def test_centers_are_exact_far_out():
    # Sums of coordinates here are about 6e6 * 2000: float32 would be off by pixels.
    segments = make(torch.ones(1, 4096), [CAR])
    assert measure(segments).centers[0].tolist() == [[0.0, 2047.5]]
    wide = torch.zeros(1024, 2051)
    wide[:, 1:] = 1
    assert measure(make(wide, [CAR])).centers[0].tolist() == [[511.5, 1025.5]]


@pytest.mark.parametrize("seed", range(3))
def test_a_window_over_everything_gives_the_numbers_of_the_image(seed):
    segments = random_things(seed)
    local = local_complexity(segments, IS_THING, cell=8, window=11)
    assert local.shape == (1, 2, 3, 5)
    image = image_complexity(segments, IS_THING)[..., None, None].expand_as(local)
    assert image.min() > 0
    torch.testing.assert_close(local, image, rtol=1e-5, atol=1e-6)


def test_a_thing_counts_in_the_cells_whose_window_holds_its_center():
    # The centers, (0, 0), (2.5, 2.5) and (5.5, 9.5), lie in the cells (0, 0), (0, 0) and (1, 2) of 2 x 4.
    alone = local_complexity(THREE, IS_THING, cell=4, window=1)[0]
    counts = alone[0].expm1() * 16 / UNIT_AREA
    assert counts.tolist() == [pytest.approx([2, 0, 0, 0]), pytest.approx([0, 0, 1, 0])]
    # The areas 1 and 4: logarithms 0 and a, variance a² / 4.
    quarter = math.log(4) ** 2 / 4
    assert alone[1].flatten().tolist() == pytest.approx([quarter, 0, 0, 0, 0, 0, 0, 0], abs=1e-5)

    around = local_complexity(THREE, IS_THING, cell=4, window=3)[0]
    pixels = torch.tensor([64, 96, 96, 64])  # of the window, in the image
    counts = around[0].expm1() * pixels / UNIT_AREA
    assert counts.tolist() == [pytest.approx([2, 3, 1, 1])] * 2
    expected = [quarter, THREE_VARIANCE, 0, 0] * 2
    assert around[1].flatten().tolist() == pytest.approx(expected, abs=1e-5)


def test_the_grid_is_rounded_up():
    segments = boxes((9, 17), (8, 16, 9, 17))  # one pixel, in the last cell of a grid of 3 x 5
    local = local_complexity(segments, IS_THING, cell=4, window=1)
    assert local.shape == (1, 2, 3, 5)
    assert local[0, 0, 2, 4] == pytest.approx(density(1, 1))  # a pixel of the cell is in the image
    assert local[0, 0].sum() == local[0, 0, 2, 4]


def test_many_things_of_nearly_one_size_keep_their_digits():
    # 64 things of 100 and 101 pixels in turn: the variance is (log 1.01 / 2)² = 2.475e-5, a difference of squares of
    # about 21 if taken around 0.
    ids = torch.zeros(64, 101)
    for i in range(64):
        ids[i, : 100 + i % 2] = i + 1
    local = local_complexity(make(ids, [CAR] * 64), IS_THING, cell=16, window=13)
    expected = (math.log(101 / 100) / 2) ** 2
    assert local[0, 1].min().item() == pytest.approx(expected, rel=1e-3)
    assert local[0, 1].max().item() == pytest.approx(expected, rel=1e-3)


def test_what_cells_hold_by_hand():
    """Cells of 8 pixels: the upper left has two cars, the lower right a car, the upper right a crowd."""
    ids = torch.zeros(1, 16, 16, dtype=torch.int32)
    ids[:, :2, :2], ids[:, 4:8, :4] = 1, 2
    ids[:, 8:, 8:] = 3
    ids[:, :4, 8:12] = 4
    cells = thing_cells(make(ids[0], [CAR, CAR, CAR, CAR], crowd=(4,)), IS_THING, cell=8)
    small, large = math.log(4 / 64), math.log(16 / 64)
    expected = torch.zeros(1, 3, 2, 2)
    expected[0, :, 0, 0] = torch.tensor([2, (small + large) / 2, (large - small) ** 2 / 4])
    expected[0, :, 1, 1] = torch.tensor([1.0, 0.0, 0.0])  # as large as a cell
    torch.testing.assert_close(cells, expected)


@pytest.mark.parametrize("factor", [2, 3])
def test_cells_and_things_that_grow_together_hold_the_same(factor):
    segments = random_things(0)
    larger = Segments(
        segments.ids.repeat_interleave(factor, 1).repeat_interleave(factor, 2), segments.classes, segments.crowd
    )
    torch.testing.assert_close(
        thing_cells(larger, IS_THING, cell=8 * factor), thing_cells(segments, IS_THING, cell=8), atol=1e-5, rtol=1e-5
    )


def test_padding_is_no_area():
    """A batch of two images, of which the smaller is padded, has the complexity that each has alone."""
    small, large = boxes((20, 40), (0, 0, 8, 12), (8, 20, 10, 30)), boxes((64, 48), (10, 4, 30, 20))
    batch = Segments.stack([small.unstack()[0], large.unstack()[0]])
    extents = torch.tensor([[20, 40], [64, 48]])
    alone = torch.cat([image_complexity(image, IS_THING) for image in (small, large)])
    torch.testing.assert_close(image_complexity(batch, IS_THING, extents=extents), alone)
    assert image_complexity(batch, IS_THING)[0, 0] < alone[0, 0]

    cells = thing_cells(batch, IS_THING, cell=8)
    areas = cell_areas(extents, 8, cells.device, cells.shape[-2:])
    together = complexity_of_cells(cells, window=3, areas=areas)
    for image, found, (height, width) in zip((small, large), together, ((3, 5), (8, 6)), strict=True):
        torch.testing.assert_close(found[:, :height, :width], local_complexity(image, IS_THING, 8, 3)[0])
    assert not together[0, :, 5:].any()  # windows without a pixel of the image
    assert areas.sum((1, 2)).mul(UNIT_AREA).tolist() == [800, 3072]
