"""A mask file an object, as of the Data Science Bowl 2018."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.commands.app import command
from panoptic.commands.convert import convert
from panoptic.data.coco.reader import CocoPanopticSource
from panoptic.segments import Segments
from tests.data.convert.made import converted, image, save_map, segments, table, written

NUCLEI = Path(__file__).parents[3] / "examples" / "nuclei"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def disk(name: str, *boxes: tuple[int, int, int, int]) -> None:
    image(Path(f"in/{name}/images/{name}.png"))
    Path(f"in/{name}/masks").mkdir()
    for i, (top, bottom, left, right) in enumerate(boxes):
        mask = np.zeros((10, 20))
        mask[top:bottom, left:right] = 255
        save_map(Path(f"in/{name}/masks/{i}.png"), mask)


def test_the_smaller_is_on_top_and_equal_ones_in_order(capsys: pytest.CaptureFixture) -> None:
    disk("a", (0, 4, 0, 4), (0, 2, 2, 6), (6, 8, 10, 14), (6, 8, 12, 16))
    disk("b", (0, 1, 0, 1))
    assert converted("format=instance_masks", "input=in", "split=[0.5,0.5]") is None
    split = "train" if "a.png" in written("train") else "val"
    assert table(split, "a") == [("object", a, False) for a in (4, 8, 8, 12)]
    ids = segments(split, "a").ids
    assert ids[0, 1] != ids[0, 2] == ids[0, 5]
    assert ids[6, 11] != ids[6, 12] == ids[6, 15]  # the later of two equal ones
    printed = capsys.readouterr().out
    assert "8 │ pixels that more than one object covered" in printed
    assert "object is the only category, and the rest is void" in printed
    assert "background=NAME" in printed


def test_images_are_links_and_the_rest_may_be_a_category(capsys: pytest.CaptureFixture) -> None:
    disk("a", (0, 4, 0, 4))
    disk("b")  # no object at all
    assert converted("format=instance_masks", "input=in", "background=ground", "split=[0.5,0.5]") is None
    split = "train" if "a.png" in written("train") else "val"
    assert Path(f"out/{split}/a.png").samefile("in/a/images/a.png")
    assert table(split, "a") == [("ground", 184, False), ("object", 16, False)]
    assert table("val" if split == "train" else "train", "b") == [("ground", 200, False)]
    assert "the only category" not in capsys.readouterr().out


def test_nuclei_come_back_exactly() -> None:
    """From the original form of the example, all that it holds is made again."""
    for split in ("train", "val"):
        source = CocoPanopticSource(split, root=NUCLEI)
        for i in range(0, len(source), 4):
            sample = source.read(i)
            folder = Path("in", split, sample.name)
            (folder / "images").mkdir(parents=True)
            shutil.copy(NUCLEI / split / f"{sample.name}.png", folder / "images")
            assert sample.segments is not None
            (folder / "masks").mkdir()
            for row, c in enumerate(sample.segments.classes.tolist()):
                if source.labels.is_thing[c]:
                    save_map(folder / "masks" / f"{row}.png", 255 * (sample.segments.ids == row + 1).numpy())
    arguments = ("format=instance_masks", "input=in", "output=out", "background=background", "workers=2")
    command("convert", convert, arguments)
    for split in ("train", "val"):
        source = CocoPanopticSource(split, root=NUCLEI)
        assert len(CocoPanopticSource(split, root="out")) == len(range(0, len(source), 4))
        for i in range(0, len(source), 4):
            truth = source.read(i)
            assert truth.segments is not None
            assert things_of(segments(split, truth.name)) == things_of(truth.segments)
            rest = ~torch.stack(masks_of(truth.segments)).any(0)
            assert (segments(split, truth.name).semantic()[rest] == 1).all()


def masks_of(truth: Segments) -> list[torch.Tensor]:
    return [truth.ids == row + 1 for row, c in enumerate(truth.classes.tolist()) if c == 0]


def things_of(truth: Segments) -> set[bytes]:
    masks = masks_of(truth)
    found = {mask.numpy().tobytes() for mask in masks}
    assert len(found) == len(masks) > 0
    return found


class TestBadInput:
    def test_sizes_differ(self) -> None:
        disk("a", (0, 4, 0, 4))
        save_map(Path("in/a/masks/9.png"), np.ones((10, 21)))
        disk("b", (0, 4, 0, 4))
        sentence = "in/a/masks/9.png: expected the height and width of its image, (10, 20), got (10, 21)"
        assert converted("format=instance_masks", "input=in") == sentence

    def test_empty_folder_and_empty_mask(self) -> None:
        Path("in").mkdir()
        assert "in: expected a folder for each image" in str(converted("format=instance_masks", "input=in"))
        disk("a", (0, 0, 0, 0))
        disk("b", (0, 4, 0, 4))
        sentence = "in/a/masks/0.png: expected the pixels of an object, got none"
        assert converted("format=instance_masks", "input=in") == sentence

    def test_options(self) -> None:
        disk("a", (0, 4, 0, 4))
        assert "got 'sky'" in str(converted("format=instance_masks", "input=in", "stuff=[sky]"))
        assert "at least 2 images" in str(converted("format=instance_masks", "input=in"))
        assert "that sum to 1, got [0.5, 0.6]" in str(converted("format=instance_masks", "input=in", "split=[0.5,0.6]"))
        assert "format: expected one of" in str(converted("format=other", "input=in"))
        assert "not there" in str(converted("format=instance_masks", "input=none"))

    def test_a_folder_with_files_is_left_alone(self) -> None:
        disk("a", (0, 4, 0, 4))
        Path("full").mkdir()
        Path("full/mine").write_text("mine")
        told = converted("format=instance_masks", "input=in", "output=full")
        assert told == "output=full: expected a new or an empty folder, got one that holds files"
        assert Path("full/mine").read_text() == "mine"

    def test_a_damaged_image_leaves_nothing(self) -> None:
        disk("a", (0, 4, 0, 4))
        disk("b", (0, 4, 0, 4))
        Path("in/b/images/b.png").write_bytes(Path("in/b/images/b.png").read_bytes()[:40])
        assert "in/b/images/b.png" in str(converted("format=instance_masks", "input=in"))


def test_turned_images_are_upright() -> None:
    disk("b", (0, 4, 0, 4))
    disk("a")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (10, 20)).save("in/a/images/a.png", exif=exif)
    mask = np.zeros((10, 20))
    mask[2:5, 3:10] = 1
    save_map(Path("in/a/masks/0.png"), mask)
    assert converted("format=instance_masks", "input=in", "split=[0.5,0.5]") is None
    assert table("train" if "a.png" in written("train") else "val", "a") == [("object", 21, False)]
