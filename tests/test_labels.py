"""Label spaces: what they derive, what they refuse, and Cityscapes'."""

from __future__ import annotations

import dataclasses
import re

import pytest

from panoptic.labels import CITYSCAPES, Category, LabelSpace, default_color

ROAD = Category("road", 7, False, (128, 64, 128))
CAR = Category("car", 26, True, (0, 0, 142))
SKY = Category("sky", 23, False, (70, 130, 180))
LABELS = LabelSpace((ROAD, CAR, SKY))


def test_everything_is_derived_from_the_order_of_the_categories():
    assert len(LABELS) == LABELS.num_classes == 3
    assert LABELS.names == ("road", "car", "sky")
    assert LABELS.is_thing == (False, True, False)
    assert LABELS.things == (1,)
    assert LABELS.stuff == (0, 2)
    assert LABELS.class_of_id == {7: 0, 26: 1, 23: 2}


def test_frozen_equal_by_value_and_hashable():
    assert LabelSpace((ROAD, CAR, SKY)) == LABELS
    assert hash(LabelSpace((ROAD, CAR, SKY))) == hash(LABELS)
    assert LabelSpace((CAR, ROAD, SKY)) != LABELS
    with pytest.raises(dataclasses.FrozenInstanceError):
        LABELS.categories = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        ROAD.id = 8


def test_plain_containers_and_back():
    plain = LABELS.to_dicts()
    assert plain[1] == {"id": 26, "name": "car", "isthing": 1, "color": [0, 0, 142]}
    assert LabelSpace.from_dicts(plain) == LABELS
    assert LabelSpace.from_dicts(CITYSCAPES.to_dicts()) == CITYSCAPES


def test_a_category_without_a_color_gets_the_one_of_its_position():
    labels = LabelSpace.from_dicts([{"id": 1, "name": "a", "isthing": 0}, {"id": 2, "name": "b", "isthing": 1}])
    assert [category.color for category in labels.categories] == [default_color(0), default_color(1)]


def test_default_colors_by_hand_and_distinct():
    # Hue 0, saturation 0.75, value 0.95: red is 0.95 * 255 = 242.25, the others 0.95 * 0.25 * 255 = 60.56.
    assert default_color(0) == (242, 61, 61)
    colors = [default_color(i) for i in range(133)]
    assert len(set(colors)) == len(colors)
    assert all(0 <= channel <= 255 for color in colors for channel in color)


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ((), "expected 1 to 254 categories, got 0"),
        (tuple(Category(str(i), i, False, (0, 0, 0)) for i in range(255)), "expected 1 to 254 categories, got 255"),
        ((ROAD, Category("lane", 7, False, (0, 0, 0))), "expected categories with distinct ids, got these twice: 7"),
        ((ROAD, Category("road", 8, False, (0, 0, 0))), "distinct names, got these twice: road"),
    ],
)
def test_label_spaces_that_are_refused(categories, message):
    with pytest.raises(ValueError, match=message):
        LabelSpace(categories)


def test_254_categories_are_as_many_as_fit_beside_void():
    assert LabelSpace(tuple(Category(str(i), i, False, (0, 0, 0)) for i in range(254))).num_classes == 254


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("car", -1, True, (0, 0, 0)), "category 'car': expected an id of at least 0, got -1"),
        (("car", 1, True, (0, 0, 256)), r"category 'car': expected a color .* got \(0, 0, 256\)"),
        (("car", 1, True, (-1, 0, 0)), r"category 'car': expected a color .* got \(-1, 0, 0\)"),
    ],
)
def test_categories_that_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Category(*arguments)


@pytest.mark.parametrize("key", ["id", "name", "isthing"])
def test_a_missing_key_is_named(key):
    category = {"id": 1, "name": "car", "isthing": 1}
    del category[key]
    with pytest.raises(ValueError, match=f"expected the key '{key}', which it lacks"):
        LabelSpace.from_dicts([category])


def test_cityscapes_has_its_nineteen_classes_in_the_order_of_train_ids():
    assert CITYSCAPES.num_classes == 19
    assert CITYSCAPES.things == tuple(range(11, 19))
    assert CITYSCAPES.names[0] == "road"
    assert CITYSCAPES.names[11:] == ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
    assert CITYSCAPES.class_of_id[26] == 13  # labelId of a car to its trainId
    assert CITYSCAPES.categories[13].color == (0, 0, 142)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": 1.0}, "category 1: expected 'id' to be a whole number, got 1.0"),
        ({"id": True}, "category 1: expected 'id' to be a whole number, got True"),
        ({"id": None}, "expected 'id' to be a whole number, got None"),
        ({"name": None}, "expected 'name' to be text, got None"),
        ({"isthing": "0"}, "expected 'isthing' to be 0 or 1, got '0'"),
        ({"isthing": 2}, "expected 'isthing' to be 0 or 1, got 2"),
        ({"isthing": None}, "expected 'isthing' to be 0 or 1, got None"),
        ({"color": "red"}, "expected 'color' to be three whole numbers in 0..255, got 'red'"),
        ({"color": None}, "expected 'color' to be three whole numbers in 0..255, got None"),
        ({"color": [1, 2, 256]}, "expected 'color' to be three whole numbers"),
    ],
)
def test_categories_of_wrong_types_are_refused_and_never_converted(change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        LabelSpace.from_dicts([{"id": 1, "name": "car", "isthing": 1} | change])
    with pytest.raises(ValueError, match="category 1: expected an object with id, name and isthing, got 1"):
        LabelSpace.from_dicts([1])
