"""``python -m panoptic.predict`` with files by URL: fsspec's file systems in memory and on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from tests.commands.small_runs import run, some_photos
from tests.commands.test_predict_many import Counting, contents


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """The file system in memory, which all of a process share, empty before and after."""
    files = MemoryFileSystem()
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def contents_of(files: MemoryFileSystem, folder: str) -> dict[str, bytes]:
    found = {path.removeprefix(f"/{folder}/"): files.cat_file(path) for path in files.find(folder)}
    return {name: content for name, content in found.items() if not name.startswith("records/")}


def test_a_folder_elsewhere_gets_what_a_folder_here_gets(
    trained: Path, tmp_path: Path, memory: MemoryFileSystem, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 4)
    (tmp_path / "photos" / "2.png").write_text("no picture")
    (tmp_path / "photos" / "inner").mkdir()
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save("photos/inner/0.png")
    memory.put("photos", "/bucket/photos", recursive=True)
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    for pattern in ("photos", "photos/**/*.png"):
        with pytest.raises(SystemExit, match="1"):
            run("predict", checkpoint, f"input={pattern}", "output=here")
        capsys.readouterr()
        with pytest.raises(SystemExit, match="1"):
            run("predict", checkpoint, f"input=memory://bucket/{pattern}", "output=memory://bucket/out")
        told = capsys.readouterr()
        assert "left out: memory:///bucket/photos/2.png: expected an image" in told.out
        assert "results: memory:///bucket/out" in told.out
        assert contents_of(memory, "bucket/out").keys() >= contents(Path("here")).keys()
        for name, content in contents(Path("here")).items():
            assert contents_of(memory, "bucket/out")[name] == content, name
    run("predict", checkpoint, "input=memory://bucket/photos/0.png", "output=again")
    assert Path("again/panoptic/0.png").read_bytes() == Path("here/panoptic/0_png.png").read_bytes()
    assert not list(tmp_path.glob("**/.*.tmp"))


def test_what_is_done_elsewhere_is_not_done_again(
    trained: Path, tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_photos(tmp_path / "photos", 4)
    memory.put("photos", "/photos", recursive=True)
    counting = Counting(monkeypatch)
    arguments = (f"checkpoint={trained}/checkpoints/best.ckpt", "input=memory://photos", "output=memory://out")
    counting.stop_after = 2
    with pytest.raises(SystemExit, match="130"):
        run("predict", *arguments)
    done = memory.find("/out/records")
    listed = json.loads(memory.cat_file("/out/panoptic.json"))["images"]
    assert len(listed) <= len(done) <= 2
    assert counting.taken() == [1] * 2
    counting.stop_after = None
    run("predict", *arguments)
    assert counting.taken() == [1] * (4 - len(done))
    run("predict", *arguments)
    assert counting.taken() == []
    memory.rm_file("/out/overlays/1.png")
    memory.pipe_file("/photos/0.png", Path("photos/3.png").read_bytes())
    memory.pipe_file("/out/records/2.json", b'{"name": "2", "sour')
    run("predict", *arguments)
    assert counting.taken() == [1] * 3
    assert memory.cat_file("/out/panoptic/0.png") == memory.cat_file("/out/panoptic/3.png")
    assert len(json.loads(memory.cat_file("/out/panoptic.json"))["images"]) == 4
    run("predict", *arguments, "codec.peak_threshold=0.01")  # other settings
    assert counting.taken() == [1] * 4


def test_urls_of_this_machine_are_paths(trained: Path, tmp_path: Path) -> None:
    some_photos(tmp_path / "photos", 2)
    checkpoint = f"checkpoint={trained}/checkpoints/best.ckpt"
    run("predict", checkpoint, f"input=file://{tmp_path}/photos", f"output=file://{tmp_path}/out")
    run("predict", checkpoint, "input=photos", "output=plain")
    assert contents(Path("out")) == contents(Path("plain"))
    assert Path("out/progress.jsonl").is_file()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "input=nowhere://photos",
            "nowhere://photos: expected a file system that fsspec knows, such as s3:// or gs://",
        ),
        ("input=s3://bucket/photos", "s3://bucket/photos: expected the package for s3://, got none; pip install s3fs"),
        (
            "output=s3://bucket/out",
            "output=s3://bucket/out: expected the package for s3://, got none; pip install s3fs",
        ),
        ("input=memory://none", "'memory://none': expected an image, a folder or a glob pattern"),
        ("input=memory://none/*.png", "memory://none/*.png: expected a pattern that matches images"),
        ("input=memory://film.mp4", "input=memory://film.mp4: expected a video on this machine, got the URL of one"),
        ("input=memory://list.txt", "memory://list.txt: expected a file or folder, got a path that is not there"),
        ("input=memory://a::memory://b", "memory://a::memory://b: expected a URL of one file system, got several"),
        ("output=file://photos/0.png", "output=photos/0.png: expected a folder that can be written, got: a file"),
        ("output=memory://", None),
    ],
)
def test_urls_that_lead_nowhere_are_told(
    trained: Path,
    tmp_path: Path,
    memory: MemoryFileSystem,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    given: str,
    told: str | None,
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    some_photos(tmp_path / "photos", 1)
    others = [other for other in ("input=photos", "output=out") if other.partition("=")[0] not in given]
    arguments = (f"checkpoint={trained}/checkpoints/best.ckpt", *others, given)
    if told is None:
        run("predict", *arguments)
        assert memory.exists("/panoptic/0.png")
        return
    with pytest.raises(SystemExit, match="1"):
        run("predict", *arguments)
    assert told in capsys.readouterr().err
    assert not Path("out").exists()
    assert not memory.find("/")


def test_results_elsewhere_replace_no_input(
    trained: Path, tmp_path: Path, memory: MemoryFileSystem, capsys: pytest.CaptureFixture
) -> None:
    some_photos(tmp_path / "photos", 1)
    memory.put_file("photos/0.png", "/panoptic/0.png")
    with pytest.raises(SystemExit, match="1"):
        run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=memory://panoptic", "output=memory:///")
    assert "expected a folder whose results replace no input, got the one of memory:///pan" in capsys.readouterr().err


def test_a_file_elsewhere_that_cannot_be_written_is_told(
    trained: Path,
    tmp_path: Path,
    memory: MemoryFileSystem,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    some_photos(tmp_path / "photos", 3)
    original = MemoryFileSystem.put_file

    def put_file(files: MemoryFileSystem, here: str, there: str, **options: object) -> None:
        if there.endswith("overlays/1.png"):
            raise ConnectionError("the line\nis cut")
        original(files, here, there, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    with pytest.raises(SystemExit, match="1"):
        run("predict", f"checkpoint={trained}/checkpoints/best.ckpt", "input=photos", "output=memory://out")
    told = capsys.readouterr().err
    assert told == "panoptic: memory:///out/overlays/1.png: expected to read or write it, got: the line is cut\n"
    assert "1.png" not in [image["file_name"] for image in json.loads(memory.cat_file("/out/panoptic.json"))["images"]]
    assert not memory.exists("/out/records/1.json")
