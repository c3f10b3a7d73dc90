"""``python -m panoptic.inspect``: faults are told with their files, sound data sets pass with the right numbers."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.analysis.inspection import contact_sheet, evenly
from panoptic.commands.app import command
from panoptic.commands.inspect import inspect
from panoptic.commands.scenes import scenes
from panoptic.data.checks.faults import KINDS

NUCLEI = Path(__file__).parents[2] / "examples" / "nuclei"
FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
Faults = set[tuple[str, str, str]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound data sets: ``cityscapes``, ``coco_panoptic``, and ``panoptic`` with Cityscapes' panoptic truth only."""
    folder = tmp_path_factory.mktemp("written")
    small = ("height=64", "width=128", "train_size=5", "val_size=3", "workers=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["panoptic"])
        for kind in ("cityscapes", "coco_panoptic"):
            test_size = "test_size=1" if kind == "cityscapes" else "test_size=0"
            command("scenes", scenes, (f"output={kind}", f"format={kind}", *small, test_size))
        conversion = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
        shutil.copytree("cityscapes", "panoptic", ignore=shutil.ignore_patterns("gtFine"))
        Path("panoptic/gtFine").mkdir()
        conversion.convert2panoptic("cityscapes/gtFine", "panoptic/gtFine", False, ["train", "val"])
    return folder


@pytest.fixture(autouse=True)
def here(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the data sets, to be damaged."""
    for kind in ("cityscapes", "coco_panoptic", "panoptic"):
        shutil.copytree(written / kind, tmp_path / kind)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic.inspect"])
    return tmp_path


def run(*arguments: str) -> tuple[int, dict, Faults]:
    """Exit status, the report, and (kind, file, what) of each fault."""
    status = 0
    try:
        command("inspect", inspect, ("output=out", "workers=1", *arguments))
    except SystemExit as stop:
        status = int(stop.code)
    with open("out/faults.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    report = json.loads(Path("out/report.json").read_text())
    assert report["fit"] == (status == 0)
    assert all(row["kind"] in KINDS for row in rows)
    return status, report, {(row["kind"], row["file"], row["fault"]) for row in rows}


class TestSound:
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_cityscapes(self, workers: str) -> None:
        status, report, faults = run("data=cityscapes", "data.root=cityscapes", f"workers={workers}")
        assert (status, faults) == (0, set())
        assert {split: s["images"] for split, s in report["splits"].items()} == {"train": 5, "val": 3, "test": 1}
        assert report["splits"]["train"]["sizes"] == {"128x64": 5}
        with Image.open("out/contact_sheet.png") as sheet, Image.open("out/histograms.png") as histograms:
            assert sheet.size[0] > 256
            assert histograms.size == (1400, 900)

    def test_the_same_numbers_from_each_format(self) -> None:
        reports = []
        for data, root in (
            ("cityscapes", "cityscapes"),
            ("coco_panoptic", "coco_panoptic"),
            ("cityscapes", "panoptic"),
        ):
            status, report, faults = run(f"data={data}", f"data.root={root}")
            assert (status, faults) == (0, set())
            reports.append({split: report["splits"][split] for split in ("train", "val")})
        assert reports[0] == reports[1]
        # Where the truth is the panoptic version, categories come in the order of its JSON file.
        for split in ("train", "val"):
            reports[2][split]["per_class"] = dict(sorted(reports[2][split]["per_class"].items()))
            reports[0][split]["per_class"] = dict(sorted(reports[0][split]["per_class"].items()))
        assert reports[0] == reports[2]

    def test_synthetic_scenes_as_they_are_drawn(self) -> None:
        _, written, _ = run("data=cityscapes", "data.root=cityscapes")
        size = ("data.height=64", "data.width=128", "data.train_size=5", "data.val_size=3", "data.test_size=1")
        status, drawn, _ = run("data=synthetic", *size)
        assert status == 0
        assert drawn["splits"] == written["splits"]

    def test_numbers_by_hand(self) -> None:
        """Two images: a crowd and two things of 1 and 8 pixels on stuff, with 3 pixels of void; stuff alone."""
        pixels = np.array([[1, 1, 1, 1, 2, 0], [3, 3, 3, 3, 4, 0], [3, 3, 3, 3, 4, 0]])
        write_coco(
            {
                "a": (pixels, [(1, 5, 0), (2, 9, 0), (3, 9, 0), (4, 9, 1)]),
                "b": (np.ones((3, 6)), [(1, 5, 0)]),
            }
        )
        status, report, _ = run("data=coco_panoptic", "data.root=own", "splits=[val]")
        assert (status, report["notes"]) == (0, [])
        split = report["splits"]["val"]
        assert split["sizes"] == {"6x3": 2}
        assert split["void_pixels"] == pytest.approx(3 / 36)
        assert split["thing_area"] == {"min": 1, "median": 4.5, "mean": 4.5, "max": 8}
        assert split["object_density"]["max"] == pytest.approx(math.log1p(2 * 256**2 / 18))
        assert split["object_density"]["min"] == 0
        assert split["scale_variance"]["max"] == pytest.approx((math.log(8) / 2) ** 2)
        car = {"thing": True, "segments": 3, "crowd": 1, "images": 1, "pixels": pytest.approx(11 / 36)}
        road = {"thing": False, "segments": 2, "crowd": 0, "images": 2, "pixels": pytest.approx(22 / 36)}
        assert split["per_class"] == {"road": road, "car": car}

    @pytest.mark.parametrize(
        ("data", "root", "images", "segments", "crowd"),
        [
            ("coco_panoptic", FIXTURES / "coco_photos", 2, 50, 3),
            ("coco_panoptic", NUCLEI, 64, 1816 + 64, 0),
            ("cityscapes", FIXTURES / "street_photo", 1, 10, 1),
        ],
    )
    def test_real_data_sets_pass(self, data: str, root: Path, images: int, segments: int, crowd: int) -> None:
        if not root.is_dir():
            pytest.skip(f"{root.name} may not be part of the project")
        splits = "splits=[val]" if root.name == "street_photo" else "splits=null"
        status, report, faults = run(f"data={data}", f"data.root={root}", splits)
        assert (status, faults) == (0, set())
        assert sum(split["images"] for split in report["splits"].values()) == images
        for what, count in (("segments", segments), ("crowd", crowd)):
            per_class = [c for split in report["splits"].values() for c in split["per_class"].values()]
            assert sum(entry[what] for entry in per_class) == count


def write_coco(images: dict[str, tuple[np.ndarray, list[tuple[int, int, int]]]]) -> None:
    """A data set in the folder ``own``: PNG numbers and (id, category, iscrowd) of the segments of each image."""
    for folder in ("own/val", "own/panoptic_val"):
        Path(folder).mkdir(parents=True)
    content = {
        "images": [{"id": name, "file_name": f"{name}.png"} for name in images],
        "annotations": [],
        "categories": [
            {"id": 5, "name": "road", "isthing": 0, "color": [9, 9, 9]},
            {"id": 9, "name": "car", "isthing": 1, "color": [200, 9, 9]},
        ],
    }
    for position, (name, (numbers, segments)) in enumerate(images.items()):
        Image.new("RGB", numbers.shape[::-1], (position, 2, 3)).save(f"own/val/{name}.png")
        color = np.stack([numbers, np.zeros_like(numbers), np.zeros_like(numbers)], -1).astype(np.uint8)
        Image.fromarray(color).save(f"own/panoptic_val/{name}.png")
        infos = [{"id": i, "category_id": c, "iscrowd": crowd} for i, c, crowd in segments]
        content["annotations"].append({"image_id": name, "file_name": f"{name}.png", "segments_info": infos})
    Path("own/panoptic_val.json").write_text(json.dumps(content))


JSON = "coco_panoptic/panoptic_train.json"
STEM = "train_00000{}"
IMAGE, PNG = "coco_panoptic/train/train_00000{}.png", "coco_panoptic/panoptic_train/train_00000{}.png"


def change(edit: Callable[[dict], None]) -> None:
    content = json.loads(Path(JSON).read_text())
    edit(content)
    Path(JSON).write_text(json.dumps(content))


def segment(content: dict, image: int, row: int = 0) -> dict:
    return content["annotations"][image]["segments_info"][row]


def test_every_fault_of_a_coco_panoptic_data_set_at_once() -> None:
    strange, lost = {}, {}

    def edit(content: dict) -> None:
        content["images"][0]["width"] = 127
        segment(content, 1)["category_id"] = 999
        strange["id"] = segment(content, 2)["id"]
        del content["annotations"][2]["segments_info"][0]
        content["annotations"][3]["segments_info"].append({"id": 77777, "category_id": 7})
        segment(content, 4)["id"] = "one"
        content["images"].append({"id": 50, "file_name": "more.png"})
        content["images"].append({"id": 51})
        content["annotations"].append({"image_id": 60, "file_name": "x.png", "segments_info": []})
        content["annotations"].append(dict(content["annotations"][3]))

    lost["id"] = segment(json.loads(Path(JSON).read_text()), 4)["id"]
    change(edit)
    Path(IMAGE.format(1)).write_bytes(Path(IMAGE.format(1)).read_bytes()[:300])
    Path(IMAGE.format(2)).unlink()
    shutil.copy(IMAGE.format(3), IMAGE.format(4))
    Path(PNG.format(3)).write_bytes(b"")
    Image.new("RGB", (128, 60)).save("coco_panoptic/panoptic_val/val_000000.png")
    shutil.copy("coco_panoptic/val/val_000001.png", IMAGE.format(0))
    Path("coco_panoptic/val/stray.png").touch()
    Path("coco_panoptic/panoptic_val/val_000002.png").unlink()
    status, report, faults = run("data=coco_panoptic", "data.root=coco_panoptic")
    assert status == 1
    told = {(kind, file) for kind, file, _ in faults}
    assert told == {
        ("size", IMAGE.format(0)),
        ("size", PNG.format(0)),
        ("category", JSON),
        ("unreadable", IMAGE.format(1)),
        ("ids", PNG.format(1)),  # the segment of an unknown category has pixels
        ("missing", IMAGE.format(2)),
        ("ids", PNG.format(2)),
        ("unreadable", PNG.format(3)),
        ("malformed", JSON),
        ("ids", PNG.format(4)),
        ("doubled", IMAGE.format(4)),
        ("missing", "more.png"),
        ("missing", "coco_panoptic/train/more.png"),
        ("missing", JSON),
        ("doubled", JSON),
        ("empty", "coco_panoptic/panoptic_val/val_000000.png"),
        ("ids", "coco_panoptic/panoptic_val/val_000000.png"),
        ("size", "coco_panoptic/panoptic_val/val_000000.png"),
        ("missing", "coco_panoptic/panoptic_val/val_000002.png"),
        ("doubled", "coco_panoptic/val/val_000001.png"),
    }
    said = {file: what for kind, file, what in faults if kind == "ids"}
    assert str(strange["id"]) in said[PNG.format(2)]
    assert str(lost["id"]) in said[PNG.format(4)]
    assert any("unknown category 999" in what for _, _, what in faults)
    assert any("stray.png" in note for note in report["notes"])
    assert sum(report["faults"].values()) == len(faults)


def test_every_fault_of_cityscapes_at_once() -> None:
    image = "cityscapes/leftImg8bit/train/synthetic/synthetic_000000_00000{}_leftImg8bit.png"
    truth = "cityscapes/gtFine/train/synthetic/synthetic_000000_00000{}_gtFine_instanceIds.png"
    Path(truth.format(0)).unlink()
    Path(image.format(1)).unlink()
    stored = np.array(Image.open(truth.format(2)))
    stored[0, 0], stored[1, 1] = 99, 40001
    Image.fromarray(stored).save(truth.format(2))
    Image.fromarray(np.zeros_like(stored)).save(truth.format(3))
    Image.fromarray(np.full((10, 10), 7, np.uint16)).save(truth.format(4))
    other = Path("cityscapes/leftImg8bit/train/ulm")
    other.mkdir()
    shutil.copy(image.format(4), other)
    status, _, faults = run("data=cityscapes", "data.root=cityscapes")
    assert status == 1
    assert {(kind, file) for kind, file, _ in faults} == {
        ("missing", image.format(0)),
        ("missing", truth.format(1)),
        ("ids", truth.format(2)),
        ("empty", truth.format(3)),
        ("size", truth.format(4)),
        ("doubled", str(other / Path(image.format(4)).name)),
    }
    assert any("99, 40001" in what for _, _, what in faults)


def test_faults_of_cityscapes_panoptic_truth() -> None:
    path = Path("panoptic/gtFine/cityscapes_panoptic_train.json")
    content = json.loads(path.read_text())
    del content["annotations"][0]
    path.write_text(json.dumps(content))
    image = Path("panoptic/leftImg8bit/train/synthetic/synthetic_000000_000001_leftImg8bit.png")
    image.unlink()
    Path("panoptic/gtFine/cityscapes_panoptic_train/synthetic_000000_000002_gtFine_panoptic.png").unlink()
    status, _, faults = run("data=cityscapes", "data.root=panoptic")
    assert status == 1
    assert [(kind, Path(file).name) for kind, file, _ in sorted(faults)] == [
        ("missing", "cityscapes_panoptic_train.json"),
        ("missing", "synthetic_000000_000002_gtFine_panoptic.png"),
        ("missing", "synthetic_000000_000000_gtFine_leftImg8bit.png"),
    ]


def test_a_split_that_cannot_be_opened_does_not_hide_the_others() -> None:
    Path("coco_panoptic/panoptic_train.json").write_text("{")
    Path(PNG.format(0).replace("train", "val")).unlink()
    status, report, faults = run("data=coco_panoptic", "data.root=coco_panoptic")
    assert status == 1
    assert {(kind, Path(file).name) for kind, file, _ in faults} == {
        ("unreadable", "panoptic_train.json"),
        ("missing", "val_000000.png"),
    }
    assert report["splits"]["val"]["images"] == 3


def test_a_folder_that_is_not_there_hides_no_other_fault() -> None:
    def edit(content: dict) -> None:
        content["images"].append(content["images"][0])
        segment(content, 1)["category_id"] = 999

    change(edit)
    shutil.rmtree("coco_panoptic/panoptic_train")
    shutil.rmtree("coco_panoptic/val")
    status, _, faults = run("data=coco_panoptic", "data.root=coco_panoptic")
    assert status == 1
    assert {(kind, file) for kind, file, _ in faults} == {
        ("doubled", JSON),
        ("category", JSON),
        ("missing", "coco_panoptic/panoptic_train"),
        ("missing", "coco_panoptic"),  # no folder of the split's images, wherever they are looked for
    }


def test_files_that_the_system_cannot_open_are_faults_like_others() -> None:
    def edit(content: dict) -> None:
        content["images"][0]["file_name"] = "x" * 300
        content["images"][1]["file_name"] = "\ud800"
        content["annotations"][2]["file_name"] = "y" * 300
        content["images"][3]["file_name"] = "loop.png"

    change(edit)
    os.symlink("loop.png", "coco_panoptic/train/loop.png")
    Path(IMAGE.format(4)).unlink()
    Path(IMAGE.format(4)).mkdir()
    Path("coco_panoptic/val/val_000000.png").write_bytes(b"")
    Path("coco_panoptic/val/val_000001.png").write_bytes(b"")
    status, _, faults = run("data=coco_panoptic", "data.root=coco_panoptic")
    assert status == 1
    assert {(kind, Path(file).name) for kind, file, _ in faults} == {
        ("missing", "x" * 300),
        ("malformed", "panoptic_train.json"),
        ("missing", "panoptic_train.json"),  # the image of an annotation has no sound entry
        ("missing", "y" * 300),
        ("missing", "loop.png"),
        ("unreadable", "train_000004.png"),
        ("unreadable", "val_000000.png"),
        ("unreadable", "val_000001.png"),
    }


def test_categories_are_those_of_every_split_whatever_their_colors() -> None:
    def edit(content: dict) -> None:
        for category in content["categories"]:
            del category["color"]

    change(edit)
    assert run("data=coco_panoptic", "data.root=coco_panoptic")[0] == 0
    change(lambda content: content["categories"].reverse())
    status, _, faults = run("data=coco_panoptic", "data.root=coco_panoptic")
    assert status == 1
    assert [(kind, what) for kind, _, what in faults] == [
        (
            "category",
            "expected the categories of train, category 1 to be 'bicycle' (id 33, thing), got 'road' (id 7, stuff)",
        )
    ]


def test_train_ids_are_the_same_categories() -> None:
    conversion = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    conversion.convert2panoptic("cityscapes/gtFine", "cityscapes/gtFine", True, ["val"])
    for png in Path("cityscapes/gtFine/val").rglob("*Ids.png"):
        png.unlink()
    _, plain, _ = run("data=cityscapes", "data.root=panoptic")
    status, report, faults = run("data=cityscapes", "data.root=cityscapes")
    assert (status, faults) == (0, set())
    assert report["splits"]["val"] == plain["splits"]["val"]


def test_one_json_file_with_other_folders_is_not_the_same_split(capsys: pytest.CaptureFixture) -> None:
    paths = [f"data.{split}.panoptic_json={JSON}" for split in ("train", "val")]
    given = (*paths, "data.train.image_dir=coco_panoptic/train", "data.val.image_dir=nowhere")
    status, _, faults = run("data=coco_panoptic", *given)
    assert (status, [(kind, file) for kind, file, _ in faults]) == (1, [("missing", "nowhere")])
    status, _, faults = run("data=coco_panoptic", "data.root=coco_panoptic", "data.test.image_dir=nowhere")
    assert (status, [(kind, file) for kind, file, _ in faults]) == (1, [("missing", "coco_panoptic/nowhere")])


def test_pictures_of_an_earlier_inspection_do_not_stay() -> None:
    run("data=coco_panoptic", "data.root=coco_panoptic")
    assert Path("out/contact_sheet.png").exists()
    for split in ("train", "val"):
        Path(f"coco_panoptic/panoptic_{split}.json").write_text("[]")
    assert run("data=coco_panoptic", "data.root=coco_panoptic")[0] == 1
    assert sorted(p.name for p in Path("out").iterdir()) == ["faults.csv", "report.json"]


def test_kinds_can_be_ignored(capsys: pytest.CaptureFixture) -> None:
    shutil.copy(IMAGE.format(3), IMAGE.format(4))
    assert run("data=coco_panoptic", "data.root=coco_panoptic")[0] == 1
    assert "coco_panoptic: expected a data set without faults, got 1 (1 doubled)" in capsys.readouterr().err
    status, report, faults = run("data=coco_panoptic", "data.root=coco_panoptic", "ignore=[doubled]")
    assert (status, len(faults), report["ignored"]) == (0, 1, ["doubled"])


def test_one_json_file_for_all_splits_is_inspected_once() -> None:
    root = Path("one")
    shutil.copytree("coco_panoptic/train", root / "images")
    shutil.copytree("coco_panoptic/panoptic_train", root / "panoptic")
    shutil.copy(JSON, root / "panoptic.json")
    status, report, _ = run("data=coco_panoptic", "data.root=one")
    assert (status, [s["images"] for s in report["splits"].values()]) == (0, [5])
    assert report["notes"] == ["the same files serve train, val, test"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_that_training_needs_must_be_there(split: str) -> None:
    os.rename(f"coco_panoptic/panoptic_{split}.json", "coco_panoptic/panoptic_trian.json")
    os.rename(f"cityscapes/leftImg8bit/{split}", "cityscapes/leftImg8bit/trian")
    for kind, file, said in (
        ("coco_panoptic", "coco_panoptic", f"the JSON file of split '{split}'"),
        ("cityscapes", f"cityscapes/leftImg8bit/{split}", "expected a folder"),
    ):
        status, _, faults = run(f"data={kind}", f"data.root={kind}")
        assert status == 1
        assert [(k, f) for k, f, what in faults if said in what] == [("missing", file)]
        other = "val" if split == "train" else "train"
        assert run(f"data={kind}", f"data.root={kind}", f"splits=[{other}]")[0] == 0


def test_withheld_truth_is_no_fault() -> None:
    shutil.rmtree("cityscapes/gtFine/test")
    shutil.copytree("coco_panoptic/val", "coco_panoptic/test")
    for image in Path("coco_panoptic/test").iterdir():
        with Image.open(image) as picture:
            picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(image)
    for kind in ("cityscapes", "coco_panoptic"):
        status, report, _ = run(f"data={kind}", f"data.root={kind}")
        assert status == 0
        assert report["splits"]["test"]["with_truth"] == 0


BAD = {
    "no data": ((), "data: expected a data set (data=coco_panoptic"),
    "no root": (("data=cityscapes",), "data.root: expected a folder, got none"),
    "nothing there": (("data=coco_panoptic", "data.root=nowhere"), "nowhere: expected a folder"),
    "unknown kind": (("data=cityscapes", "data.root=cityscapes", "ignore=[dust]"), "ignore: expected kinds of faults"),
    "unknown split": (("data=cityscapes", "data.root=cityscapes", "splits=[dev]"), "splits: expected some of train"),
    "negative sheet": (("data=cityscapes", "data.root=cityscapes", "sheet=-1"), "sheet: expected at least 0"),
    "output in a file": (("data=cityscapes", "data.root=cityscapes", "output=file/x"), "output=file/x"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(case: str, here: Path, capsys: pytest.CaptureFixture) -> None:
    arguments, said = BAD[case]
    Path("file").touch()
    before = sorted(here.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        command("inspect", inspect, arguments)
    shown = capsys.readouterr().err
    assert (stop.value.code, len(shown.strip().splitlines())) == (1, 1)
    assert said in shown
    assert sorted(here.rglob("*")) == before


def test_the_contact_sheet_is_a_grid() -> None:
    pictures = [(f"a picture with a long name {i}" * 3, np.full((20 + i, 30, 3), i, np.uint8)) for i in range(5)]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.shape == (21 + 30 + 23 + 30 + 24 + 30, 76, 3)
    assert (sheet[22:43, 38:68] == 1).all()
    assert (sheet[22 + 51 : 22 + 51 + 22, :30] == 2).all()


def test_evenly_spread() -> None:
    assert evenly(5, 10) == [0, 1, 2, 3, 4]
    assert evenly(10, 4) == [0, 3, 6, 9]
    assert evenly(0, 4) == evenly(7, 0) == []
