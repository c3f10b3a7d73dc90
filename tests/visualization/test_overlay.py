"""Pictures of segments."""

import numpy as np
import pytest
import torch

from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments
from panoptic.visualization.overlay import _color_table, _ids, overlay

LABELS = LabelSpace((Category("sky", 1, False, (0, 100, 200)), Category("car", 2, True, (200, 40, 40))))


def _segments(ids, classes, crowd=None):
    classes = torch.tensor(classes, dtype=torch.int64)
    crowd = torch.zeros(len(classes), dtype=torch.bool) if crowd is None else torch.tensor(crowd)
    return Segments(torch.tensor(ids, dtype=torch.int32), classes, crowd)


def color_map(segments, labels):
    """The color of each pixel, which an overlay blends with the image."""
    ids = _ids(segments)
    return _color_table(segments, labels)[ids]


def test_stuff_crowds_and_first_things_have_the_color_of_their_category():
    colors = color_map(_segments([[0, 1, 2, 3, 4]], [0, 1, 1, 1], [False, True, False, False]), LABELS)
    np.testing.assert_array_equal(colors[0, :4], [[0, 0, 0], [0, 100, 200], [200, 40, 40], [200, 40, 40]])
    assert tuple(colors[0, 4]) != (200, 40, 40)


def test_things_in_a_row_are_told_apart_and_stay_near_their_category():
    count = 60
    colors = color_map(_segments([list(range(1, count + 1))], [1] * count), LABELS)[0].astype(int)
    assert len(np.unique(colors, axis=0)) == count
    for apart in (1, 2):
        assert np.abs(colors[apart:] - colors[:-apart]).sum(axis=1).min() > 30
    assert (colors[:, 0] > colors[:, 1:].max(axis=1)).all()  # all reddish


def test_overlay_by_hand():
    ids = [[0, 0, 1, 1, 1, 2, 2, 2, 2]] * 3
    ids += [[0] * 9]
    image = np.full((4, 9, 3), 80, np.uint8)
    drawn = overlay(image, _segments(ids, [0, 1]), LABELS, opacity=0.5)
    np.testing.assert_array_equal(drawn[:, :2], image[:, :2])  # void as in the image
    np.testing.assert_array_equal(drawn[3], image[3])
    np.testing.assert_array_equal(drawn[0, 3], [40, 90, 140])  # half of 80 and half of (0, 100, 200)
    np.testing.assert_array_equal(drawn[0, 7], [140, 60, 60])
    # 0.55 of the way from the color to white
    for edge in ((0, 2), (0, 4), (2, 3)):
        np.testing.assert_array_equal(drawn[edge], [140, 185, 230])
    for edge in ((0, 5), (2, 8)):
        np.testing.assert_array_equal(drawn[edge], [230, 158, 158])
    np.testing.assert_array_equal(drawn[0, 8], [140, 60, 60])  # the border of the image is no contour


def test_opacity_extremes():
    image = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    segments = _segments([[1] * 5] * 5, [1])
    np.testing.assert_array_equal(overlay(image, segments, LABELS, opacity=0.0), image)
    np.testing.assert_array_equal(overlay(image, segments, LABELS, opacity=1.0), color_map(segments, LABELS))


def test_nothing_there():
    image = np.full((2, 3, 3), 7, np.uint8)
    empty = _segments([[0] * 3] * 2, [])
    np.testing.assert_array_equal(overlay(image, empty, LABELS), image)
    assert not color_map(empty, LABELS).any()


def test_padding_rows_are_ignored():
    segments = _segments([[1, 1]], [0, -1])
    np.testing.assert_array_equal(color_map(segments, LABELS)[0, 0], [0, 100, 200])


def test_errors():
    segments = _segments([[1, 1]], [0])
    with pytest.raises(ValueError, match=r"size of the segments, \(1, 2\), got \(3, 2\)"):
        overlay(np.zeros((3, 2, 3), np.uint8), segments, LABELS)
    with pytest.raises(ValueError, match=r"opacity: expected 0\.\.1, got 2"):
        overlay(np.zeros((1, 2, 3), np.uint8), segments, LABELS, opacity=2.0)
    with pytest.raises(ValueError, match="got a batch"):
        color_map(Segments(segments.ids[None], segments.classes[None], segments.crowd[None]), LABELS)
    with pytest.raises(ValueError, match="at most 1, as the label space has, got 2"):
        color_map(_segments([[1, 1]], [2]), LABELS)
