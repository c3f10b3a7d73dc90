"""COCO panoptic: written and read back, every layout, every fault, and real data sets."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.data.checks.coco import CocoExaminer
from panoptic.data.coco.pairs import PredictionPairs
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.coco.writer import CocoPanopticWriter
from panoptic.errors import InputError
from panoptic.labels import Category, LabelSpace
from panoptic.segments import Segments

NUCLEI = Path(__file__).parents[3] / "examples" / "nuclei"
FIXTURES = Path(__file__).parents[3].parent / "shared" / "fixtures"
LABELS = LabelSpace((Category("sky", 7, False, (0, 100, 200)), Category("car", 3, True, (200, 40, 40))))


def _segments(ids, classes, crowd=None, scores=None):
    crowd = [False] * len(classes) if crowd is None else crowd
    return Segments(
        torch.tensor(ids, dtype=torch.int32),
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(crowd, dtype=torch.bool),
        None if scores is None else torch.tensor(scores),
    )


def _assert_same(one, other):
    assert one.ids.dtype == other.ids.dtype == torch.int32
    for column in ("ids", "classes", "crowd"):
        assert torch.equal(getattr(one, column), getattr(other, column)), column
    assert (one.scores is None) == (other.scores is None)
    assert one.scores is None or torch.equal(one.scores, other.scores)


def _write_image(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (1, 2, 3)).save(path)


@pytest.fixture
def content():
    """A valid JSON file of one image, 2 high and 3 wide: sky with number 70000, two cars with 255 and 256, void."""
    return {
        "images": [{"id": 5, "file_name": "a.png", "height": 2, "width": 3}],
        "annotations": [
            {
                "image_id": 5,
                "file_name": "a.png",
                "segments_info": [
                    {"id": 70000, "category_id": 7, "iscrowd": 1, "area": 2, "bbox": [0, 0, 2, 1]},
                    {"id": 256, "category_id": 3, "iscrowd": 1},
                    {"id": 255, "category_id": 3, "iscrowd": 0},
                ],
            }
        ],
        "categories": LABELS.to_dicts(),
    }


@pytest.fixture
def dataset(tmp_path, content):
    """Writes that file, or a changed one, with its PNG and image."""

    def write(changed=None, json_name="panoptic_val.json", image_folder="val", root=tmp_path):
        path = root / json_name
        path.with_suffix("").mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(changed or content))
        # 70000 = 112 + 256 * 17 + 65536 * 1
        pixels = [[(112, 17, 1), (112, 17, 1), (0, 0, 0)], [(255, 0, 0), (0, 1, 0), (0, 1, 0)]]
        Image.fromarray(np.array(pixels, np.uint8)).save(path.with_suffix("") / "a.png")
        _write_image(root / image_folder / "a.png", 2, 3)
        return root

    return write


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
    _assert_same(sample.segments, _segments([[1, 1, 0], [3, 2, 2]], [0, 1, 1], [False, True, False]))


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
    _assert_same(relative.read(0).segments, absolute.read(0).segments)


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
        _write_image(tmp_path / "test2017" / name, 4, 5)
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


def _at(content, path):
    for step in path:
        content = content[step]
    return content


def _set(*path, value):
    return lambda content: _at(content, path[:-1]).__setitem__(path[-1], value)


def _append(*path, value):
    return lambda content: _at(content, path).append(value)


INFO = ("annotations", 0, "segments_info")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("annotations"), "expected 'annotations' to be a list"),
        (lambda c: c.pop("images"), "expected 'images' to be a list"),
        (lambda c: c.pop("categories"), "expected 'categories' to be a list"),
        (_set("categories", 0, value={"id": 1}), "categories: .*'name'"),
        (_set("categories", 0, value="car"), "categories: "),
        (_set("images", value=[]), "images: expected distinct ids, got none"),
        (lambda c: c["images"].append(c["images"][0]), "images: expected distinct ids, got twice 5"),
        (_set("images", 0, "id", value=1.5), "expected 'id' to be a whole number or text"),
        (_set("images", 0, "height", value="2"), "expected 'height' to be a whole number"),
        (lambda c: c["images"].append({"id": "6", "file_name": "b.png"}), "got none for '6'"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "got more for 5"),
        (_set("annotations", 0, "image_id", value=9), "image_id that is in 'images', got 9"),
        (_set("annotations", 0, "file_name", value=None), "expected 'file_name' to be text"),
        (_set(*INFO, 0, "category_id", value=4), "image_id 5: segment 70000: expected a category_id .* got 4"),
        (_set(*INFO, 0, "category_id", value=True), "expected 'category_id' to be a whole number"),
        (_set(*INFO, 0, "id", value=0), "segment ids of 1 to 16777215, got 0"),
        (_set(*INFO, 0, "id", value=255), "distinct segment ids, got twice 255"),
        (_append(*INFO, value=3), "expected an object with 'id', got 3"),
    ],
)
def test_faults_in_the_json_file(dataset, content, change, message):
    change(content)
    with pytest.raises(InputError, match=rf"panoptic_val\.json: .*{message}"):
        CocoPanopticSource("val", root=dataset(content))


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_invalid_json(dataset, text):
    root = dataset()
    (root / "panoptic_val.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"panoptic_val\.json: expected"):
        CocoPanopticSource("val", root=root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annotations"][0]["segments_info"].pop(), r"panoptic_val/a\.png: .*got others: 255"),
        (_append(*INFO, value={"id": 8, "category_id": 3}), r"panoptic_val/a\.png: .*got no pixel of 8"),
        (_set("images", 0, "height", value=3), r"val/a\.png: expected height and width \(3, 3\).*got \(2, 3\)"),
        (_set("images", 0, "file_name", value="b.png"), r"val/b\.png: .*not there"),
        (_set("annotations", 0, "file_name", value="b.png"), r"panoptic_val/b\.png: .*not there"),
    ],
)
def test_faults_between_the_files(dataset, content, change, message):
    change(content)
    source = CocoPanopticSource("val", root=dataset(content))
    with pytest.raises(InputError, match=message):
        source.read(0)


def test_png_of_another_size_or_kind(dataset, content):
    del content["images"][0]["height"], content["images"][0]["width"]
    root = dataset(content)
    source = CocoPanopticSource("val", root=root)
    _write_image(root / "val" / "a.png", 2, 4)
    with pytest.raises(InputError, match=r"panoptic_val/a\.png: .*val/a\.png, \(2, 4\), got \(2, 3\)"):
        source.read(0)
    Image.new("L", (4, 2)).save(root / "panoptic_val" / "a.png")
    with pytest.raises(InputError, match=r"panoptic_val/a\.png: expected a PNG with 8-bit RGB"):
        source.read(0)


def test_missing_folders(dataset, tmp_path):
    with pytest.raises(InputError, match=r"data\.root.*data=synthetic"):
        CocoPanopticSource("val")
    with pytest.raises(InputError, match="nowhere: expected a folder"):
        CocoPanopticSource("val", root=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"none\.json: expected a JSON file"):
        CocoPanopticSource("val", panoptic_json=tmp_path / "none.json")
    dataset(image_folder="elsewhere")
    with pytest.raises(InputError, match="folder with the images of split 'val'"):
        CocoPanopticSource("val", root=tmp_path)
    with pytest.raises(InputError, match="missing: expected a folder with images"):
        CocoPanopticSource("val", root=tmp_path, image_dir="missing")
    with pytest.raises(InputError, match="missing: expected a folder with the PNG files"):
        CocoPanopticSource("val", root=tmp_path, image_dir="elsewhere", panoptic_dir="missing")


def test_written_and_read_back(tmp_path):
    ids = np.random.default_rng(0).integers(0, 301, (40, 50))
    ids[0, 0] = 300
    scores = torch.linspace(0.1, 0.9, 300)
    many = _segments(ids, [1] * 300, [i % 3 == 0 for i in range(300)], scores.tolist()).compact()
    written = {
        "plain": _segments([[1, 1, 0], [2, 3, 3]], [0, 1, 1], [False, True, False]),
        "nothing": _segments([[0, 0], [0, 0]], []),
        "many": many,
    }
    with CocoPanopticWriter(tmp_path / "new" / "folder", LABELS, name="panoptic_val") as writer:
        for name, segments in written.items():
            writer.add(name, segments)
            _write_image(tmp_path / "new" / "folder" / "val" / f"{name}.png", *segments.size)
        assert not writer.panoptic_json.exists()
    source = CocoPanopticSource("val", root=tmp_path / "new" / "folder")
    assert source.labels == LABELS
    for i, (name, segments) in enumerate(written.items()):
        sample = source.read(i)
        assert sample.name == name
        _assert_same(sample.segments, segments)


def test_json_by_hand(tmp_path):
    with CocoPanopticWriter(tmp_path, LABELS) as writer:
        # Row 2 has no pixel and is left out.
        segments = _segments([[1, 1, 0], [0, 3, 1]], [1, 0, 0], [True, False, False], [0.5, 1.0, 0.25])
        writer.add("000139", segments, file_name="000139.jpg")
        writer.add("139", _segments([[0]], []))
        writer.add("b", _segments([[0]], []), image_id=7)
    content = json.loads((tmp_path / "panoptic.json").read_text())
    assert content["categories"] == LABELS.to_dicts()
    assert content["images"] == [
        {"id": 139, "file_name": "000139.jpg", "height": 2, "width": 3},
        {"id": "139", "file_name": "139.png", "height": 1, "width": 1},
        {"id": 7, "file_name": "b.png", "height": 1, "width": 1},
    ]
    assert content["annotations"][0] == {
        "image_id": 139,
        "file_name": "000139.png",
        "segments_info": [
            {"id": 1, "category_id": 3, "area": 3, "bbox": [0, 0, 3, 2], "iscrowd": 1, "score": 0.5},
            {"id": 2, "category_id": 7, "area": 1, "bbox": [1, 1, 1, 1], "iscrowd": 0, "score": 0.25},
        ],
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["panoptic", "panoptic.json"]


def test_ids_above_one_and_two_bytes(tmp_path):
    ids = torch.arange(1, 65537 + 3, dtype=torch.int32)[None]
    count = ids.numel()
    with CocoPanopticWriter(tmp_path, LABELS) as writer:
        writer.add("a", _segments(ids.tolist(), [1] * count))
    pixels = np.asarray(Image.open(tmp_path / "panoptic" / "a.png"))[0]
    assert pixels[[254, 255, 256, 65535, 65537]].tolist() == [[255, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [2, 0, 1]]
    assert torch.equal(CocoPanopticSource("x", panoptic_json=tmp_path / "panoptic.json").read_segments(0).ids, ids)


def test_nothing_half_written(tmp_path):
    (tmp_path / "panoptic.json").write_text("of an earlier run")
    with pytest.raises(RuntimeError), CocoPanopticWriter(tmp_path, LABELS) as writer:  # noqa: PT012
        assert (tmp_path / "panoptic.json").exists()
        writer.add("a", _segments([[1]], [0]))
        raise RuntimeError
    assert not list(tmp_path.glob("*.json*"))


def test_writer_refuses(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/panoptic: expected a folder that can be written to"):
        CocoPanopticWriter(tmp_path / "file", LABELS)
    writer = CocoPanopticWriter(tmp_path, LABELS)
    one = _segments([[1]], [0])
    writer.add("a", one, image_id="a")
    for arguments, message in {
        ("a", one): "name: .*'a'",
        ("../b", one): "name: .*'../b'",
        ("b", one, "a"): "image_id: .*'a'",
        ("c", Segments(one.ids[None], one.classes[None], one.crowd[None])): "batch",
        ("d", _segments([[1]], [2])): r"classes: expected 0\.\.1, got 2",
    }.items():
        name, segments, *image_id = arguments
        with pytest.raises(ValueError, match=message):
            writer.add(name, segments, image_id=image_id[0] if image_id else None)
    writer.panoptic_json.mkdir()
    with pytest.raises(InputError, match=re.escape(f"{writer.panoptic_json}: expected to write it")):
        writer.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "panoptic", "panoptic.json"]


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


def test_a_root_may_be_relative(tmp_path, monkeypatch):
    with CocoPanopticWriter(tmp_path / "data", LABELS, name="panoptic_val") as writer:
        writer.add("a", _segments([[1, 1, 0]], [1]))
        _write_image(tmp_path / "data" / "val" / "a.png", 1, 3)
    monkeypatch.chdir(tmp_path)
    for root in ("data", "./data", "../" + tmp_path.name + "/data"):
        assert CocoPanopticSource("val", root=root).read(0).segments.ids.tolist() == [[1, 1, 0]]


def test_png_files_beside_the_folder_of_annotations(tmp_path):
    # detectron2's layout; COCO's own comes first where both are there.
    with CocoPanopticWriter(tmp_path, LABELS, name="panoptic_val2017") as writer:
        writer.add("a", _segments([[1, 1, 0]], [1]))
    _write_image(tmp_path / "val2017" / "a.png", 1, 3)
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
