"""Splits, categories of stuff, and the files that a conversion places."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from panoptic.data.convert.records import Record, Truth, divide, label_space, with_stuff
from panoptic.data.convert.writing import in_splits, place, to_segments
from panoptic.errors import InputError
from panoptic.utils.files import appearing

NAMES = [f"{i}.png" for i in range(50)]


def record(name: str, split: str | None) -> Record:
    return Record(Path(name), name, split, lambda size: Truth(np.zeros(size, np.int32), [], []))


class TestSplits:
    def test_go_by_names_and_seed_alone(self) -> None:
        drawn = divide(NAMES, (0.6, 0.3, 0.1), seed=0)
        assert drawn == divide(NAMES[::-1], (0.6, 0.3, 0.1), seed=0)
        assert drawn != divide(NAMES, (0.6, 0.3, 0.1), seed=1)
        assert [list(drawn.values()).count(split) for split in ("train", "val", "test")] == [30, 15, 5]

    def test_have_an_image_each(self) -> None:
        assert sorted(divide(NAMES[:3], (0.98, 0.01, 0.01), seed=0).values()) == ["test", "train", "val"]
        assert sorted(divide(NAMES[:3], (0.01, 0.01, 0.98), seed=0).values()) == ["test", "train", "val"]

    def test_of_the_data_set_are_kept(self) -> None:
        records = [record("a", "train"), record("b", "val")]
        assert in_splits(records, (0.5, 0.5), 0) == {"train": records[:1], "val": records[1:]}
        assert list(in_splits([record("a", "val"), record("b", "val")], None, 0)) == ["val"]
        assert list(in_splits([record("a", "val"), record("b", "val")], (0.5, 0.5), 0)) == ["train", "val"]

    def test_of_some_images_only_are_refused(self) -> None:
        records = [record("a", "train"), record("b", None)]
        with pytest.raises(InputError, match=r"got none for 'b'; split=\[0.8,0.2\] draws all anew"):
            in_splits(records, None, 0)
        assert list(in_splits(records, (0.5, 0.5), 0)) == ["train", "val"]
        with pytest.raises(InputError, match="each image once, got 'a' twice"):
            in_splits([record("a", None)] * 2, None, 0)


def test_stuff_is_one_segment_and_never_a_crowd() -> None:
    labels = with_stuff(label_space(["cell", "sky"], "x"), ["sky"], "rest")
    assert labels.names == ("cell", "sky", "rest")
    assert labels.is_thing == (True, False, False)
    ids = np.array([[0, 1, 2], [3, 4, 5]], np.int32)
    made = to_segments(Truth(ids, [1, 0, 1, 0, 0], [True, False, True, True, False]), labels, background=2)
    assert made.semantic().tolist() == [[2, 1, 0], [1, 0, 0]]
    assert made.crowd.tolist() == [False, False, True, False, False]
    assert made.classes.tolist() == [1, 0, 0, 0, 2]


def test_files_are_copied_where_links_are_not_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    (tmp_path / "a").write_text("content")
    (tmp_path / "link").symlink_to("a")
    place(tmp_path / "link", tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")
    assert not (tmp_path / "b").is_symlink()
    monkeypatch.setattr(os, "link", refuse)
    place(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c").read_text() == "content"
    assert not (tmp_path / "c").samefile(tmp_path / "a")


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out"

    def fail() -> None:
        with appearing(target, "output") as part:
            (part / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []
    with appearing(target, "output") as part:
        (part / "whole").touch()
        assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert [path.name for path in target.iterdir()] == ["whole"]
