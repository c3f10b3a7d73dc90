"""Files of visitors: their limits, and what is said of those that cannot be read."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from panoptic.data.images import read_image
from panoptic.demo_page.uploads import Limits, Upload, check_pixels, clean_name, parse_uploads, read_upload, stored
from panoptic.errors import InputError

LIMITS = Limits(bytes=2_500_000, pixels=1_000_000)


def sent(name: str, content: bytes, **changed: object) -> str:
    entry = {"name": name, "size": len(content), "data": base64.b64encode(content).decode(), **changed}
    return json.dumps({"picture": entry})


def test_files_come_as_they_were_sent() -> None:
    assert parse_uploads(sent("a.png", b"\0\xff"), LIMITS) == {"picture": Upload("a.png", b"\0\xff")}
    assert parse_uploads("{}", LIMITS) == {}
    assert LIMITS.request > 2 * 4 / 3 * LIMITS.bytes


def test_large_files_are_refused_by_what_the_page_says_of_them() -> None:
    with pytest.raises(InputError, match=r"^a.png: expected a file of at most 2.5 MB, got 31.4 MB$"):
        parse_uploads(sent("a.png", b"", size=31_400_000, data=None), LIMITS)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"picture": 3}', sent("a", b"", data="é"), sent("a", b"", data=None), "[" * 100_000, "null"],
)
def test_what_the_page_does_not_send(text: str) -> None:
    with pytest.raises(InputError, match=r"^upload: expected the files that the page sends, got something else$"):
        parse_uploads(text, LIMITS)


def test_names_are_of_the_file_alone() -> None:
    assert clean_name("C:\\fakepath\\photo.jpg") == "photo.jpg"
    assert clean_name("/etc/../passwd\n\x1b[31m") == "passwd[31m"
    assert clean_name("a" * 200) == "a" * 79 + "…"
    assert clean_name("///") == clean_name(" \0") == "file"


def test_errors_name_the_visitors_file_and_no_path() -> None:
    with pytest.raises(InputError) as told:
        read_upload(Upload("photo.jpg", b"a picture"), read_image)
    assert str(told.value) == ("photo.jpg: expected an image (JPEG, PNG, TIFF, BMP, WEBP), got a file of another kind")
    with pytest.raises(InputError) as told:
        read_upload(Upload("photo.jpg", encoded(999, 999)[:500]), read_image)
    assert str(told.value).startswith("photo.jpg: expected an image that can be read, got a file that cannot: ")
    assert "/" not in str(told.value)
    with stored(Upload("x", b"")) as path:
        folder = path.parent
    assert not folder.exists()


def encoded(height: int, width: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def bomb(height: int, width: int) -> bytes:
    """A PNG that says it is large, with a few bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (encoded(1, 1_000_001), "got 1000001 x 1"),
        (bomb(10_000, 10_000), "got 10000 x 10000"),
        (bomb(60_000, 60_000), "got far more"),
    ],
)
def test_large_images_are_refused_before_they_are_decoded(content: bytes, got: str, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"upload: expected at most 1 million pixels, {got}$"):
        check_pixels(path, LIMITS)


def test_what_is_small_or_no_image_is_left_to_the_reader(tmp_path: Path) -> None:
    for content in (encoded(1000, 1000), b"text", b""):
        path = tmp_path / "upload"
        path.write_bytes(content)
        check_pixels(path, LIMITS)
