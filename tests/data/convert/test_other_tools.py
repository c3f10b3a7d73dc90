"""Label files as other tools wrote them; ``samples/README.md`` says which."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from panoptic.data.convert.formats import FORMATS
from panoptic.errors import InputError
from tests.data.convert.made import image

pytest.importorskip("pycocotools")
SAMPLES = Path(__file__).parent / "samples"
SIZE = (20, 30)
SPLITS = ("train", "train", "val")
CARS = [("car", 36), ("car", 75)]


def listed(folder: str, format: str, root: Path, *images: str) -> tuple[list, tuple[str, ...]]:
    """Split and segments, by category and area, of each image of a sample; and what is noted."""
    shutil.copytree(SAMPLES / folder, root, dirs_exist_ok=True)
    for fill, name in enumerate(images):
        image(root / name, SIZE[1], SIZE[0], fill)
    listing = FORMATS[format](root, None)
    found = []
    for record in listing.records:
        truth = record.load(SIZE)
        areas = np.bincount(truth.ids.ravel(), minlength=len(truth.classes) + 1)[1:].tolist()
        names = [listing.labels.names[c] for c in truth.classes]
        found.append((record.split, sorted(zip(names, areas, strict=True)), dict(+truth.counts)))
    return found, listing.notes


def test_coco_instances_of_datumaro(tmp_path: Path) -> None:
    images = [f"images/{split}/im{i}.png" for i, split in enumerate(SPLITS)]
    found, notes = listed("coco_instances", "coco_instances", tmp_path, *images)
    assert found == [(split, [*CARS, ("road", 120)], {}) for split in SPLITS]
    assert notes[0].startswith("6 of 9 annotations are crowds")


def test_coco_instances_of_supervision(tmp_path: Path) -> None:
    """Its polygons go through the centers of the outermost pixels: a row and a column less."""
    found, notes = listed("supervision", "coco_instances", tmp_path, *(f"train/im{i}.png" for i in range(3)))
    assert found == [("train", [("car", 25), ("road", 56)], {})] * len(found)
    assert notes == ()


def test_cvat_of_datumaro(tmp_path: Path) -> None:
    found, _ = listed("cvat", "cvat", tmp_path, *(f"images/im{i}.png" for i in range(3)))
    assert found == [(split, [*CARS, ("road", 120)], {}) for split in SPLITS]


def test_voc_of_datumaro(tmp_path: Path) -> None:
    """Its writer leaves polygons out, and colors."""
    found, _ = listed("voc", "voc", tmp_path, *(f"JPEGImages/im{i}.jpg" for i in range(3)))
    assert found == [(split, CARS, {}) for split in SPLITS]


def test_yolo_of_supervision(tmp_path: Path) -> None:
    images = [f"images/{split}/im{i}.png" for i, split in enumerate(SPLITS)]
    found, _ = listed("yolo", "yolo_seg", tmp_path, *images)
    assert found == [(split, [("car", 25), ("road", 56)], {}) for split in SPLITS]


def test_labelme(tmp_path: Path) -> None:
    """Polygon, rectangle, an object of two parts, mask, point and a circle of radius 3."""
    (a, b), _ = listed("labelme", "labelme", tmp_path, "a.png", "b.png")
    assert a == (None, [("cat", 16), ("cat", 24), ("dog", 6), ("dog", 20), ("dog", 28)], {"shapeless": 1})
    assert b == (None, [("cat", 24), ("dog", 20)], {})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"mask": "', '"mask": "?', "expected a mask as PNG in base64, and two points"),
        ("25.0,\n          16.0", "26.0,\n          16.0", "expected a mask of 5 x 3 pixels, got"),
    ],
)
def test_a_mask_of_labelme_that_is_none(tmp_path: Path, old: str, new: str, told: str) -> None:
    shutil.copytree(SAMPLES / "labelme", tmp_path, dirs_exist_ok=True)
    for name in "ab":
        image(tmp_path / f"{name}.png", SIZE[1], SIZE[0])
    text = (tmp_path / "a.json").read_text()
    assert old in text
    (tmp_path / "a.json").write_text(text.replace(old, new))
    first = FORMATS["labelme"](tmp_path, None).records[0]
    with pytest.raises(InputError, match=rf"a\.json: shape \d \(dog\): {told}"):
        first.load(SIZE)
