"""Formats of label maps: masks with names, VOC, and Cityscapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.data.cityscapes import CityscapesSource
from panoptic.data.convert.voc import color_of
from tests.data.convert.made import converted, dump, image, save_map, segments, table, written

MASKS = ("format=masks", "input=in")
VOC = ("format=voc", "input=in")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def regions() -> tuple[np.ndarray, np.ndarray]:
    """Class 1 in two parts, of which the first is two objects; class 2 above, in two parts; 0 and 255 are the rest."""
    semantic, objects = np.zeros((10, 20), int), np.zeros((10, 20), int)
    semantic[5:8, 0:4], objects[5:8, 0:2], objects[5:8, 2:4] = 1, 3, 4
    semantic[8:10, 4:6], objects[8:10, 4:6] = 1, 5  # touches the first at a corner
    semantic[5:8, 10:12], objects[5:8, 10:12] = 1, 6
    semantic[0, 0:5] = semantic[0, 6:10] = 2
    semantic[2] = 255
    return semantic, objects


def masks(instances: bool) -> None:
    semantic, objects = regions()
    for split, name, fill in (("train", "a", 1), ("val", "b", 2)):
        image(Path(f"in/images/{split}/{name}.jpg"), fill=fill)
        save_map(Path(f"in/masks/{split}/{name}.png"), semantic)
        if instances:
            save_map(Path(f"in/instances/{split}/{name}.png"), objects)
    dump(Path("in/names.json"), {"1": "cell", "2": "sky", "255": None})


class TestMasks:
    def test_connected_components_are_things(self) -> None:
        masks(instances=False)
        assert converted(*MASKS, "stuff=[sky]") is None
        assert (written("train"), written("val")) == (["a.jpg"], ["b.jpg"])
        assert table("train", "a") == [("cell", 6, False), ("cell", 16, False), ("sky", 9, False)]

    def test_instances_of_a_second_folder(self) -> None:
        masks(instances=True)
        assert converted(*MASKS, "stuff=[sky]", "background=rest") is None
        cells = [("cell", area, False) for area in (4, 6, 6, 6)]
        assert table("val", "b") == [*cells, ("rest", 200 - 22 - 9, False), ("sky", 9, False)]

    def test_a_named_background_takes_the_rest(self) -> None:
        masks(instances=False)
        dump(Path("in/names.json"), {"0": "ground", "1": "cell", "2": "sky", "255": None})
        assert converted(*MASKS, "stuff=[sky]", "background=ground") is None
        assert ("ground", 200 - 22 - 9, False) in table("train", "a")

    def test_bad_input(self) -> None:
        masks(instances=False)
        dump(Path("in/names.json"), {"1": "cell", "255": None})
        told = "in/masks/train/a.png: expected pixel values that names.json names, got 2"
        assert converted(*MASKS) == told
        dump(Path("in/names.json"), {"x": "cell"})
        assert converted(*MASKS) == "in/names.json: expected pixel values from 0 to 65535, got 'x'"
        masks(instances=False)
        Path("in/masks/val/b.png").unlink()
        assert "in/masks/val/b.png: expected the map of in/images/val/b.jpg" in str(converted(*MASKS))
        Image.new("RGB", (20, 10)).save("in/masks/val/b.png")
        assert "in/masks/val/b.png: expected a map with one channel" in str(converted(*MASKS))
        save_map(Path("in/masks/val/b.png"), np.zeros((20, 10)))
        assert "height and width of its image, (10, 20), got (20, 10)" in str(converted(*MASKS))


def voc(colors: bool) -> None:
    semantic, objects = regions()
    for split, name, fill in (("train", "a", 1), ("val", "b", 2)):
        image(Path(f"in/JPEGImages/{name}.jpg"), fill=fill)
        for folder, values in (("SegmentationClass", semantic), ("SegmentationObject", objects)):
            path = Path(f"in/{folder}/{name}.png")
            if colors:
                path.parent.mkdir(parents=True, exist_ok=True)
                table_of = np.array([color_of(value) for value in range(256)], np.uint8)
                Image.fromarray(table_of[values]).save(path)
            else:
                save_map(path, values, palette=True)
        Path("in/ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
        Path(f"in/ImageSets/Segmentation/{split}.txt").write_text(f"{name}\n")
    Path("in/ImageSets/Segmentation/trainval.txt").write_text("a\nb\n")


class TestVoc:
    def test_colors_of_the_original(self) -> None:
        assert [color_of(v) for v in (0, 1, 2, 3, 8, 20)] == [
            *((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (64, 0, 0), (0, 64, 128)),
        ]
        assert color_of(255) == (224, 224, 192) or color_of(255) == (255, 255, 255)

    @pytest.mark.parametrize("colors", [False, True])
    def test_objects_and_splits(self, colors: bool) -> None:
        voc(colors)
        Path("in/ImageSets/Segmentation/test.txt").write_text("c\n")  # withheld
        assert converted(*VOC) is None
        assert (written("train"), written("val")) == (["a.jpg"], ["b.jpg"])
        things = [("aeroplane", area, False) for area in (4, 6, 6, 6)]
        assert table("train", "a") == [*things, ("bicycle", 9, False)]

    def test_own_categories(self) -> None:
        voc(colors=False)
        Path("in/labelmap.txt").write_text(
            "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncell:9,9,9::\nsky:1,1,1::\n"
        )
        assert converted(*VOC, "stuff=[sky]") is None
        assert table("val", "b")[-1] == ("sky", 9, False)

    @pytest.mark.parametrize("colors", [False, True])
    def test_an_object_without_a_category_is_named(self, colors: bool) -> None:
        voc(colors)
        semantic, objects = regions()
        row, column = np.argwhere((semantic == 0) & (objects == 0))[0]
        objects[row, column] = 77
        path = Path("in/SegmentationObject/b.png")
        if colors:
            Image.fromarray(np.array([color_of(value) for value in range(256)], np.uint8)[objects]).save(path)
        else:
            save_map(path, objects, palette=True)
        name = repr("#{:02x}{:02x}{:02x}".format(*color_of(77))) if colors else "77"
        told = f"{path}: expected a category of each object in in/SegmentationClass/b.png, got none of {name}"
        assert converted(*VOC) == told

    def test_bad_input(self) -> None:
        voc(colors=False)
        save_map(Path("in/SegmentationClass/b.png"), np.full((10, 20), 21), palette=True)
        told = "in/SegmentationClass/b.png: expected pixel values of 0 to 20 and 255, got 21"
        assert converted(*VOC) == told
        Path("in/ImageSets/Segmentation/val.txt").write_text("../b\n")
        assert "val.txt: expected the name of a file inside its folder" in str(converted(*VOC))
        Path("in/ImageSets/Segmentation/val.txt").write_text("c\n")
        assert "expected the image in/JPEGImages/c.jpg" in str(converted(*VOC))


def test_cityscapes_as_its_reader_has_it() -> None:
    values = np.full((10, 20), 7)
    values[2:4, 3:6], values[5:7, 3:6], values[8, :] = 26001, 26, 0
    for split, fill in (("train", 1), ("val", 2), ("test", 3)):
        stem = f"{split}_000000_000000"
        image(Path(f"in/leftImg8bit/{split}/city/{stem}_leftImg8bit.png"), fill=fill)
        truth = Path(f"in/gtFine/{split}/city/{stem}_gtFine_instanceIds.png")
        truth.parent.mkdir(parents=True)
        Image.fromarray((values if split != "test" else 0 * values).astype(np.uint16)).save(truth)
    assert converted("format=cityscapes", "input=in") is None
    assert not Path("out/test").exists()
    name = "train_000000_000000_leftImg8bit"
    assert table("train", name) == [("car", 6, False), ("car", 6, True), ("road", 168, False)]
    original = CityscapesSource("train", root="in").read_segments(0)
    assert original is not None
    assert (segments("train", name).semantic() == original.semantic()).all()
