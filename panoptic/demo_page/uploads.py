"""What visitors send: files in base64, their limits, and reading them without a trace of this machine in messages."""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from PIL import Image

from panoptic.errors import InputError

Read = TypeVar("Read")

MEGA = 1_000_000

LONGEST_NAME = 80
"""Number of characters of a file's name that are kept."""


@dataclass(frozen=True)
class Limits:
    """Largest uploads.

    Attributes:
        bytes: Number of bytes of a file.
        pixels: Number of pixels of an image.
    """

    bytes: int
    pixels: int

    @property
    def request(self) -> int:
        """Number of bytes of a request: two files, a truth's PNG and JSON, in base64, and some room."""
        return self.bytes * 2 * 4 // 3 + MEGA


class Upload(NamedTuple):
    """File of a visitor.

    Attributes:
        name: Its name, without folder.
        content: Its bytes.
    """

    name: str
    content: bytes


def parse_uploads(text: str, limits: Limits) -> dict[str, Upload]:
    """Parse the files of a request: an object in JSON with ``name``, ``size`` and ``data`` in base64 of each.

    Args:
        text: Text that the page sent; ``data`` is null for a file that is too large.
        limits: Largest uploads.

    Raises:
        InputError: If a file is too large, or the text is none that the page sends.
    """
    try:
        entries = json.loads(text)
        found = {}
        for role, entry in entries.items():
            name, size, data = clean_name(str(entry["name"])), int(entry["size"]), entry["data"]
            if size > limits.bytes:
                raise InputError(
                    f"{name}: expected a file of at most {limits.bytes / MEGA:g} MB, got {size / MEGA:.1f} MB"
                )
            found[str(role)] = Upload(name, base64.b64decode(data, validate=True))
        return found
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise InputError("upload: expected the files that the page sends, got something else") from None


def clean_name(name: str) -> str:
    """Return the last part of a name, of which visitors choose every character, fit to be shown."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in last if character.isprintable()).strip()
    return (shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…") or "file"


def read_upload(upload: Upload, read: Callable[[Path], Read]) -> Read:
    """Read a file of a visitor from a folder that is removed at once, and name it in errors as the visitor does.

    Args:
        upload: File of a visitor.
        read: Function that reads a path.

    Raises:
        InputError: If reading does.
    """
    with stored(upload) as path:
        return read(path)


@contextmanager
def stored(upload: Upload) -> Iterator[Path]:
    """Store a file of a visitor for the time of a block, out of which errors come with the visitor's name for it.

    Args:
        upload: File of a visitor.
    """
    with tempfile.TemporaryDirectory(prefix="panoptic_demo_") as folder:
        path = Path(folder) / "upload"
        path.write_bytes(upload.content)
        try:
            yield path
        except InputError as error:
            told = str(error).replace(str(path), upload.name).replace(folder, "")
            raise InputError(told) from None


def check_pixels(path: Path, limits: Limits) -> None:
    """Raise for an image of too many pixels, before any of them is decoded.

    What Pillow cannot open is left to the reader, which bounds it likewise.

    Args:
        path: Image file.
        limits: Largest uploads.

    Raises:
        InputError: If it has more pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is large, and is refused below
            with Image.open(path) as image:
                width, height = image.size
    except Image.DecompressionBombError:
        raise InputError(f"{path}: expected at most {_millions(limits.pixels)}, got far more") from None
    except Exception:  # decoders raise many types on damaged files
        return
    if width * height > limits.pixels:
        raise InputError(f"{path}: expected at most {_millions(limits.pixels)}, got {width} x {height}")


def _millions(pixels: int) -> str:
    return f"{pixels / MEGA:g} million pixels"
