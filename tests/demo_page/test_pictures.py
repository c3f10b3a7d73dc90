"""Pictures of the page, by value."""

from __future__ import annotations

import numpy as np
import pytest

from panoptic.demo_page.pictures import (
    MARK,
    Filter,
    alpha_maps,
    difference,
    fitting,
    fitting_size,
    nearest,
    picture,
)
from panoptic.visualization.overlay import LEVEL_COLORS
from tests.demo_page.made_results import CLASSES, IDS, result


def test_filters_go_by_category_and_score() -> None:
    whole = result()
    assert Filter().apply(whole).segments == whole.segments
    assert np.array_equal(Filter().apply(whole).ids, IDS)
    for shown, ids in (
        (Filter(("car",)), [1, 2]),
        (Filter(("car", "<b>"), 0.5), [1, 3]),
        (Filter(lowest=0.6), [1, 3, 4]),
        (Filter(()), []),
    ):
        found = shown.apply(whole)
        assert [segment.id for segment in found.segments] == ids
        assert np.array_equal(found.ids, np.where(np.isin(IDS, ids), IDS, 0))


def test_what_is_hidden_shows_the_image_and_what_is_left_keeps_its_color() -> None:
    whole = result()
    full = picture(whole, 0.5)
    assert np.array_equal(full, np.asarray(whole.overlay(0.5)))
    only = picture(whole, 0.5, Filter(("car",)))
    inside = IDS == 2  # which as the only car would have the color of the first
    alone = picture(whole, 1.0, Filter(("car", "<b>")))
    assert np.array_equal(alone[inside], picture(whole, 1.0)[inside])
    assert not np.array_equal(alone[3, 11], alone[3, 3])
    hidden = IDS == 4
    assert (only[hidden] == 100).all()
    assert (full[3, 1] != 100).all()


def test_strength_is_the_weight_of_the_colors() -> None:
    (full, half, none) = (picture(result(), strength)[8, 18].tolist() for strength in (1.0, 0.5, 0.0))
    table = np.array([10, 20, 30])
    contour = (table + (255 - table) * 0.55).round().tolist()
    assert full == half == none == contour  # at the border to void
    inner = [picture(result(), strength)[0, 0].tolist() for strength in (1.0, 0.5, 0.0)]
    assert inner == [[10, 20, 30], [55, 60, 65], [100, 100, 100]]


def test_marks_are_stripes() -> None:
    mark = np.zeros(IDS.shape, dtype=bool)
    mark[0] = True
    plain, marked = picture(result(), 0.5), picture(result(), 0.5, mark=mark)
    is_marked = (marked == MARK).all(-1)
    assert is_marked[0].tolist() == [c % 6 < 3 for c in range(20)]
    assert not is_marked[1:].any()
    assert np.array_equal(marked[~is_marked], plain[~is_marked])


def test_differences_of_class_and_of_instance() -> None:
    one = result()
    other_ids = IDS.copy()
    other_ids[IDS == 2] = 0  # the second car is void
    other_ids[2:5, 4:6] = 2  # a piece of the first car is a car of its own
    other_ids[IDS == 3] = 1  # of another category
    found = difference(one, result(other_ids))
    assert np.array_equal(found.classes, (IDS == 2) | (IDS == 3))
    # The two halves of the car cover equally much of it; with what else it covers, the first is not its match.
    piece = np.zeros(IDS.shape, dtype=bool)
    piece[2:5, 4:6] = True
    assert np.array_equal(found.instances, piece)
    assert found.either.sum() == 12 + 6 + 6
    same = difference(one, one)
    assert not same.either.any()


def test_order_of_segments_is_no_difference() -> None:
    swapped = np.array([0, 2, 1, 4, 3])[IDS]
    other = result(swapped.astype(np.int32), CLASSES[[1, 0, 3, 2, 4]])
    assert not difference(result(), other).either.any()


def test_pictures_are_bounded() -> None:
    whole = result()
    assert fitting(whole) is whole
    small = fitting(whole, longest=10)
    assert small.size == (5, 10)
    assert small.image is not None
    assert small.image.shape == (5, 10, 3)
    assert small.segments == whole.segments  # areas are those of the image
    assert np.array_equal(small.ids, IDS[1::2, 1::2])
    assert fitting_size((10, 20), 7) == (4, 7)
    assert fitting_size((1, 5000), 100) == (1, 100)
    assert nearest(np.arange(3)[None], (2, 6)).tolist() == [[0, 0, 1, 1, 2, 2]] * 2


def test_maps_of_fusion_weights() -> None:
    alpha = np.zeros((3, 2, 2), dtype=np.float32)
    alpha[0, :, 0], alpha[1, :, 1] = 1.0, 1.0
    fine, middle, coarse = alpha_maps(alpha, (4, 8))
    assert fine.shape == (4, 8, 3)
    assert fine[0, 0].tolist() == LEVEL_COLORS[0].tolist()
    assert fine[0, -1].tolist() == [0, 0, 0]
    assert middle[0, -1].tolist() == LEVEL_COLORS[1].tolist()
    assert not coarse.any()
    (half,) = alpha_maps(np.full((1, 2, 2), 0.5, dtype=np.float32), (2, 2))
    assert half[0, 0].tolist() == pytest.approx((LEVEL_COLORS[0] / 2).tolist(), abs=0.51)
