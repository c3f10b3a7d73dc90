"""Cityscapes' variety of COCO panoptic format: the numbers in its PNG files, and what its readers make of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.coco.writer import CityscapesPanopticWriter
from panoptic.data.images import read_words
from panoptic.labels import CITYSCAPES
from panoptic.segments import Segments

ROAD, SKY, PERSON, CAR = (CITYSCAPES.names.index(name) for name in ("road", "sky", "person", "car"))
IMAGE = "lindau_000000_000019"


def segments(ids, classes, crowd=(), scores=None) -> Segments:
    return Segments(
        torch.tensor(ids, dtype=torch.int32),
        torch.tensor(classes),
        torch.tensor([i in crowd for i in range(len(classes))]),
        None if scores is None else torch.tensor(scores),
    )


def written(tmp_path: Path, value: Segments, **options) -> tuple[np.ndarray, dict]:
    with CityscapesPanopticWriter(tmp_path, CITYSCAPES, name="cityscapes_panoptic_val", **options) as writer:
        writer.add(IMAGE, value, image_id=7)
    content = json.loads((tmp_path / "cityscapes_panoptic_val.json").read_text())
    png = tmp_path / "cityscapes_panoptic_val" / content["annotations"][0]["file_name"]
    return read_words(png) & np.uint32(0xFFFFFF), content


def test_pixels_are_label_ids_with_a_number_for_things(tmp_path: Path) -> None:
    value = segments(
        [[1, 1, 2, 2], [3, 4, 5, 0]], [ROAD, CAR, CAR, PERSON, CAR], crowd=(4,), scores=[1, 0.5, 0.25, 1, 1]
    )
    numbers, content = written(tmp_path, value)
    assert numbers.tolist() == [[7, 7, 26000, 26000], [26001, 24000, 26, 0]]
    (annotation,) = content["annotations"]
    assert (annotation["image_id"], annotation["file_name"]) == (IMAGE, f"{IMAGE}_pred_panoptic.png")
    assert content["images"][0]["file_name"] == f"{IMAGE}_leftImg8bit.png"
    rows = [(i["id"], i["category_id"], i["iscrowd"], i["area"]) for i in annotation["segments_info"]]
    assert rows == [(7, 7, 0, 2), (26000, 26, 0, 2), (26001, 26, 0, 1), (24000, 24, 0, 1), (26, 26, 1, 1)]
    assert annotation["segments_info"][1]["score"] == 0.5


def test_segments_that_the_format_cannot_tell_apart_are_one(tmp_path: Path) -> None:
    # Two crowds of cars and two segments of sky share a number each.
    value = segments([[1, 2, 3, 4, 5]], [CAR, SKY, CAR, SKY, ROAD], crowd=(0, 2))
    numbers, content = written(tmp_path, value)
    assert numbers.tolist() == [[26, 23, 26, 23, 7]]
    rows = [(i["id"], i["area"], i["iscrowd"], i["bbox"]) for i in content["annotations"][0]["segments_info"]]
    assert rows == [(26, 2, 1, [0, 0, 3, 1]), (23, 2, 0, [1, 0, 3, 1]), (7, 1, 0, [4, 0, 1, 1])]


def test_read_back_as_they_were(tmp_path: Path) -> None:
    value = segments([[1, 1, 2], [3, 0, 2], [3, 4, 4]], [ROAD, CAR, CAR, PERSON], crowd=(3,))
    written(tmp_path, value, suffix="_gtFine_panoptic")
    png = tmp_path / "cityscapes_panoptic_val" / f"{IMAGE}_gtFine_panoptic.png"
    assert png.is_file()
    source = CocoPanopticSource(
        "val",
        panoptic_json=tmp_path / "cityscapes_panoptic_val.json",
        panoptic_dir=tmp_path / "cityscapes_panoptic_val",
    )
    again = source.read_segments(0)
    assert source.labels == CITYSCAPES
    assert source.image_ids == [IMAGE]
    assert torch.equal(again.ids, value.ids)
    assert torch.equal(again.classes, value.classes)
    assert torch.equal(again.crowd, value.crowd)


def test_numbers_are_those_of_cityscapes_own_conversion(tmp_path: Path) -> None:
    """The truth of a picture in the layout of Cityscapes, converted here and by its own script."""
    conversion = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    from panoptic.data.cityscapes import segments_from_instance_ids

    stored = np.array([[7, 7, 23, 26001, 26001], [26, 26, 24000, 24007, 3], [0, 17, 17, 24, 11]], np.int32)
    city = tmp_path / "gtFine" / "val" / "lindau"
    city.mkdir(parents=True)
    Image.fromarray(stored.astype(np.uint16)).save(city / f"{IMAGE}_gtFine_instanceIds.png")
    (tmp_path / "theirs").mkdir()
    conversion.convert2panoptic(str(tmp_path / "gtFine"), str(tmp_path / "theirs"), False, ["val"])
    theirs = json.loads((tmp_path / "theirs" / "cityscapes_panoptic_val.json").read_text())["annotations"][0]
    written_numbers, content = written(tmp_path, segments_from_instance_ids(stored), suffix="_gtFine_panoptic")
    ours = content["annotations"][0]
    assert (ours["image_id"], ours["file_name"]) == (theirs["image_id"], theirs["file_name"])

    def kinds(annotation: dict) -> list:
        keys = ("category_id", "iscrowd", "area", "bbox")
        return sorted([info[key] for key in keys] for info in annotation["segments_info"])

    assert kinds(ours) == kinds(theirs)
    official = read_words(tmp_path / "theirs" / "cityscapes_panoptic_val" / theirs["file_name"]) & np.uint32(0xFFFFFF)
    # Instance numbers are counted anew here; everything else is the same number.
    assert np.array_equal(
        np.where(official >= 1000, official // 1000, official),
        np.where(written_numbers >= 1000, written_numbers // 1000, written_numbers),
    )
    assert len(np.unique(official)) == len(np.unique(written_numbers))


def test_refuses_more_things_of_a_class_than_it_has_numbers_for(tmp_path: Path) -> None:
    ids = torch.arange(1, 1002).view(7, 143)
    value = segments(ids.tolist(), [CAR] * 1001)
    with pytest.raises(ValueError, match="at most 1000 things of a class, got 1001 of 26"):
        written(tmp_path, value)
    assert not (tmp_path / "cityscapes_panoptic_val.json").exists()
