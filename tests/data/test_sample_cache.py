"""Decoded samples on disk: the same as from the files, whatever happens to either."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.scenes import scenes
from panoptic.data.cityscapes import CityscapesSource
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.data_sets import CityscapesData, CocoPanopticData
from panoptic.data.sample import Sample
from panoptic.data.sample_cache import CachedSource
from panoptic.errors import InputError

KINDS = {"cityscapes": CityscapesSource, "coco_panoptic": CocoPanopticSource}
LOADING = {"batch_size": 1, "crop": [32, 64], "scale": [0.5, 2.0]}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    small = ("height=64", "width=128", "train_size=0", "val_size=3", "test_size=0", "workers=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["panoptic"])
        for kind in KINDS:
            command("scenes", scenes, (f"output={kind}", f"format={kind}", *small))
    return folder


@pytest.fixture(autouse=True)
def _here(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        shutil.copytree(written / kind, tmp_path / kind)
    monkeypatch.chdir(tmp_path)


class Counting:
    """A source that counts how often it is read."""

    def __init__(self, source: CityscapesSource | CocoPanopticSource) -> None:
        self.source = source
        self.labels = source.labels
        self.image_ids = source.image_ids
        self.origin = source.origin
        self.reads = 0

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int, strength: float = 1.0) -> Sample:
        self.reads += 1
        return self.source.read(index, strength)


def opened(kind: str = "cityscapes") -> tuple[Counting, CachedSource]:
    Path("cache").mkdir(exist_ok=True)
    source = Counting(KINDS[kind]("val", root=kind))
    return source, CachedSource(source, "cache")


def same(one: Sample, other: Sample) -> bool:
    np.testing.assert_array_equal(one.image, other.image)
    for column in ("ids", "classes", "crowd"):
        a, b = (getattr(sample.segments, column) for sample in (one, other))
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    return one.name == other.name


def entries() -> list[Path]:
    return sorted(p for p in Path("cache").rglob("*") if p.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_what_was_read(kind: str) -> None:
    source, cached = opened(kind)
    for _ in range(3):
        for i in range(3):
            assert same(cached.read(i), source.source.read(i))
    assert source.reads == 3
    assert len(entries()) == 3
    again, other = opened(kind)  # another run
    for i in range(3):
        assert same(pickle.loads(pickle.dumps(CachedSource(again.source, "cache"))).read(i), source.source.read(i))
        assert same(other.read(i), source.source.read(i))
    assert again.reads == 0
    sample = cached.read(0)
    assert sample.image.flags.writeable  # augmentation may write to it
    assert len(cached) == 3
    assert list(cached.image_ids) == list(source.image_ids)


@pytest.mark.parametrize("which", [0, 1])
def test_changed_contents_are_read_anew_whatever_the_times_say(which: int) -> None:
    source, cached = opened()
    cached.read(0)
    file = source.origin(0).files[which]
    before = file.stat()
    with Image.open(file) as image:
        pixels = np.array(image)
    pixels[:20] = 7
    changed = Image.fromarray(pixels)
    changed.save(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert same(cached.read(0), source.source.read(0))
    assert source.reads == 2
    assert (cached.read(0).image[0, 0] == 7).all() == (which == 0)
    assert source.reads == 2


def test_a_file_of_the_same_size_and_times_is_not_taken_for_the_old_one() -> None:
    source, cached = opened()
    cached.read(0)
    file = source.origin(0).files[1]
    before = file.stat()
    content = bytearray(file.read_bytes())
    other = np.full((64, 128), 23, np.uint16)
    Image.fromarray(other).save("other.png")
    replacement = Path("other.png").read_bytes()
    # Both are padded to one length, with what PNG readers pass over.
    length = max(len(content), len(replacement))
    file.write_bytes(bytes(content) + bytes(length - len(content)))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    cached.read(0)
    file.write_bytes(replacement + bytes(length - len(replacement)))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert cached.read(0).segments.classes.tolist() == [10]


def test_touched_and_copied_files_are_not_decoded_again() -> None:
    source, cached = opened()
    expected = cached.read(0)
    for file in source.origin(0).files:
        os.utime(file, (1, 1))
    assert same(cached.read(0), expected)
    for file in source.origin(0).files:
        shutil.copy(file, "copy.png")
        os.replace("copy.png", file)
    assert same(cached.read(0), expected)
    assert source.reads == 1


def test_what_the_json_file_says_counts() -> None:
    source, cached = opened("coco_panoptic")
    cached.read(0)
    path = Path("coco_panoptic/panoptic_val.json")
    content = json.loads(path.read_text())
    first = content["annotations"][0]["segments_info"][0]
    stuff = [c["id"] for c in content["categories"] if not c["isthing"] and c["id"] != first["category_id"]]
    first["category_id"] = stuff[0]
    path.write_text(json.dumps(content))
    source, cached = opened("coco_panoptic")
    assert same(cached.read(0), source.source.read(0))
    assert source.reads == 1
    del content["annotations"][1]
    del content["images"][1]  # the others are found all the same
    path.write_text(json.dumps(content))
    source, cached = opened("coco_panoptic")
    cached.read(0)
    assert source.reads == 0


def test_names_are_those_of_the_split_as_it_is_now() -> None:
    """A name depends on the other images of the split, a cached sample does not."""
    for folder in ("a", "b"):
        shutil.copytree("coco_panoptic/val", f"coco_panoptic/images/{folder}")
    path = Path("coco_panoptic/panoptic_val.json")
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["file_name"] = f"images/a/{image['file_name']}"
    path.write_text(json.dumps(content))
    (Path("cache")).mkdir()

    def source() -> CocoPanopticSource:
        return CocoPanopticSource("val", root="coco_panoptic", image_dir=".")

    assert CachedSource(source(), "cache").read(0).name == "val_000000"
    twice = {"images": [], "annotations": [], "categories": content["categories"]}
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        for i, folder in enumerate(("a", "b")):
            image_id = 2 * image["id"] + i
            twice["images"].append(
                {**image, "id": image_id, "file_name": image["file_name"].replace("/a/", f"/{folder}/")}
            )
            twice["annotations"].append({**annotation, "image_id": image_id})
    path.write_text(json.dumps(twice))
    cached = CachedSource(source(), "cache")
    names = [cached.read(i).name for i in range(6)]
    assert names == [source().read(i).name for i in range(6)]
    assert len(set(names)) == 6


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "version"])
def test_a_damaged_entry_is_made_anew(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cached = opened()
    expected = cached.read(0)
    (entry,) = entries()
    if damage == "version":
        monkeypatch.setattr("panoptic.data.sample_cache.VERSION", 99)
    else:
        content = {"cut": entry.read_bytes()[:-50], "empty": b"", "other": b"x" * 5000}[damage]
        entry.write_bytes(content)
    assert same(cached.read(0), expected)
    assert source.reads == 2
    assert same(cached.read(0), expected)
    assert source.reads == 2


def test_a_file_that_is_gone_is_told_and_not_served() -> None:
    source, cached = opened()
    cached.read(0)
    source.origin(0).files[1].unlink()
    with pytest.raises(InputError, match="path that is not there"):
        cached.read(0)


def test_withheld_truth_stays_withheld() -> None:
    os.rename("cityscapes/leftImg8bit/val", "cityscapes/leftImg8bit/test")
    Path("cache").mkdir()
    cached = CachedSource(CityscapesSource("test", root="cityscapes"), "cache")
    assert cached.read(0).segments is None
    assert cached.read(0).segments is None


def test_a_cache_that_cannot_be_written_costs_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    source, cached = opened()

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("panoptic.data.sample_cache.save_file", full)
    with pytest.warns(UserWarning, match="cannot be kept.*No space left"):
        assert same(cached.read(0), source.source.read(0))
    assert entries() == []


def test_the_data_modules_cache_where_they_are_asked_to() -> None:
    for data in (
        CityscapesData(root="cityscapes", cache_dir="kept/here", **LOADING),
        CocoPanopticData(root="coco_panoptic", cache_dir="kept/here", **LOADING),
    ):
        plain = type(data)(root=data.root, **LOADING)
        for _ in range(2):
            batches = list(data.val_dataloader())
            assert [b.names for b in batches] == [b.names for b in plain.val_dataloader()]
            for one, other in zip(batches, plain.val_dataloader(), strict=True):
                assert torch.equal(one.images, other.images)
                assert torch.equal(one.segments.ids, other.segments.ids)
    assert len(list(Path("kept/here").rglob("*.safetensors"))) == 6
    Path("file").touch()
    with pytest.raises(InputError, match=r"data\.cache_dir=file/x: expected a folder that can be written"):
        CityscapesData(root="cityscapes", cache_dir="file/x", **LOADING).source("val")
