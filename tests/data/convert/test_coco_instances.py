"""COCO instances: polygons, run lengths and crowds."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from panoptic.data.convert.drawing import polygon_mask
from tests.data.convert.made import converted, dump, image, square, table, written

mask_tools = pytest.importorskip("pycocotools.mask")
ONE = ("format=coco_instances", "input=in.json", "images=pictures", "split=[0.5,0.5]")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def coco(*objects: dict) -> dict:
    """Two images of 20 x 10, the objects in the first, and one square in the second."""
    images = [{"id": i, "file_name": f"{name}.png", "width": 20, "height": 10} for i, name in ((7, "a"), (8, "b"))]
    for entry in images:
        if not Path("pictures", entry["file_name"]).exists():
            image(Path("pictures", entry["file_name"]), fill=entry["id"])
    other = {"image_id": 8, "category_id": 3, "segmentation": [square(1, 1, 2)]}
    listed = [{"id": i, "iscrowd": 0, "image_id": 7, "category_id": 3} | o for i, o in enumerate(objects)]
    categories = [{"id": 3, "name": "cell", "supercategory": "x"}, {"id": 9, "name": "sky"}]
    return {"images": images, "annotations": [*listed, {"id": 99} | other], "categories": categories}


def rows(*objects: dict, options: tuple[str, ...] = ()) -> list[tuple[str, int, bool]]:
    dump(Path("in.json"), coco(*objects))
    assert converted(*ONE, *options) is None
    return table("train" if "a.png" in written("train") else "val", "a")


def test_polygons_overlap_and_are_clipped(capsys: pytest.CaptureFixture) -> None:
    found = rows(
        {"segmentation": [square(0, 0, 5)]},
        {"segmentation": [square(3, 3, 3)]},  # on 4 pixels of the first
        {"segmentation": [square(-2, 6, 4)]},  # 2 x 4 inside
        {"segmentation": [square(8, 0, 2), square(12, 0, 3)]},  # one object of two parts
        {"segmentation": [square(16, 0, 3)], "category_id": 9},
        {"segmentation": [square(16, 6, 2)], "category_id": 9},
        options=("stuff=[sky]",),
    )
    things = [("cell", area, False) for area in (8, 9, 13, 21)]
    assert found == [*things, ("sky", 13, False)]
    printed = capsys.readouterr().out
    assert "1 │ objects clipped" in printed
    assert "4 │ pixels that more than one" in printed


@pytest.mark.parametrize("seed", range(20))
def test_polygons_are_drawn_as_on_the_whole_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 9))
    ring = (rng.uniform(-0.3, 1.3, (count, 2)) * (30, 20)).ravel().tolist()
    expected = mask_tools.decode(mask_tools.merge(mask_tools.frPyObjects([ring], 20, 30)))
    assert np.array_equal(polygon_mask([ring], (20, 30), "a polygon")[0], expected)


def test_crowds_lie_under_single_objects() -> None:
    crowd = {"segmentation": [square(2, 2, 3)], "iscrowd": 1}  # the smaller one
    assert rows({"segmentation": [square(0, 0, 4)]}, crowd) == [("cell", 5, True), ("cell", 16, False)]


def test_crowds_that_are_single_objects() -> None:
    crowd = {"segmentation": [square(2, 2, 3)], "iscrowd": 1}
    assert rows(crowd, crowd | {"segmentation": [square(8, 2, 4)]}, options=("crowd=false",)) == [
        ("cell", 9, False),
        ("cell", 16, False),
    ]


def test_an_object_under_others_is_dropped(capsys: pytest.CaptureFixture) -> None:
    squares = [{"segmentation": [square(0, 0, 4)]}] * 2
    assert rows(*squares, {"segmentation": [square(9.1, 2.1, 0.1)]}) == [("cell", 16, False)]
    printed = capsys.readouterr().out
    assert re.search("1 +│ objects dropped, since others cover", printed)
    assert re.search("1 +│ objects dropped, since they cover no pixel", printed)


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths(compressed: bool) -> None:
    mask = np.zeros((10, 20), np.uint8, order="F")
    mask[2:7, 3:17], mask[4, 5] = 1, 0
    runs = mask_tools.encode(mask)
    counts: object = runs["counts"].decode()
    if not compressed:
        flat = mask.ravel(order="F")
        starts = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff([0, *starts, flat.size]).tolist()
    shape = {"size": [10, 20], "counts": counts}
    assert rows({"segmentation": shape, "iscrowd": 1}) == [("cell", 69, True)]


def test_compressed_run_lengths_of_any_mask() -> None:
    from panoptic.data.convert.drawing import run_length_mask

    generator = np.random.default_rng(0)
    for size in ((1, 1), (40, 70), (300, 200)):
        for share in (0.0, 0.01, 0.5, 1.0):
            mask = generator.random(size) < share
            runs = mask_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
            drawn = run_length_mask({"size": list(size), "counts": runs["counts"].decode()}, size, "x")
            assert (drawn == mask).all()


def test_splits_of_files_are_kept() -> None:
    for folder, name in (("train", "a"), ("valid", "b")):
        content = coco({"segmentation": [square(0, 0, 4)]})
        content["images"] = [entry for entry in content["images"] if entry["file_name"] == f"{name}.png"]
        ids = [entry["id"] for entry in content["images"]]
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in ids]
        dump(Path("in", folder, "_annotations.coco.json"), content)
        Path("pictures", f"{name}.png").rename(Path("in", folder, f"{name}.png"))
    assert converted("format=coco_instances", "input=in") is None
    assert (written("train"), written("val")) == (["a.png"], ["b.png"])


def _set(key: str, value: object) -> Callable[[dict], None]:
    return lambda content: content["annotations"][0].update({key: value})


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (_set("segmentation", [square(20, 0, 4)]), "annotation 0: expected a polygon in its image of 20 x 10 pixels"),
        (_set("segmentation", [[0, 0, 1, 1]]), "expected x and y of at least three points, got 4 numbers"),
        (_set("segmentation", [[0, 0, 1, 1, 2, "a"]]), "expected coordinates in pixels, got 'a'"),
        (_set("segmentation", [[0, 0, 1, 1, 2, 1e12]]), "expected coordinates in pixels, got 1000000000000.0"),
        (_set("segmentation", []), "expected a polygon, got none"),
        (_set("segmentation", None), "expected a segmentation of polygons or run lengths, got None"),
        (_set("segmentation", {"size": [20, 10], "counts": [200]}), "height and width [10, 20], got [20, 10]"),
        (_set("segmentation", {"size": [10, 20], "counts": [20, 3]}), "sum to the 200 pixels of the image, got 23"),
        (_set("segmentation", {"size": [10, 20], "counts": "~~"}), "expected 'counts' to be run lengths, got '~~'"),
        (_set("category_id", None), "annotation 0: expected a category_id of 'categories', got none"),
        (_set("category_id", 4), "annotation 0: expected a category_id of 'categories', got 4"),
        (_set("image_id", 5), "annotation 0: expected an image_id of 'images', got 5"),
        (
            lambda c: c["images"][0].update(width=21),
            "image 'a.png': expected the height and width of the file, (10, 20)",
        ),
        (lambda c: c["images"][0].update(file_name="../a.png"), "a file inside its folder, got '../a.png'"),
        (lambda c: c["images"][0].update(file_name="sub\\a.png"), "which has those of Windows"),
        (lambda c: c["images"][0].update(file_name="c.png"), "expected the image pictures/c.png, got no such file"),
        (lambda c: c["images"].clear(), "images: expected some, got none"),
        (lambda c: c.pop("annotations"), "with a list of 'annotations', got none"),
    ],
)
def test_bad_input(edit: Callable[[dict], None], told: str) -> None:
    content = coco({"segmentation": [square(0, 0, 4)]})
    edit(content)
    dump(Path("in.json"), content)
    sentence = converted(*ONE)
    assert str(sentence).startswith("in.json: ")
    assert told in str(sentence)


def test_broken_json() -> None:
    coco()
    Path("in.json").write_text('{"images": [')
    assert str(converted(*ONE)).startswith("in.json: expected JSON, got text that is not:")


def test_without_pycocotools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    dump(Path("in.json"), coco({"segmentation": [square(0, 0, 4)]}))
    assert "pip install 'panoptic-adaptive-fusion[convert]'" in str(converted(*ONE))
