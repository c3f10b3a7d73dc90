"""Cityscapes: small files in its layout, its label table, and a real photo."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.data.cityscapes import CityscapesSource, segments_from_instance_ids
from panoptic.errors import InputError
from panoptic.labels import CITYSCAPES, LabelSpace

FIXTURES = Path(__file__).parents[2].parent / "shared" / "fixtures"


def _write(root, split, name, instance_ids=None, size=None):
    city = name.split("_")[0]
    height, width = size or instance_ids.shape
    image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
    image.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 9, np.uint8)).save(image)
    if instance_ids is not None:
        truth = root / "gtFine" / split / city / f"{name}_gtFine_instanceIds.png"
        truth.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(instance_ids.astype(np.uint16)).save(truth)


def test_label_table_is_that_of_the_official_scripts():
    official = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    evaluated = sorted((label for label in official if not label.ignoreInEval), key=lambda label: label.trainId)
    assert [label.trainId for label in evaluated] == list(range(19))
    ours = [(c.name, c.id, c.isthing, c.color) for c in CITYSCAPES.categories]
    assert ours == [(label.name, label.id, label.hasInstances, label.color) for label in evaluated]


def test_segments_by_hand():
    stored = np.array(
        [
            [7, 7, 26, 26001, 26000],  # road; a group of cars; two cars
            [7, 24003, 26, 33, 0],  # person; a group of bicycles; unlabeled
            [4, 65535, 29000, 30001, 9],  # static, license plate (-1), caravan, trailer, parking: not evaluated
            [23, 23, 26001, 21, 1],  # sky; the first car goes on; vegetation; ego vehicle
        ]
    )
    segments = segments_from_instance_ids(stored)
    names = [CITYSCAPES.names[c] for c in segments.classes]
    assert names == ["road", "vegetation", "sky", "car", "bicycle", "person", "car", "car"]
    assert segments.crowd.tolist() == [False, False, False, True, True, False, False, False]
    expected = [[1, 1, 4, 8, 7], [1, 6, 4, 5, 0], [0, 0, 0, 0, 0], [3, 3, 8, 2, 0]]
    assert segments.ids.tolist() == expected
    assert segments.areas().tolist() == [3, 1, 2, 2, 1, 1, 1, 2]


def test_stuff_is_one_segment_and_never_crowd():
    segments = segments_from_instance_ids(np.array([[11, 11000, 11005, 11]]))
    assert segments.ids.tolist() == [[1, 1, 1, 1]]
    assert segments.crowd.tolist() == [False]


def test_read(tmp_path):
    _write(tmp_path, "val", "munster_000000_000019", np.full((3, 4), 23))
    _write(tmp_path, "val", "frankfurt_000000_000294", np.array([[24000, 7]]))
    _write(tmp_path, "val", "frankfurt_000000_000576", np.zeros((2, 2)))
    source = pickle.loads(pickle.dumps(CityscapesSource("val", root=str(tmp_path))))
    assert len(source) == 3
    assert source.labels == CITYSCAPES
    samples = [source.read(i, strength=0.5) for i in range(3)]
    assert [s.name for s in samples] == ["frankfurt_000000_000294", "frankfurt_000000_000576", "munster_000000_000019"]
    assert samples[0].image.tolist() == [[[9, 9, 9], [9, 9, 9]]]
    assert samples[0].segments.ids.tolist() == [[2, 1]]
    assert len(samples[1].segments.classes) == 0  # nothing labeled is no error, and known


def test_truth_of_test_is_withheld(tmp_path):
    _write(tmp_path, "test", "berlin_000000_000019", np.full((2, 2), 3))
    _write(tmp_path, "test", "berlin_000001_000019", size=(2, 2))
    _write(tmp_path, "test", "berlin_000002_000019", np.full((2, 2), 7))
    source = CityscapesSource("test", root=tmp_path)
    assert [source.read(i).segments is None for i in range(3)] == [True, True, False]


def test_errors_say_what_was_looked_for(tmp_path):
    for root in (None, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="data=synthetic needs no files") as error:
            CityscapesSource("val", root=root)
        assert "leftImg8bit/<split>/<city>" in str(error.value)
    assert str(tmp_path / "nowhere" / "leftImg8bit" / "val") in str(error.value)
    (tmp_path / "leftImg8bit" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match="expected images named"):
        CityscapesSource("train", root=tmp_path)
    _write(tmp_path, "val", "ulm_000000_000019", size=(2, 2))
    with pytest.raises(InputError, match=r"ulm_000000_000019_gtFine_instanceIds\.png.*1 of 1 are missing"):
        CityscapesSource("val", root=tmp_path)


def test_damaged_truth(tmp_path):
    _write(tmp_path, "val", "ulm_000000_000019", np.full((2, 2), 7))
    source = CityscapesSource("val", root=tmp_path)
    _write(tmp_path, "val", "ulm_000000_000019", np.full((3, 2), 7))
    truth = tmp_path / "gtFine" / "val" / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    Image.new("I;16", (2, 2)).save(truth)
    with pytest.raises(InputError, match=rf"{truth.name}.*\(3, 2\), got \(2, 2\)"):
        source.read(0)
    Image.new("RGB", (2, 3)).save(truth)
    with pytest.raises(InputError, match=rf"{truth.name}: expected a PNG with one channel of 16 bits"):
        source.read(0)


def _write_panoptic(root, names, labels=CITYSCAPES, size=(2, 3)):
    """Writes the panoptic version: each image is one segment of the first category."""
    folder = root / "gtFine" / "cityscapes_panoptic_val"
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(np.full((*size, 3), (1, 0, 0), np.uint8)).save(folder / f"{name}_gtFine_panoptic.png")
    first = labels.categories[0].id
    content = {
        "images": [{"id": name, "file_name": f"{name}_gtFine_leftImg8bit.png"} for name in names],
        "annotations": [
            {
                "image_id": name,
                "file_name": f"{name}_gtFine_panoptic.png",
                "segments_info": [{"id": 1, "category_id": first}],
            }
            for name in names
        ],
        "categories": labels.to_dicts(),
    }
    folder.with_suffix(".json").write_text(json.dumps(content))


def test_panoptic_truth_is_for_where_there_is_no_other(tmp_path):
    for name in ("ulm_000000_000019", "ulm_000001_000019"):
        _write(tmp_path, "val", name, size=(2, 3))
    _write_panoptic(tmp_path, ["ulm_000001_000019", "ulm_000000_000019"])
    source = CityscapesSource("val", root=tmp_path)
    assert [source.read(i).segments.classes.tolist() for i in range(2)] == [[0], [0]]
    for name in ("ulm_000000_000019", "ulm_000001_000019"):
        _write(tmp_path, "val", name, np.full((2, 3), 23))
    assert CityscapesSource("val", root=tmp_path).read(0).segments.classes.tolist() == [10]


def test_faults_of_panoptic_truth_are_told(tmp_path):
    _write(tmp_path, "val", "ulm_000000_000019", size=(2, 3))
    _write(tmp_path, "val", "ulm_000001_000019", size=(2, 3))
    _write_panoptic(tmp_path, ["ulm_000000_000019"])
    with pytest.raises(InputError, match=r"_val\.json: expected the annotation of ulm_000001.*1 of 2 are missing"):
        CityscapesSource("val", root=tmp_path)
    _write(tmp_path / "b", "val", "ulm_000000_000019", size=(3, 3))
    _write_panoptic(tmp_path / "b", ["ulm_000000_000019"])
    source = CityscapesSource("val", root=tmp_path / "b")
    with pytest.raises(InputError, match=r"ulm_000000_000019_gtFine_panoptic\.png: .*\(3, 3\), got \(2, 3\)"):
        source.read(0)
    _write(tmp_path / "c", "val", "ulm_000000_000019", size=(2, 3))
    _write_panoptic(tmp_path / "c", ["ulm_000000_000019"], LabelSpace(CITYSCAPES.categories[:-1]))
    with pytest.raises(InputError, match=r"19 categories.*bicycle; data=coco_panoptic reads any"):
        CityscapesSource("val", root=tmp_path / "c")


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="needs the shared fixtures")
def test_street_photo():
    sample = CityscapesSource("val", root=FIXTURES / "street_photo").read(0)
    segments = sample.segments
    names = [CITYSCAPES.names[c] for c in segments.classes]
    assert names == ["road", "building", "vegetation", "sky", "car", "car", "car", "car", "car", "car"]
    assert segments.crowd.tolist() == [False] * 4 + [True] + [False] * 5
    assert segments.areas().tolist() == [46475, 222420, 15940, 278754, 6178, 958, 10496, 5534, 32768, 19906]
    assert int((segments.ids == 0).sum()) == 571
    assert sample.image.shape == (800, 800, 3)
