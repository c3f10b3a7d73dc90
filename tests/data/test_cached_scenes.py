"""Painted scenes on disk: the same as painted, once for each strength, and never those of another generator."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from panoptic.data import loader
from panoptic.data.data_sets import SyntheticData
from panoptic.data.loader import default_workers
from panoptic.data.sample import Sample
from panoptic.data.sample_cache import VERSION, CachedScenes
from panoptic.errors import InputError
from panoptic.scenes import source as synthetic
from panoptic.scenes.source import SyntheticSource

SIZE = {"size": 3, "height": 64, "width": 96}


@pytest.fixture
def painted(monkeypatch) -> list[tuple]:
    """What was painted, in order."""
    calls = []
    paint = synthetic.render_scene
    monkeypatch.setattr(synthetic, "render_scene", lambda *a, **k: calls.append((*a, k["strength"])) or paint(*a, **k))
    return calls


def same(one: Sample, other: Sample) -> bool:
    return (
        one.name == other.name
        and np.array_equal(one.image, other.image)
        and torch.equal(one.segments.ids, other.segments.ids)
        and torch.equal(one.segments.classes, other.segments.classes)
        and torch.equal(one.segments.crowd, other.segments.crowd)
        and one.segments.ids.dtype == other.segments.ids.dtype
    )


def test_a_scene_is_painted_once_for_each_strength(tmp_path: Path, painted):
    source = CachedScenes(SyntheticSource("train", seed=5, **SIZE), tmp_path)
    plain = SyntheticSource("train", seed=5, **SIZE)
    for _ in range(2):
        for strength in (0.0, 0.5, 1.0):
            assert same(source.read(1, strength), plain.read(1, strength))
    assert len(painted) == 3 + 6  # 6 by the plain source
    again = CachedScenes(SyntheticSource("train", seed=5, **SIZE), tmp_path)  # another run
    assert same(again.read(1, 0.5), plain.read(1, 0.5))
    assert len(painted) == 3 + 7
    assert len(again) == 3
    assert list(again.image_ids) == [0, 1, 2]


def test_validation_scenes_have_one_strength(tmp_path: Path, painted):
    source = CachedScenes(SyntheticSource("val", **SIZE), tmp_path)
    assert same(source.read(0, 0.2), source.read(0, 1.0))
    assert len(painted) == 1


@pytest.mark.parametrize(
    "other",
    [
        SyntheticSource("train", seed=1, **SIZE),
        SyntheticSource("val", seed=0, **SIZE),
        SyntheticSource("train", seed=0, **SIZE | {"height": 96}),
    ],
)
def test_other_scenes_in_one_folder_are_apart(tmp_path: Path, other):
    CachedScenes(SyntheticSource("train", seed=0, **SIZE), tmp_path).read(0)
    assert same(CachedScenes(other, tmp_path).read(0), other.read(0))


def test_scenes_of_another_generator_are_painted_anew(tmp_path: Path, painted, monkeypatch):
    source = CachedScenes(SyntheticSource("train", **SIZE), tmp_path)
    source.read(0)
    CachedScenes(SyntheticSource("train", **SIZE, generator=2), tmp_path).read(0)
    assert len(painted) == 2
    monkeypatch.setattr(synthetic.cv2, "__version__", "0.0")
    source.read(0)
    assert len(painted) == 3


def test_a_damaged_entry_is_made_anew(tmp_path: Path, painted):
    source = CachedScenes(SyntheticSource("train", **SIZE), tmp_path)
    first = source.read(0)
    (entry,) = tmp_path.rglob("*.safetensors")
    entry.write_bytes(entry.read_bytes()[:100])
    assert same(source.read(0), first)
    assert len(painted) == 2
    assert same(source.read(0), first)
    assert len(painted) == 2


@pytest.mark.parametrize(
    ("arrays", "key"), [({"image": np.zeros(3)}, {}), ({"ids": np.zeros(3)}, None), ({}, {"recipe": "other"})]
)
def test_an_entry_that_something_else_wrote_is_made_anew(tmp_path: Path, painted, arrays, key):
    source = CachedScenes(SyntheticSource("train", **SIZE), tmp_path)
    first = source.read(0)
    (entry,) = tmp_path.rglob("*.safetensors")
    with safe_open(entry, framework="np") as file:
        own = json.loads(file.metadata()["key"])
    save_file(arrays, entry, {"key": json.dumps(own if key is None else {"version": VERSION, **key})})
    assert same(source.read(0), first)
    assert len(painted) == 2


def test_out_of_range_is_told_as_without_a_cache(tmp_path: Path):
    source = CachedScenes(SyntheticSource("train", **SIZE), tmp_path)
    with pytest.raises(IndexError, match="index: expected 0 to 2, got 3"):
        source.read(3)
    with pytest.raises(ValueError, match=r"strength: expected a number in 0\.\.1, got 1\.5"):
        source.read(0, 1.5)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"data\.cache_dir=.*: expected a folder that can be written, got: a file"):
        CachedScenes(SyntheticSource("train", **SIZE), tmp_path / "file")


def test_the_data_module_takes_the_folder(tmp_path: Path):
    sizes = {"height": 64, "width": 96, "train_size": 3, "val_size": 1, "test_size": 1}
    loading = {"batch_size": 1, "crop": [32, 64], "scale": [0.5, 2.0]}
    data = SyntheticData(0, **sizes, cache=True, cache_dir=str(tmp_path), **loading)
    plain = SyntheticData(0, **sizes, **loading)
    for one, other in zip(data.train_dataloader(), plain.train_dataloader(), strict=True):
        assert torch.equal(one.images, other.images)
        assert one.names == other.names
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3


@pytest.mark.parametrize(
    ("gpu", "world", "processors", "expected"),
    [(False, 1, 8, 2), (False, 1, 1, 1), (True, 1, 16, 15), (True, 8, 64, 7)],
)
def test_workers_are_found(monkeypatch, gpu, world, processors, expected):
    monkeypatch.setattr(loader.torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(loader.os, "sched_getaffinity", lambda pid: set(range(processors)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world))
    assert default_workers() == expected
    data = SyntheticData(0, 64, 96, 1, 1, 1, batch_size=1, crop=[32, 64], scale=[1.0, 1.0], workers=None)
    assert data.workers == expected
