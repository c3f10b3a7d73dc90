"""Formats of polygons: labelme, YOLO and CVAT."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.data.convert.made import converted, dump, image, segments, square, table, written

pytest.importorskip("pycocotools.mask")

LABELME = ("format=labelme", "input=in")
YOLO = ("format=yolo_seg", "input=in")
CVAT = ("format=cvat", "input=in")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shape(label: str, *points: tuple[float, float], kind: str = "polygon", group: int | None = None) -> dict:
    return {"label": label, "points": [list(p) for p in points], "shape_type": kind, "group_id": group}


def labelme(*shapes: dict, **changes: object) -> None:
    other = [shape("cell", (1, 1), (3, 3), kind="rectangle")]
    for split, name, fill, listed in (("train", "a", 1, list(shapes)), ("val", "b", 2, other)):
        image(Path(f"in/{split}/{name}.jpg"), fill=fill)
        content = {"shapes": listed, "imagePath": f"{name}.jpg", "imageData": None, "imageHeight": 10, "imageWidth": 20}
        dump(Path(f"in/{split}/{name}.json"), content | (changes if name == "a" else {}))


class TestLabelme:
    def test_shapes_and_groups(self) -> None:
        labelme(
            shape("cell", (0, 0), (4, 0), (4, 4), (0, 4)),
            shape("cell", (10, 2), (8, 0), kind="rectangle", group=5),  # corners in any order
            shape("cell", (12, 0), (14, 2), kind="rectangle", group=5),
            shape("sky", (0, 8), (20, 10), kind="rectangle"),
        )
        assert converted(*LABELME, "stuff=[sky]") is None
        assert table("train", "a") == [("cell", 8, False), ("cell", 16, False), ("sky", 40, False)]

    def test_a_circle_has_its_area(self) -> None:
        labelme(shape("cell", (10, 5), (14, 5), kind="circle"))
        assert converted(*LABELME) is None
        assert table("train", "a")[0][1] == pytest.approx(math.pi * 16, abs=3)

    def test_images_elsewhere(self) -> None:
        labelme(shape("cell", (0, 0), (4, 4), kind="rectangle"), imagePath="..\\photos\\a.jpg")
        assert "a file inside its folder, got '..\\\\photos\\\\a.jpg'" in str(converted(*LABELME))
        for split, name in (("train", "a"), ("val", "b")):
            Path("photos").mkdir(exist_ok=True)
            Path(f"in/{split}/{name}.jpg").rename(f"photos/{name}.jpg")
        assert converted(*LABELME, "images=photos") is None
        assert table("train", "a") == [("cell", 16, False)]

    @pytest.mark.parametrize(
        ("shapes", "changes", "told"),
        [
            ([shape("cell", (1, 1), kind="cube")], {}, "shape 1 (cell): expected polygon, rectangle, circle"),
            ([shape("cell", (1, 1), (2, 2))], {}, "expected at least 3 points of x and y"),
            ([shape("cell", (30, 1), (42, 2), (42, 5))], {}, "shape 1 (cell): expected a polygon in its image"),
            ([shape("cell", (1, 1), kind=["x"])], {}, "shape 1 (cell): expected polygon, rectangle, circle"),
            ([shape("cell", (1, 1), (10**400, 1), (4, 4))], {}, "expected at least 3 points of x and y"),
            ([shape("cell", (1, 1), (10**400, 1), kind="circle")], {}, "expected at least 2 points of x and y"),
            ([shape("")], {}, "shape 1: expected a 'label', got none"),
            ([], {"imageHeight": 11}, "expected the height and width of its image, (10, 20), got (11, 20)"),
            ([], {"imagePath": "sub\\a.jpg"}, "which has those of Windows"),
            ([], {"shapes": None}, "with a list of 'shapes', got none"),
        ],
    )
    def test_bad_input(self, shapes: list[dict], changes: dict, told: str) -> None:
        labelme(*shapes, **changes)
        sentence = str(converted(*LABELME))
        assert sentence.startswith("in/train/a.json: ")
        assert told in sentence


def yolo(*lines: str, yaml: str = "names: [cell, sky]\ntrain: ../train/images\nval: val/images\n") -> None:
    for split, fill in (("train", 1), ("val", 2)):
        for name in ("a", "b"):
            image(Path(f"in/{split}/images/{name}.jpg"), fill=fill + 10 * (name == "a"))
        Path(f"in/{split}/labels").mkdir(exist_ok=True)
        Path(f"in/{split}/labels/a.txt").write_text("\n".join(lines))
    Path("in/data.yaml").write_text(yaml)


class TestYolo:
    def test_polygons_are_relative(self, capsys: pytest.CaptureFixture) -> None:
        yolo("0 0 0 0.2 0 0.2 0.4 0 0.4", "1 0.5 0.5 1 0.5 1 1 0.5 1", "")
        assert converted(*YOLO, "stuff=[sky]") is None
        assert written("train") == ["a.jpg"]  # nothing is labeled in the other
        assert table("val", "a") == [("cell", 16, False), ("sky", 50, False)]
        assert "2 │ images dropped, since nothing in them is labeled" in capsys.readouterr().out

    def test_lists_of_files(self) -> None:
        yolo("0 0 0 0.2 0 0.2 0.4 0 0.4", yaml="names: [cell]\ntrain: train.txt\nval: val/images\n")
        Path("in/train.txt").write_text("./train/images/a.jpg\n\n")
        assert converted(*YOLO) is None
        assert (written("train"), table("train", "a")) == (["a.jpg"], [("cell", 16, False)])

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("train/images/c.jpg", "in/train.txt: line 2: expected the image in/train/images/c.jpg, got no such file"),
            ("../a.jpg", "in/train.txt: line 2: expected the name of a file inside its folder, got '../a.jpg'"),
            ("/etc/a.jpg", "line 2: expected the name of a file inside its folder, got '/etc/a.jpg'"),
        ],
    )
    def test_bad_lists(self, line: str, told: str) -> None:
        yolo(yaml="names: [cell]\ntrain: train.txt\nval: val/images\n")
        Path("in/train.txt").write_text(f"train/images/a.jpg\n{line}\n")
        assert told in str(converted(*YOLO))

    def test_an_image_without_objects_is_background(self) -> None:
        yolo("0 0 0 0.2 0 0.2 0.4 0 0.4", yaml="names: {0: cell}\npath: /away\ntrain: train/images\nval: val/images")
        assert converted(*YOLO, "background=rest") is None
        assert table("train", "b") == [("rest", 200, False)]
        assert table("train", "a") == [("cell", 16, False), ("rest", 184, False)]

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("0 0.5 0.5 0.1 0.1", "train/labels/a.txt: line 1: expected a polygon, got the box of an object"),
            ("2 0 0 1 0 1 1", "line 1: expected a class from 0 to 1, got '2'"),
            ("0 0 0 1 0 1 x", "line 1: expected numbers after the class"),
            ("0 0 0 nan 0 1 1", "line 1: expected coordinates in pixels, got nan"),
        ],
    )
    def test_bad_lines(self, line: str, told: str) -> None:
        yolo(line)
        assert told in str(converted(*YOLO))

    @pytest.mark.parametrize(
        ("yaml", "told"),
        [
            ("names: [cell\n", "in/data.yaml: expected YAML, got text that is not"),
            ("!!python/object/apply:os.system ['touch broken']", "in/data.yaml: expected YAML"),
            ("a: &a [x]\nnames: [*a, *a]\n", "in/data.yaml: expected YAML without aliases"),
            ("names: [cell]\n", "expected folders of images as train, val or test, got none"),
            ("names: 3\ntrain: train/images\n", "names: expected a list, or names by number from 0, got 3"),
            ("names: [cell]\ntrain: /etc\n", "train: expected the name of a file inside its folder, got '/etc'"),
            ("names: [cell]\ntrain: none\n", "in/none: expected a folder with the images of train"),
        ],
    )
    def test_bad_yaml(self, yaml: str, told: str) -> None:
        yolo(yaml=yaml)
        assert told in str(converted(*YOLO))
        assert not Path("broken").exists()


def cvat(*shapes: str, head: str = "", name: str = "a.jpg", width: int = 20) -> None:
    for each, fill in (("a", 1), ("b", 2)):
        image(Path(f"in/images/{each}.jpg"), fill=fill)
    labels = "".join(f"<label><name>{label}</name></label>" for label in ("cell", "sky"))
    other = '<box label="cell" xtl="1" ytl="1" xbr="3" ybr="3" z_order="0"/>'
    entries = (
        f'<image id="0" name="{name}" subset="Train" width="{width}" height="10">{"".join(shapes)}</image>'
        f'<image id="1" name="b.jpg" subset="Validation" width="20" height="10">{other}</image>'
    )
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    Path("in/annotations.xml").write_text(
        f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations><version>1.1</version>{meta}{entries}</annotations>'
    )


def points(x: float, y: float, side: float) -> str:
    numbers = square(x, y, side)
    return ";".join(f"{a:.2f},{b:.2f}" for a, b in zip(numbers[::2], numbers[1::2], strict=True))


class TestCvat:
    def test_shapes(self) -> None:
        cvat(
            f'<polygon label="cell" points="{points(0, 0, 4)}" z_order="0"/>',
            '<mask label="cell" rle="1, 2, 1, 4" left="8" top="0" width="4" height="2" z_order="0"/>',
            f'<polygon label="cell" points="{points(12, 0, 2)}" group_id="1"/>',
            '<box label="cell" xtl="16" ytl="0" xbr="18" ybr="2" group_id="1"/>',
            '<box label="sky" xtl="0" ytl="8" xbr="20" ybr="10"/>',
            '<box label="cell" xtl="13" ytl="3" xbr="15" ybr="7" rotation="90"/>',
            '<tag label="cell"/>',
        )
        assert converted(*CVAT, "stuff=[sky]") is None
        assert (written("train"), written("val")) == (["a.jpg"], ["b.jpg"])
        things = [("cell", area, False) for area in (6, 8, 8, 16)]
        assert table("train", "a") == [*things, ("sky", 40, False)]

    def test_rotation_is_clockwise(self) -> None:
        cvat('<box label="cell" xtl="9" ytl="1" xbr="11" ybr="9" rotation="45"/>')
        assert converted(*CVAT) is None
        covered = segments("train", "a").ids > 0
        assert covered[2, 12]
        assert not covered[2, 7]
        assert int(covered.sum()) == pytest.approx(16, abs=4)

    def test_layers_come_before_sizes(self) -> None:
        small, large = points(0, 0, 2), points(0, 0, 4)
        cvat(
            f'<polygon label="cell" points="{small}" z_order="0"/>',
            f'<polygon label="sky" points="{large}" z_order="1"/>',
        )
        assert converted(*CVAT) is None
        assert table("train", "a") == [("sky", 16, False)]

    @pytest.mark.parametrize(
        ("made", "told"),
        [
            ({"head": '<!DOCTYPE x [<!ENTITY a "b">]>'}, "in/annotations.xml: expected XML without a document type"),
            ({"head": "<"}, "in/annotations.xml: expected XML, got text that is not"),
            ({"name": "../a.jpg"}, "expected the name of a file inside its folder, got '../a.jpg'"),
            ({"name": "c.jpg"}, "image 'c.jpg': expected the image in/images/c.jpg, got no such file"),
            ({"width": 21}, "image 'a.jpg': expected the height and width of the file, (10, 20), got (10, 21)"),
        ],
    )
    def test_bad_files(self, made: dict, told: str) -> None:
        cvat(**made)
        assert told in str(converted(*CVAT))

    @pytest.mark.parametrize(
        ("shape", "told"),
        [
            ('<cuboid label="cell" points="0,0;1,1"/>', "shape 1, cuboid: expected polygon, box, ellipse, mask"),
            ('<box xtl="0"/>', "shape 1, box: expected a label of the file, got None"),
            ('<box label="x"/>', "expected a label of the file, got 'x'"),
            ('<box label="cell" xtl="0" ytl="0" xbr="a" ybr="1"/>', "shape 1, box: xbr: expected numbers, got 'a'"),
            ('<box label="cell" xtl="nan" ytl="0" xbr="1" ybr="1"/>', "shape 1, box: xtl: expected numbers, got 'nan'"),
            (
                '<mask label="cell" rle="3" left="inf" top="0" width="2" height="2"/>',
                "left: expected numbers, got 'inf'",
            ),
            ('<mask label="cell" rle="3,inf" left="0" top="0" width="2" height="2"/>', "expected numbers, got '3,inf'"),
            ('<box label="cell" xtl="0" ytl="0" xbr="1" ybr="1" z_order="1e400"/>', "expected numbers, got '1e400'"),
            ('<mask label="cell" rle="3" left="0" top="0" width="2" height="2"/>', "the 4 pixels of its box, got 3"),
            ('<mask label="cell" rle="4" left="19" top="0" width="2" height="2"/>', "expected a box in its image"),
            (
                '<box label="cell" xtl="30" ytl="0" xbr="40" ybr="1"/>',
                "in its image of 20 x 10 pixels, got one outside",
            ),
        ],
    )
    def test_bad_shapes(self, shape: str, told: str) -> None:
        cvat(shape)
        sentence = str(converted(*CVAT))
        assert sentence.startswith("in/annotations.xml: image 'a.jpg': ")
        assert told in sentence
