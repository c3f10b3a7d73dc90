"""Agreement of two predictions, by hand."""

from __future__ import annotations

import numpy as np

from panoptic.inference.export.agreement import agreeing_pixels, seconds_in_turn

IDS = np.array([[1, 1, 2, 2], [1, 1, 2, 0]])
CLASSES = np.array([5, 7])


def agreeing(ids, classes) -> int:
    return agreeing_pixels(IDS, CLASSES, np.array(ids), np.array(classes, int))


def test_order_and_padding_do_not_matter():
    assert agreeing(IDS, CLASSES) == 8
    assert agreeing([[2, 2, 1, 1], [2, 2, 1, 0]], [7, 5, -1]) == 8


def test_another_class_is_another_segment():
    assert agreeing(IDS, [5, 6]) == 5
    assert agreeing(IDS, [7, 5]) == 1


def test_a_segment_in_two_agrees_with_its_larger_part():
    assert agreeing([[1, 3, 2, 2], [1, 1, 2, 0]], [5, 7, 5]) == 7
    merged = [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert agreeing(merged, [5]) == 5
    assert agreeing_pixels(np.array(merged), np.array([5]), IDS, CLASSES) == 5


def test_void_against_a_segment_disagrees():
    assert agreeing([[1, 1, 2, 2], [1, 0, 2, 2]], CLASSES) == 6
    assert agreeing(np.zeros((2, 4), int), []) == 1


def test_calls_take_turns_after_one_each():
    order = []
    seconds = seconds_in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3
    assert list(seconds) == ["a", "b"]
