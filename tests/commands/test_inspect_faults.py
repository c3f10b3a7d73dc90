"""``python -m panoptic.inspect``: faults are told with their files, and none hides another."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.commands.inspected import IMAGE, JSON, PNG, change, inspected, segment

pytestmark = pytest.mark.usefixtures("data_sets")


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
    status, report, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic")
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
    status, _, faults = inspected("data=cityscapes", "data.root=cityscapes")
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
    status, _, faults = inspected("data=cityscapes", "data.root=panoptic")
    assert status == 1
    assert [(kind, Path(file).name) for kind, file, _ in sorted(faults)] == [
        ("missing", "cityscapes_panoptic_train.json"),
        ("missing", "synthetic_000000_000002_gtFine_panoptic.png"),
        ("missing", "synthetic_000000_000000_gtFine_leftImg8bit.png"),
    ]


def test_a_split_that_cannot_be_opened_does_not_hide_the_others() -> None:
    Path("coco_panoptic/panoptic_train.json").write_text("{")
    Path(PNG.format(0).replace("train", "val")).unlink()
    status, report, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic")
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
    status, _, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic")
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
    status, _, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic")
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
    assert inspected("data=coco_panoptic", "data.root=coco_panoptic")[0] == 0
    change(lambda content: content["categories"].reverse())
    status, _, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic")
    assert status == 1
    assert [(kind, what) for kind, _, what in faults] == [
        (
            "category",
            "expected the categories of train, category 1 to be 'bicycle' (id 33, thing), got 'road' (id 7, stuff)",
        )
    ]


def test_one_json_file_with_other_folders_is_not_the_same_split(capsys: pytest.CaptureFixture) -> None:
    paths = [f"data.{split}.panoptic_json={JSON}" for split in ("train", "val")]
    given = (*paths, "data.train.image_dir=coco_panoptic/train", "data.val.image_dir=nowhere")
    status, _, faults = inspected("data=coco_panoptic", *given)
    assert (status, [(kind, file) for kind, file, _ in faults]) == (1, [("missing", "nowhere")])
    status, _, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic", "data.test.image_dir=nowhere")
    assert (status, [(kind, file) for kind, file, _ in faults]) == (1, [("missing", "coco_panoptic/nowhere")])


def test_pictures_of_an_earlier_inspection_do_not_stay() -> None:
    inspected("data=coco_panoptic", "data.root=coco_panoptic")
    assert Path("out/contact_sheet.png").exists()
    for split in ("train", "val"):
        Path(f"coco_panoptic/panoptic_{split}.json").write_text("[]")
    assert inspected("data=coco_panoptic", "data.root=coco_panoptic")[0] == 1
    assert sorted(p.name for p in Path("out").iterdir()) == ["faults.csv", "report.html", "report.json"]


def test_kinds_can_be_ignored(capsys: pytest.CaptureFixture) -> None:
    shutil.copy(IMAGE.format(3), IMAGE.format(4))
    assert inspected("data=coco_panoptic", "data.root=coco_panoptic")[0] == 1
    assert "coco_panoptic: expected a data set without faults, got 1 (1 doubled)" in capsys.readouterr().err
    status, report, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic", "ignore=[doubled]")
    assert (status, len(faults), report["ignored"]) == (0, 1, ["doubled"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_that_training_needs_must_be_there(split: str) -> None:
    os.rename(f"coco_panoptic/panoptic_{split}.json", "coco_panoptic/panoptic_trian.json")
    os.rename(f"cityscapes/leftImg8bit/{split}", "cityscapes/leftImg8bit/trian")
    for kind, file, said in (
        ("coco_panoptic", "coco_panoptic", f"the JSON file of split '{split}'"),
        ("cityscapes", f"cityscapes/leftImg8bit/{split}", "expected a folder"),
    ):
        status, _, faults = inspected(f"data={kind}", f"data.root={kind}")
        assert status == 1
        assert [(k, f) for k, f, what in faults if said in what] == [("missing", file)]
        other = "val" if split == "train" else "train"
        assert inspected(f"data={kind}", f"data.root={kind}", f"splits=[{other}]")[0] == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_and_devices_among_the_images_are_not_read() -> None:
    Path(IMAGE.format(1)).unlink()
    os.mkfifo(IMAGE.format(1))
    Path(IMAGE.format(2)).unlink()
    Path(IMAGE.format(2)).symlink_to("/dev/zero")
    status, _, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic")
    assert status == 1
    assert {file for _, file, what in faults if "no regular file" in what} == {IMAGE.format(1), IMAGE.format(2)}
