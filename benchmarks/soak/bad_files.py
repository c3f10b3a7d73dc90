"""Kinds of bad image files, each drawn by hypothesis."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

FRACTION = st.floats(0.0, 1.0, exclude_max=True)
ALTERED = st.lists(st.tuples(FRACTION, st.integers(0, 255)), min_size=1, max_size=20)
"""Bytes at places of a file."""

FORMATS = st.sampled_from(
    [
        *((mode, "PNG") for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I")),
        *((mode, "TIFF") for mode in ("1", "L", "LA", "P", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")),
        *((mode, "JPEG") for mode in ("L", "RGB", "CMYK")),
        *((mode, "WEBP") for mode in ("RGB", "RGBA")),
        *((mode, "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")),
        *((mode, "GIF") for mode in ("P", "RGB")),
        *((mode, "PPM") for mode in ("L", "RGB", "F")),
        *(("RGBA", "ICO"), ("RGB", "EPS"), ("RGB", "PDF"), ("RGBA", "TGA"), ("L", "PCX"), ("RGB", "JPEG2000")),
    ]
)
SIDES = st.sampled_from([1, 2, 3, 31, 33, 100, 1000, 3000])
SIZES = st.tuples(SIDES, SIDES).filter(lambda size: size[0] * size[1] <= 10**6 and size != (64, 32))
HUGE = st.tuples(*[st.sampled_from([0, 1, 64, 10**4, 2**16, 2**20, 2**31 - 1, 2**31, 2**32 - 1])] * 2)
CONTENTS = st.one_of(
    st.binary(max_size=2000),
    st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")),
    st.sampled_from(
        [
            *(b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"BM", b"RIFF\0\0\0\0WEBPVP8 "),
            *(b"%!PS\n(it_ran) (w) file", b"%PDF-1.4", b"PK\3\4", b"\x1f\x8b", b"P6 9999999 9999999 255\n"),
            *(b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 10**6),
        ]
    ),
)
NO_FILES = st.sampled_from(
    ["missing", "folder", "pipe", "socket", "device", "zeros", "memory", "dangling link", "link to itself"]
)
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=60),
    st.text("[]/b{}$*?!'\"\\ .\n\t-=,:;~%#&|<>\u202e道é".replace("/", ""), min_size=1, max_size=30),
    st.sampled_from(["..", "...", "-", "--help", "[/b]", "${oc.env:HOME}", "a=b", "CON", "*", "a,b", "~", "\udcff"]),
    st.just("a" * 250),
)


def truncate(path: Path, fraction: float) -> None:
    """Cut the end of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])


def alter(path: Path, changes: list[tuple[float, int]]) -> None:
    """Replace bytes of a file."""
    content = bytearray(path.read_bytes())
    for fraction, value in changes:
        content[int(fraction * len(content))] = value
    path.write_bytes(content)


def reformat(path: Path, form: tuple[str, str]) -> None:
    """Store an image in another mode and format, under its name."""
    mode, name = form
    with Image.open(path) as image:
        gray = np.asarray(image.convert("L"))
        if mode.startswith("I") or mode == "F":
            dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
            other = Image.fromarray(gray.astype(dtype) * 250)
        elif mode in ("PA", "RGBa", "LAB"):
            other = Image.new(mode, image.size)
        else:
            other = image.convert("RGB").convert(mode)
    with path.open("wb") as file:
        try:
            other.save(file, format=name)
        except (OSError, ValueError, KeyError):  # not every format has every mode
            other.convert("RGB").save(file, format=name)


def resize(path: Path, size: tuple[int, int]) -> None:
    """Give an image another size."""
    with Image.open(path) as image:
        image.resize(size, Image.Resampling.NEAREST).save(path)


def claim_size(path: Path, size: tuple[int, int]) -> None:
    """Let the header of a PNG claim another size, with a checksum that fits."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", *size)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)


def replace_content(path: Path, content: bytes) -> None:
    """Give a file other content."""
    path.write_bytes(content)


def scatter(path: Path, pixels: list[tuple[float, float, tuple[int, int, int]]]) -> None:
    """Set pixels of an image."""
    with Image.open(path) as image:
        values = np.array(image)
    for row, column, value in pixels:
        values[int(row * values.shape[0]), int(column * values.shape[1])] = value
    Image.fromarray(values).save(path)


PIXELS = st.lists(st.tuples(FRACTION, FRACTION, st.tuples(*[st.integers(0, 255)] * 3)), min_size=1, max_size=30)


def take_away(path: Path, instead: str) -> None:
    """Have something else than a regular file, or nothing, in the place of a file."""
    path.unlink()
    targets = {"device": "/dev/tty", "zeros": "/dev/zero", "memory": "/proc/self/mem", "dangling link": "nowhere"}
    if instead == "folder":
        path.mkdir()
    elif instead == "pipe":
        os.mkfifo(path)
    elif instead == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))  # which is shorter than the 108 bytes that an address may have
    elif instead == "link to itself":
        path.symlink_to(path.name)
    elif instead in targets:
        path.symlink_to(targets[instead])


def rename(path: Path, name: str) -> Path:
    """Give a file another name, with its suffix, in a folder of its own."""
    while len(os.fsencode(name)) > 250:
        name = name[:-1]
    other = path.parent / "odd" / f"{name}{path.suffix}"
    other.parent.mkdir(parents=True)  # a name may have a folder in it
    return Path(shutil.move(path, other))


def encode_jpeg(path: Path) -> None:
    """Store an image as JPEG, under its name."""
    with Image.open(path) as image, path.open("r+b") as file:
        image.convert("RGB").save(file, format="JPEG")
        file.truncate()
