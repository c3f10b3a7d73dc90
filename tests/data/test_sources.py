from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from panoptic.data.bands import Reading
from panoptic.data.images import find_images
from panoptic.data.sources import find_sources, naming_path, read_source
from panoptic.errors import InputError
from panoptic.utils.remote import is_remote, joined, local_copy, stamp, upload

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """A folder of images, some with names that are passed over, here and in memory."""
    monkeypatch.chdir(tmp_path)
    names = ("b.png", "a.PNG", ".hidden.png", "a b/c.tif", "a.b/c.png", "notes.txt", "10.png", "9.png", "x[1].png")
    for name in names:
        path = Path("photos", name)
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(PIXELS).save(path, format="PNG")
    files = MemoryFileSystem()
    files.store.clear()
    files.put("photos", "/photos", recursive=True)
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("pattern", ["photos", "photos/*.png", "photos/**/*.*", "photos/b.png", "photos/a*/c.*"])
def test_the_same_is_found_elsewhere_in_the_same_order(memory: MemoryFileSystem, pattern: str) -> None:
    here = [f"memory:///{path}" for path in find_images(pattern)]
    assert find_sources(f"memory://{pattern}") == here
    assert find_sources(pattern) == find_images(pattern)
    assert find_sources(f"file://{Path.cwd()}/{pattern}") == find_images(Path.cwd() / pattern)


def test_a_list_elsewhere_is_relative_to_its_folder(memory: MemoryFileSystem) -> None:
    memory.pipe_file(
        "/lists/all.txt", b"\xef\xbb\xbf../photos/b.png\r\n\nmemory://photos/10.png\n/photos/b.png\nc.png\n"
    )
    expected = ["memory:///photos/b.png", "memory:///photos/10.png", "memory:///lists/c.png"]
    assert find_sources("memory://lists/all.txt") == expected
    memory.pipe_file("/lists/none.txt", b"\n")
    with pytest.raises(InputError, match=r"lists/none.txt: expected a list of images, a path a line, got an empty one"):
        find_sources("memory://lists/none.txt")
    memory.pipe_file("/lists/picture.txt", b"\xff\xd8")
    with pytest.raises(InputError, match="got a file that is no text"):
        find_sources("memory://lists/picture.txt")


def test_a_list_here_may_name_files_elsewhere(memory: MemoryFileSystem) -> None:
    Path("list.txt").write_text("memory://photos/b.png\nphotos/9.png\n")
    assert find_sources("list.txt") == ["memory:///photos/b.png", Path("photos/9.png")]
    Path("list.txt").write_text("memory://photos/b.png\nphotos/none.png\n")
    with pytest.raises(InputError, match=r"list.txt, line 2: expected an image, got photos/none.png"):
        find_sources("list.txt")


def test_a_folder_without_images_is_told(memory: MemoryFileSystem) -> None:
    memory.pipe_file("/texts/a.csv", b"")
    with pytest.raises(InputError, match=r"memory://texts: expected a folder with images .* got none"):
        find_sources("memory://texts")


def test_images_elsewhere_are_read_as_here(memory: MemoryFileSystem) -> None:
    np.testing.assert_array_equal(read_source(Reading(), "memory:///photos/a b/c.tif"), PIXELS)
    np.testing.assert_array_equal(read_source(Reading(), Path("photos/b.png")), PIXELS)
    memory.pipe_file("/photos/b.png", b"no picture")
    with pytest.raises(InputError, match=r"^memory:///photos/b.png: expected an image"):
        read_source(Reading(), "memory:///photos/b.png")
    with pytest.raises(InputError, match=r"^memory:///none.png: expected a file or folder, got a path that is not th"):
        read_source(Reading(), "memory:///none.png")
    assert naming_path("s3://bucket/a/b.png") == Path("/s3/bucket/a/b.png")


def test_a_copy_is_there_for_the_block_alone(memory: MemoryFileSystem) -> None:
    with local_copy("memory://photos/a b/c.tif") as copy:
        assert copy.name == "c.tif"
        assert copy.read_bytes() == memory.cat_file("/photos/a b/c.tif")
    assert not copy.parent.exists()
    with local_copy("photos/b.png") as copy:
        assert copy == Path("photos/b.png")


def test_a_stamp_tells_a_change(memory: MemoryFileSystem) -> None:
    before = stamp("memory:///photos/b.png")
    assert before == stamp("memory:///photos/b.png")
    memory.pipe_file("/photos/b.png", memory.cat_file("/photos/b.png"))
    assert stamp("memory:///photos/b.png") not in (before, None)
    assert stamp("memory:///photos/none.png") is None
    assert stamp("photos/none.png") is None
    found = Path("photos/b.png").stat()
    assert stamp("photos/b.png") == [str(Path("photos/b.png").absolute()), found.st_size, found.st_mtime_ns]


def test_a_folder_is_copied_whole(memory: MemoryFileSystem) -> None:
    upload(Path("photos"), "memory://copy/of")
    assert [path.removeprefix("/copy/of") for path in memory.find("/copy/of")] == [
        path.removeprefix("/photos") for path in memory.find("/photos")
    ]
    assert joined("memory://", "a", "b") == "memory://a/b"
    assert joined("s3://bucket/x/", "b") == "s3://bucket/x/b"
    assert is_remote("gs://bucket")
    assert not is_remote(Path("a/b"))
    assert not is_remote("file:///a")
