"""``python -m panoptic.scenes``: what is written reads back pixel for pixel, and Cityscapes' own tools accept it."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from panoptic.commands.app import command
from panoptic.commands.scenes import scenes
from panoptic.data.cityscapes import CityscapesSource
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.data.sample import Sample
from panoptic.scenes.source import SyntheticSource

SMALL = ("height=96", "width=192", "train_size=4", "val_size=2", "test_size=1")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["panoptic.scenes"])
    return tmp_path


def run(*arguments: str) -> None:
    command("scenes", scenes, ("output=data set", *SMALL, *arguments))


def painted(split: str) -> list[Sample]:
    size = {"train": 4, "val": 2, "test": 1}[split]
    source = SyntheticSource(split, seed=0, size=size, height=96, width=192)
    return [source.read(i) for i in range(size)]


def same(one: Sample, other: Sample) -> None:
    """The same pixels and the same segments, in whatever order their tables are."""
    np.testing.assert_array_equal(one.image, other.image)
    assert torch.equal(one.segments.semantic(), other.segments.semantic())
    crowds = [s.segments.per_pixel(s.segments.crowd.long(), 0) for s in (one, other)]
    assert torch.equal(*crowds)
    pairs = torch.stack([one.segments.ids, other.segments.ids], -1).view(-1, 2).unique(dim=0)
    for column in (0, 1):  # each id goes with one id of the other: the regions are the same
        assert len(pairs) == len(pairs[:, column].unique())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("format_", ["cityscapes", "coco_panoptic"])
def test_written_and_read_back_pixel_for_pixel(format_: str, workers: int, capsys: pytest.CaptureFixture) -> None:
    run(f"format={format_}", f"workers={workers}")
    kind = {"cityscapes": CityscapesSource, "coco_panoptic": CocoPanopticSource}[format_]
    for split in ("train", "val", "test"):
        source = kind(split, root="data set")
        expected = painted(split)
        assert len(source) == len(expected)
        assert source.labels == SyntheticSource(split, seed=0, size=1, height=96, width=192).labels
        for i, sample in enumerate(expected):
            same(source.read(i), sample)
    assert f"data={format_} data.root=data set" in capsys.readouterr().out


def test_cityscapes_own_tools_accept_it() -> None:
    conversion = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    evaluation = pytest.importorskip("cityscapesscripts.evaluation.evalPanopticSemanticLabeling")
    run("format=cityscapes", "workers=1")
    Path("panoptic").mkdir()
    conversion.convert2panoptic("data set/gtFine", "panoptic", False, ["val"])
    content = json.loads(Path("panoptic/cityscapes_panoptic_val.json").read_text())
    assert [a["image_id"] for a in content["annotations"]] == ["synthetic_000001_000000", "synthetic_000001_000001"]
    counts = [len(sample.segments.classes) for sample in painted("val")]
    assert [len(a["segments_info"]) for a in content["annotations"]] == counts
    truth = "panoptic/cityscapes_panoptic_val"
    result = evaluation.evaluatePanoptic(f"{truth}.json", truth, f"{truth}.json", truth, "result.json")
    assert result["All"]["pq"] == 1.0


@pytest.mark.parametrize("train_ids", [False, True])
@pytest.mark.parametrize("folder", ["gtFine", "gtFine_panoptic", "."])
def test_the_panoptic_version_of_the_truth_reads_as_the_same_segments(folder: str, train_ids: bool) -> None:
    conversion = pytest.importorskip("cityscapesscripts.preparation.createPanopticImgs")
    run("format=cityscapes", "workers=1")
    root = Path("data set")
    (root / folder).mkdir(exist_ok=True)
    conversion.convert2panoptic(str(root / "gtFine"), str(root / folder), train_ids, ["train", "val"])
    for png in root.rglob("*Ids.png"):
        png.unlink()
    for split in ("train", "val"):
        source = pickle.loads(pickle.dumps(CityscapesSource(split, root=root)))
        for i, sample in enumerate(painted(split)):
            assert source.read(i).name == f"synthetic_{('train', 'val').index(split):06d}_{i:06d}"
            same(source.read(i), sample)


BAD = {
    "format": (("format=voc",), "format: expected cityscapes or coco_panoptic, got 'voc'"),
    "size": (("height=8",), "height: expected at least 32, got 8"),
    "number": (("val_size=-1",), "val_size: expected at least 0, got -1"),
    "seed": (("scenes_seed=-1",), "scenes_seed: expected at least 0, got -1"),
    "generator": (("generator=0",), "generator: expected one of 1, 2, got 0"),
    "full folder": (("output=full",), "output=full: expected a new or an empty folder"),
    "output in a file": (("output=full/file/x",), "full/file/x"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_sentence_and_leaves_nothing(case: str, here: Path, capsys: pytest.CaptureFixture) -> None:
    arguments, said = BAD[case]
    Path("full").mkdir()
    Path("full/file").touch()
    before = sorted(here.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    shown = capsys.readouterr().err
    assert (stop.value.code, len(shown.strip().splitlines())) == (1, 1)
    assert said in shown
    assert sorted(here.rglob("*")) == before
