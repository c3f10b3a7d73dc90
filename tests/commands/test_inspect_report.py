"""``report.html`` of ``python -m panoptic.inspect``: one valid file with what was found, whatever names there are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.analysis.html_checks import Checked
from tests.commands.inspected import IMAGE, JSON, PNG, change, inspected, segment

pytestmark = pytest.mark.usefixtures("data_sets")
EVIL = "<script>alert(1)</script>"


def page() -> Checked:
    return Checked(Path("out/report.html").read_text(encoding="utf-8"))


def test_a_sound_data_set(capsys: pytest.CaptureFixture) -> None:
    status, report, _ = inspected("data=coco_panoptic", "data.root=coco_panoptic")
    checked = page()
    assert (status, checked.text["h1"]) == (0, ["Inspection of coco_panoptic"])
    assert "Fit for training: no faults." in checked.text["p"]
    assert checked.text["h2"] == [
        "Summary",
        "Contents",
        "Categories by split",
        "Sizes of things",
        "Near-duplicates",
        "Contact sheet",
    ]
    assert len(checked.attributes["svg"]) == 6
    assert len(checked.attributes["img"]) == 8  # the contact sheet
    assert report["near_duplicates"]["counts"] == []
    assert report["thing_sizes"]["assumed"]["crop"] == [512, 1024]
    assert "near-duplicates" not in capsys.readouterr().out
    assert Path("out/report.html").stat().st_size < 1_000_000


def test_things_larger_than_the_crop_that_is_given() -> None:
    _, report, _ = inspected("data=coco_panoptic", "data.root=coco_panoptic", "data.crop=[32,32]")
    counts = report["thing_sizes"]["per_class"]
    assert (
        sum(sizes["things"] for sizes in counts.values()) > sum(sizes["beyond_crop"] for sizes in counts.values()) > 0
    )
    assert any("data.crop=[32,32]" in text for text in page().text["p"])


def test_near_duplicates_between_splits_are_shown_and_leave_the_data_fit(capsys: pytest.CaptureFixture) -> None:
    with Image.open(IMAGE.format(2)) as image:
        pixels = np.clip(np.array(image.convert("RGB")) * 1.1, 0, 255).astype(np.uint8)
    copy = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    cv2.imwrite("coco_panoptic/val/val_000001.png", copy)
    status, report, faults = inspected("data=coco_panoptic", "data.root=coco_panoptic", "sheet=0")
    assert (status, faults) == (0, set())
    assert report["near_duplicates"]["counts"] == [{"split": "val", "like": "train", "images": 1, "pairs": 1}]
    (pair,) = report["near_duplicates"]["closest"]
    assert (pair["file"], pair["other"]) == ("coco_panoptic/val/val_000001.png", IMAGE.format(2))
    assert 0 <= pair["bits_that_differ"] <= 24
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: near-duplicates")]
    assert len(told) == 1
    assert told[0].endswith("1 images of val look like images of train, a leak: scores of val will be too high")
    checked = page()
    assert any(text.startswith("1 of 3 images of val look like images of train, a leak") for text in checked.text["p"])
    assert [Path(caption).name for caption in checked.text["figcaption"] if "bits differ" in caption] == [
        f"val: val_000001.png and train: train_000002.png: {pair['bits_that_differ']} bits differ"
    ]
    assert len(checked.attributes["img"]) == 2  # no contact sheet was asked for


def test_faults_are_shown_with_the_images_that_can_be_read() -> None:
    def edit(content: dict) -> None:
        content["images"][0]["width"] = 127

    change(edit)
    Path(IMAGE.format(1)).write_bytes(Path(IMAGE.format(1)).read_bytes()[:300])
    Path(PNG.format(3)).unlink()
    status, _, _ = inspected("data=coco_panoptic", "data.root=coco_panoptic", "sheet=0")
    checked = page()
    assert status == 1
    assert "Not fit for training: 4 faults (2 size, 1 unreadable, 1 missing)." in checked.text["p"]
    assert checked.text["h3"] == ["missing: 1", "unreadable: 1", "size: 2"]
    assert "A file cannot be read as what it should be." in checked.text["p"]
    assert {IMAGE.format(0), IMAGE.format(1), PNG.format(3)} <= set(checked.text["td"])
    assert [caption for caption in checked.text["figcaption"] if caption.startswith("train")] == [
        "train: train_000003.png",
        "train: train_000000.png",
    ]
    inspected("data=coco_panoptic", "data.root=coco_panoptic", "ignore=[size,missing,unreadable]")
    assert "Fit for training, but for 4 faults that were ignored." in page().text["p"]


def test_names_are_shown_and_not_run() -> None:
    name = "<img src=x onerror=alert(1)> & \"'.png"

    def edit(content: dict) -> None:
        content["categories"][-1]["name"] = EVIL
        content["images"][0]["file_name"] = name
        segment(content, 1)["category_id"] = content["categories"][-1]["id"]
        segment(content, 2)["id"] = EVIL

    change(edit)
    for_val = json.loads(Path("coco_panoptic/panoptic_val.json").read_text())
    for_val["categories"][-1]["name"] = EVIL
    Path("coco_panoptic/panoptic_val.json").write_text(json.dumps(for_val))
    Path(IMAGE.format(0)).rename(f"coco_panoptic/train/{name}")
    shutil.move("coco_panoptic", "<b>data&")
    inspected("data=coco_panoptic", "data.root='<b>data&'")
    checked = page()
    assert checked.text["h1"] == ["Inspection of <b>data&"]
    assert EVIL in checked.text["td"]
    assert any(EVIL in text for text in checked.text["td"] if "expected 'id'" in text)
    assert f"train: {name}" in checked.text["figcaption"]
    source = Path("out/report.html").read_text()
    assert "<script" not in source
    assert "<b>" not in source


def test_a_data_set_of_which_nothing_can_be_read() -> None:
    for split in ("train", "val"):
        Path(JSON.replace("train", split)).write_text("{")
    status, _, _ = inspected("data=coco_panoptic", "data.root=coco_panoptic")
    checked = page()
    assert (status, checked.text["h2"]) == (1, ["Summary", "Faults"])
    assert "No split could be read." in checked.text["p"]


def test_the_file_is_bounded_whatever_the_data() -> None:
    """Noise in all images, all alike and all faulty: thumbnails are bounded in size and number."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 512, 3), np.uint8)
    root = Path("many")
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / f"panoptic_{split}").mkdir()
        names = [f"{split}{i}.png" for i in range(16)]
        for name in names:
            cv2.imwrite(str(root / split / name), noise)
            cv2.imwrite(str(root / f"panoptic_{split}" / name), np.zeros_like(noise))
        content = {
            "images": [{"id": name, "file_name": name, "width": 511} for name in names],
            "annotations": [{"image_id": name, "file_name": name, "segments_info": []} for name in names],
            "categories": [{"id": i, "name": f"${EVIL * 20}$\\x{i}$", "isthing": i % 2} for i in range(200)],
        }
        (root / f"panoptic_{split}.json").write_text(json.dumps(content))
    status, report, _ = inspected("data=coco_panoptic", "data.root=many", "sheet=80")
    assert status == 1
    assert report["near_duplicates"]["counts"][0] == {"split": "val", "like": "train", "images": 16, "pairs": 256}
    assert len(report["near_duplicates"]["closest"]) == 24
    checked = page()
    assert len(checked.attributes["img"]) <= 32 + 2 * 24 + 8 * 6
    assert Path("out/report.html").stat().st_size < 5_000_000
