"""Results of predictions, by hand."""

from __future__ import annotations

import base64
import io
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.results import Result, Segment, boxes_of

LABELS = LabelSpace(
    (
        Category("road", 7, False, (10, 20, 30)),
        Category("car", 300, True, (200, 0, 0)),
        Category("<b>", 5, True, (0, 9, 0)),
    )
)
IDS = np.array([[3, 3, 3, 0], [3, 1, 1, 3], [3, 1, 3, 2]], dtype=np.int32)
IMAGE = np.full((3, 4, 3), 100, dtype=np.uint8)


def result(**options) -> Result:
    classes, scores = np.array([1, 2, 0, -1]), np.array([0.5, 0.25, 1.0, 0.0])
    return Result.from_tables(IDS, classes, scores, LABELS, image=IMAGE, **options)


def test_segments_with_areas_and_boxes_found_or_given():
    expected = (
        Segment(1, "car", True, 1, 0.5, 3, (1, 1, 2, 2)),
        Segment(2, "<b>", True, 2, 0.25, 1, (3, 2, 1, 1)),
        Segment(3, "road", False, 0, 1.0, 7, (0, 0, 4, 3)),
    )
    found = result()
    assert found.segments == expected
    assert found.size == (3, 4)
    assert repr(found) == "Result(4 x 3, 2 things, 1 stuff)"
    boxes = np.array([[1, 1, 2, 2], [3, 2, 1, 1], [0, 0, 4, 3], [0, 0, 0, 0]])
    assert boxes_of(IDS, 4).tolist() == boxes.tolist()
    assert result(areas=np.array([3, 1, 7, 0]), boxes=boxes).segments == expected


def test_masks_and_classes():
    found = result()
    assert np.array_equal(found.mask(1), IDS == 1)
    assert np.array_equal(found.mask(found.segments[2]), IDS == 3)
    assert np.argwhere(found.mask(0)).tolist() == [[0, 3]]
    assert found.semantic().tolist() == [[0, 0, 0, 255], [0, 1, 1, 0], [0, 1, 0, 2]]
    for number in (4, -1):
        with pytest.raises(InputError, match=f"segment: expected the id of one of 3 segments, got {number}"):
            found.mask(number)


def test_no_segments():
    empty = Result.from_tables(np.zeros((2, 2), np.int32), np.array([], int), np.array([]), LABELS)
    assert empty.segments == ()
    assert empty.semantic().tolist() == [[255] * 2] * 2
    assert not np.array(empty.overlay()).any()
    assert empty.to_coco()[1] == []
    assert "0 things" in empty._repr_html_()


def test_overlay_has_the_colors_of_the_categories():
    drawn = np.array(result().overlay(strength=0.0))
    assert drawn[0, 3].tolist() == [100] * 3, "void keeps the image"
    filled = Result.from_tables(np.ones((5, 5), np.int32), np.array([1]), np.ones(1), LABELS)
    assert np.array(filled.overlay())[2, 2].tolist() == [200, 0, 0], "without an image, colors alone"
    on = filled.overlay(0.5, image=np.full((5, 5, 3), 100, np.uint8))
    assert np.array(on)[2, 2].tolist() == [150, 50, 50]
    with pytest.raises(InputError, match=r"strength: expected 0..1, got 1.5"):
        filled.overlay(1.5)
    with pytest.raises(InputError, match=r"image: expected \[5, 5, 3\], the size of the segments, got \[3, 4, 3\]"):
        filled.overlay(image=IMAGE)


def test_coco():
    picture, infos = result().to_coco()
    assert np.array_equal(np.array(picture)[..., 0], IDS)
    assert infos[0] == {"id": 1, "category_id": 300, "area": 3, "bbox": [1, 1, 2, 2], "iscrowd": 0, "score": 0.5}
    large = Result(np.array([[70000]], np.int32), (), LABELS)
    assert np.array(large.to_coco()[0])[0, 0].tolist() == [112, 17, 1], "112 + 17 * 256 + 65536"


def test_transformers():
    found = result().to_transformers()
    assert np.array_equal(found["segmentation"], IDS)
    assert found["segments_info"][0] == {"id": 1, "label_id": 1, "was_fused": False, "score": 0.5}
    assert found["segments_info"][2] == {"id": 3, "label_id": 0, "was_fused": True, "score": 1.0}


def test_supervision(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=lambda **columns: columns))
    found = result().to_supervision()
    assert found["xyxy"].tolist() == [[1, 1, 3, 3], [3, 2, 4, 3], [0, 0, 4, 3]]
    assert np.array_equal(found["mask"][1], IDS == 2)
    assert found["class_id"].tolist() == [1, 2, 0]
    assert found["data"]["class_name"].tolist() == ["car", "<b>", "road"]
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="to_supervision: expected the package supervision, got none; pip install"):
        result().to_supervision()


def test_notebooks_show_the_overlay_and_escaped_names():
    html = result()._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    picture = base64.b64decode(re.search('base64,([^"]+)"', html)[1])
    with Image.open(io.BytesIO(picture)) as shown:
        assert shown.size == (4, 3)
