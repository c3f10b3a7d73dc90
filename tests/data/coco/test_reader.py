"""COCO panoptic, read: every layout, and real data sets."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from panoptic.data.checks.coco import CocoExaminer
from panoptic.data.coco.pairs import PredictionPairs
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.coco.writer import CocoPanopticWriter
from panoptic.errors import InputError
from tests.data.coco.made_files import LABELS, assert_same, make_segments, write_image

NUCLEI = Path(__file__).parents[3] / "examples" / "nuclei"
FIXTURES = Path(__file__).parents[3].parent / "shared" / "fixtures"


def test_read_by_hand(dataset):
    source = pickle.loads(pickle.dumps(CocoPanopticSource("val", root=str(dataset()))))
    assert len(source) == 1
    assert source.labels == LABELS
    assert source.images.ids == [5]
    sample = source.read(0, strength=0.3)
    assert sample.name == "a"
    assert sample.image.tolist() == [[[1, 2, 3]] * 3] * 2
    assert sample.segments.scores is None
    # The crowd of a stuff category is none.
    assert_same(sample.segments, make_segments([[1, 1, 0], [3, 2, 2]], [0, 1, 1], [False, True, False]))


@pytest.mark.parametrize(
    ("json_name", "image_folder"),
    [
        ("annotations/panoptic_val2017.json", "val2017"),
        ("annotations/panoptic_val2017.json", "images/val2017"),
        ("annotations/panoptic_val.json", "val"),
        ("panoptic_val.json", "val"),
        ("panoptic_val.json", "images/val"),
        ("panoptic_val.json", "images"),
        ("val/panoptic.json", "val/images"),
        ("val/panoptic.json", "val"),
        ("panoptic.json", "images"),
    ],
)
def test_layouts(dataset, json_name, image_folder):
    source = CocoPanopticSource("val", root=dataset(json_name=json_name, image_folder=image_folder))
    assert source.read(0).segments.classes.tolist() == [0, 1, 1]


def test_explicit_paths(dataset, tmp_path):
    dataset(json_name="x/truth.json", image_folder="y")
    (tmp_path / "x" / "truth").rename(tmp_path / "z")
    relative = CocoPanopticSource("val", root=tmp_path, panoptic_json="x/truth.json", panoptic_dir="z", image_dir="y")
    absolute = CocoPanopticSource(
        "val", panoptic_json=tmp_path / "x" / "truth.json", panoptic_dir=tmp_path / "z", image_dir=tmp_path / "y"
    )
    assert_same(relative.read(0).segments, absolute.read(0).segments)


def test_annotations_alone(dataset, tmp_path):
    dataset(json_name="predictions.json")
    source = CocoPanopticSource("val", panoptic_json=tmp_path / "predictions.json")
    assert source.read_segments(0).classes.tolist() == [0, 1, 1]
    with pytest.raises(InputError, match="expected image_dir"):
        source.read(0)


def test_a_split_never_takes_the_file_of_another(dataset, tmp_path):
    dataset(json_name="panoptic_train.json", image_folder="train")
    (tmp_path / "panoptic.json").write_text("{}")
    with pytest.raises(InputError, match=r"JSON file of split 'val' \(annotations/panoptic_val2017\.json, "):
        CocoPanopticSource("val", root=tmp_path)


def test_truth_of_test_may_be_withheld(dataset, content, tmp_path):
    dataset()
    for name in ("b.png", "c.png", "c.jpg"):
        write_image(tmp_path / "test2017" / name, 4, 5)
    source = CocoPanopticSource("test", root=tmp_path)
    assert source.labels == LABELS
    assert [source.read(i).name for i in range(3)] == ["b", "c_jpg", "c_png"]
    assert source.read(0).segments is None

    del content["annotations"]
    content["images"][0]["file_name"] = "b.png"
    content["images"][0].update(height=4, width=5)
    (tmp_path / "panoptic_test.json").write_text(json.dumps(content))
    source = CocoPanopticSource("test", root=tmp_path)
    assert len(source) == 1
    assert source.read(0).segments is None
    assert source.read_segments(0) is None


def test_a_root_may_be_relative(tmp_path, monkeypatch):
    with CocoPanopticWriter(tmp_path / "data", LABELS, name="panoptic_val") as writer:
        writer.add("a", make_segments([[1, 1, 0]], [1]))
        write_image(tmp_path / "data" / "val" / "a.png", 1, 3)
    monkeypatch.chdir(tmp_path)
    for root in ("data", "./data", "../" + tmp_path.name + "/data"):
        assert CocoPanopticSource("val", root=root).read(0).segments.ids.tolist() == [[1, 1, 0]]


def test_png_files_beside_the_folder_of_annotations(tmp_path):
    # detectron2's layout; COCO's own comes first where both are there.
    with CocoPanopticWriter(tmp_path, LABELS, name="panoptic_val2017") as writer:
        writer.add("a", make_segments([[1, 1, 0]], [1]))
    write_image(tmp_path / "val2017" / "a.png", 1, 3)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "panoptic_val2017.json").rename(tmp_path / "annotations" / "panoptic_val2017.json")
    source = CocoPanopticSource("val", root=tmp_path)
    assert source.panoptic_dir == tmp_path / "panoptic_val2017"
    assert source.read(0).segments.ids.tolist() == [[1, 1, 0]]
    assert CocoExaminer("val", root=tmp_path).faults == []
    pairs = PredictionPairs(*[tmp_path / "annotations" / "panoptic_val2017.json"] * 2)
    assert torch.equal(pairs[0].prediction.ids, pairs[0].target.ids)
    shutil.copytree(tmp_path / "panoptic_val2017", tmp_path / "annotations" / "panoptic_val2017")
    assert CocoPanopticSource("val", root=tmp_path).panoptic_dir == tmp_path / "annotations" / "panoptic_val2017"


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="needs the shared fixtures")
class TestFixtures:
    def test_coco_photos(self):
        source = CocoPanopticSource("val", root=FIXTURES / "coco_photos")
        assert len(source.labels) == 133
        samples = [source.read(i) for i in range(2)]
        assert {s.name: (len(s.segments.classes), int(s.segments.crowd.sum())) for s in samples} == {
            "000000142238": (18, 1),
            "000000439180": (32, 2),
        }
        for i, sample in enumerate(samples):
            official = json.loads((FIXTURES / "coco_photos" / "panoptic.json").read_text())["annotations"][i]
            assert sample.segments.areas().tolist() == [info["area"] for info in official["segments_info"]]

    def test_boxes_are_those_of_coco(self, tmp_path):
        path = FIXTURES / "coco_photos"
        source = CocoPanopticSource("val", root=path)
        with CocoPanopticWriter(tmp_path, source.labels) as writer:
            for i in range(2):
                writer.add(source.read(i).name, source.read_segments(i))
        keys = ("category_id", "area", "bbox", "iscrowd")
        official, ours = (
            [
                (entry["image_id"], [[info[key] for key in keys] for info in entry["segments_info"]])
                for entry in json.loads((folder / "panoptic.json").read_text())["annotations"]
            ]
            for folder in (path, tmp_path)
        )
        assert ours == official


def test_nuclei():
    nuclei, backgrounds = 0, 0
    for split, count in (("train", 48), ("val", 16)):
        source = CocoPanopticSource(split, root=NUCLEI)
        assert len(source) == count
        assert source.read(0).image.shape == (256, 256, 3)
        for i in range(count):
            classes = source.read_segments(i).classes
            nuclei += int((classes == source.labels.names.index("nucleus")).sum())
            backgrounds += int((classes == source.labels.names.index("background")).sum())
    assert (nuclei, backgrounds) == (1816, 64)
