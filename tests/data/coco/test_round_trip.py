"""COCO panoptic, written: read back, by hand, and what the writer refuses."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.coco.writer import CocoPanopticWriter
from panoptic.errors import InputError
from panoptic.segments import Segments
from tests.data.coco.made_files import LABELS, assert_same, make_segments, write_image


def test_written_and_read_back(tmp_path):
    ids = np.random.default_rng(0).integers(0, 301, (40, 50))
    ids[0, 0] = 300
    scores = torch.linspace(0.1, 0.9, 300)
    many = make_segments(ids, [1] * 300, [i % 3 == 0 for i in range(300)], scores.tolist()).compact()
    written = {
        "plain": make_segments([[1, 1, 0], [2, 3, 3]], [0, 1, 1], [False, True, False]),
        "nothing": make_segments([[0, 0], [0, 0]], []),
        "many": many,
    }
    with CocoPanopticWriter(tmp_path / "new" / "folder", LABELS, name="panoptic_val") as writer:
        for name, segments in written.items():
            writer.add(name, segments)
            write_image(tmp_path / "new" / "folder" / "val" / f"{name}.png", *segments.size)
        assert not writer.panoptic_json.exists()
    source = CocoPanopticSource("val", root=tmp_path / "new" / "folder")
    assert source.labels == LABELS
    for i, (name, segments) in enumerate(written.items()):
        sample = source.read(i)
        assert sample.name == name
        assert_same(sample.segments, segments)


def test_json_by_hand(tmp_path):
    with CocoPanopticWriter(tmp_path, LABELS) as writer:
        # Row 2 has no pixel and is left out.
        segments = make_segments([[1, 1, 0], [0, 3, 1]], [1, 0, 0], [True, False, False], [0.5, 1.0, 0.25])
        writer.add("000139", segments, file_name="000139.jpg")
        writer.add("139", make_segments([[0]], []))
        writer.add("b", make_segments([[0]], []), image_id=7)
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
        writer.add("a", make_segments(ids.tolist(), [1] * count))
    pixels = np.asarray(Image.open(tmp_path / "panoptic" / "a.png"))[0]
    assert pixels[[254, 255, 256, 65535, 65537]].tolist() == [[255, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [2, 0, 1]]
    assert torch.equal(CocoPanopticSource("x", panoptic_json=tmp_path / "panoptic.json").read_segments(0).ids, ids)


def test_nothing_half_written(tmp_path):
    (tmp_path / "panoptic.json").write_text("of an earlier run")
    with pytest.raises(RuntimeError), CocoPanopticWriter(tmp_path, LABELS) as writer:  # noqa: PT012
        assert (tmp_path / "panoptic.json").exists()
        writer.add("a", make_segments([[1]], [0]))
        raise RuntimeError
    assert not list(tmp_path.glob("*.json*"))


def test_writer_refuses(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/panoptic: expected a folder that can be written to"):
        CocoPanopticWriter(tmp_path / "file", LABELS)
    writer = CocoPanopticWriter(tmp_path, LABELS)
    one = make_segments([[1]], [0])
    writer.add("a", one, image_id="a")
    for arguments, message in {
        ("a", one): "name: .*'a'",
        ("../b", one): "name: .*'../b'",
        ("b", one, "a"): "image_id: .*'a'",
        ("c", Segments(one.ids[None], one.classes[None], one.crowd[None])): "batch",
        ("d", make_segments([[1]], [2])): r"classes: expected 0\.\.1, got 2",
    }.items():
        name, segments, *image_id = arguments
        with pytest.raises(ValueError, match=message):
            writer.add(name, segments, image_id=image_id[0] if image_id else None)
    writer.panoptic_json.mkdir()
    with pytest.raises(InputError, match=re.escape(f"{writer.panoptic_json}: expected to write it")):
        writer.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "panoptic", "panoptic.json"]
