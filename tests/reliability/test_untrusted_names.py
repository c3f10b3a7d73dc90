"""Names in files are not trusted, and what is no regular file is not read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from panoptic.data.coco.json import ImageList, annotated_images, load
from panoptic.data.images import output_names, read_image, read_words
from panoptic.errors import InputError
from panoptic.labels import CITYSCAPES, LabelSpace, is_cityscapes
from tests.commands.small_runs import run


def images(file_name: str, image_id: object = 1) -> dict:
    return {"images": [{"id": image_id, "file_name": file_name, "height": 4, "width": 4}]}


@pytest.mark.parametrize(
    "name", ["../../x.png", "a/../../x.png", "/dev/zero", "/etc/passwd", "..\\x.png", "C:\\x.png", "\\\\host\\x.png"]
)
def test_a_name_that_leads_out_of_the_folder_is_refused(name):
    with pytest.raises(InputError, match=r"p\.json: images: expected 'file_name' to name a file inside its folder"):
        ImageList.parse(images(name), Path("p.json"))


@pytest.mark.parametrize("name", ["a.png", "city/a.png", "a..png", "..a/b.png", "${oc.env:HOME}.png", "[/b].png"])
def test_names_inside_the_folder_are_taken_as_they_are(name):
    assert ImageList.parse(images(name), Path("p.json")).file_names == [name]


def test_an_id_that_cannot_be_printed_is_refused():
    with pytest.raises(InputError, match=r"p\.json: images: expected ids that can be printed, got '\\ud800'"):
        ImageList.parse(images("a.png", "\ud800"), Path("p.json"))
    with pytest.raises(InputError, match=r"p\.json: annotations: expected ids that can be printed, got '\\ud800'"):
        annotated_images({"annotations": [{"image_id": 1}, {"image_id": "\ud800"}]}, Path("p.json"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for read in (read_image, read_words):
        for path in (pipe, Path("/dev/zero")):
            with pytest.raises(InputError, match=f"{path}: expected an image, got no regular file"):
                read(path)
    with pytest.raises(InputError, match=f"{pipe}: expected a JSON file, got no regular file"):
        load(pipe)


def test_names_of_dots_are_no_folders():
    assert output_names(["..png", "...png", "a.png"]) == ["_", "__", "a"]


def test_cityscapes_is_recognized_in_any_order():
    """So that sorted categories do not change the width of boundaries that scores are computed with."""
    by_name = LabelSpace(tuple(sorted(CITYSCAPES.categories, key=lambda category: category.name)))
    assert by_name != CITYSCAPES
    assert is_cityscapes(by_name)
    assert not is_cityscapes(LabelSpace(CITYSCAPES.categories[:-1]))


def test_an_input_is_no_interpolation(monkeypatch, capsys):
    monkeypatch.setenv("SECRET", "told")
    with pytest.raises(SystemExit):
        run("predict", "checkpoint=nothing.ckpt", "input=${oc.env:SECRET}.png")
    told = capsys.readouterr().err
    assert "'${oc.env:SECRET}.png': expected an image" in told
    assert "told" not in told


def test_names_that_the_terminal_cannot_show_are_escaped(monkeypatch, tmp_path):
    """In its own encoding: a category may have a name in any script."""
    import io

    from panoptic.commands import app

    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    app._set_up_streams()
    print("道")
    stream.flush()
    assert stream.buffer.getvalue().split() == [b"\\u9053"]


def test_a_scale_beyond_reason_is_refused(capsys):
    for scale in ("[1e-9,1]", "[1,1000000]"):
        with pytest.raises(SystemExit):
            run("train", "experiment=quick", f"data.scale={scale}", "hydra.run.dir=run")
        assert "data.scale: expected factors from 0.05 to 20.0" in capsys.readouterr().err
