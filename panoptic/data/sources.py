"""Images to predict: on this machine or elsewhere, by path or URL."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8

from panoptic.data.bands import Reading
from panoptic.data.images import SUFFIXES, find_images
from panoptic.errors import InputError
from panoptic.utils.remote import (
    file_system,
    full_url,
    is_remote,
    local_copy,
    telling,
    without_local_protocol,
)

Source = Path | str
"""Image file: a path on this machine, or the URL of a remote one."""


def find_sources(pattern: str) -> list[Source]:
    """Find the images of a path, URL, folder, glob pattern or list, in the order of :func:`find_images`.

    Args:
        pattern: What :func:`find_images` takes, here or as a URL. A list may name files by path, relative to its own
            folder, and by URL; remote ones are not looked for.

    Raises:
        InputError: If there is no such path, or no image in it.
    """
    if is_remote(pattern) and pattern.lower().endswith(".txt"):
        with local_copy(pattern) as copy:
            return _listed(copy.read_bytes(), pattern, pattern.rpartition("/")[0])
    if is_remote(pattern):
        return list(_remote_images(pattern))
    pattern = without_local_protocol(pattern)
    path = Path(pattern).expanduser()
    if path.suffix.lower() == ".txt" and path.is_file() and b"://" in path.read_bytes():
        return _listed(path.read_bytes(), str(path), path.parent)
    return list(find_images(pattern))


def read_source(reading: Reading, source: Source) -> UInt8[np.ndarray, "H W bands"]:
    """Read an image here or elsewhere.

    Args:
        reading: How files are read.
        source: Image file.

    Raises:
        InputError: If the file cannot be read.
    """
    with local_copy(source) as path:
        return reading.read(path)


def naming_path(source: Source) -> Path:
    """Return a path that names a source among others as a path on this machine would."""
    return Path("/" + source.replace("://", "/")) if isinstance(source, str) else source


def _remote_images(url: str) -> list[str]:
    files, path = file_system(url)
    with telling(url):
        if files.isfile(path):
            return [full_url(url)]
        if files.isdir(path):
            found, expected = files.ls(path, detail=True), "a folder with images"
        elif set("*?[") & set(path):
            found, expected = list(files.glob(path, detail=True).values()), "a pattern that matches images"
        else:
            raise InputError(f"{url!r}: expected an image, a folder or a glob pattern, got a path that is not there")
    names = [str(entry["name"]) for entry in found if entry["type"] == "file"]
    images = [name for name in names if _is_image(PurePosixPath(name))]
    if not images:
        raise InputError(f"{url}: expected {expected} ({' '.join(SUFFIXES)}), got none")
    return [str(files.unstrip_protocol(name)) for name in sorted(images, key=PurePosixPath)]


def _is_image(path: PurePosixPath) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _listed(content: bytes, name: str, folder: Path | str) -> list[Source]:
    """Return the sources in a list, whose paths are relative to a folder here or elsewhere."""
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except ValueError as error:
        raise InputError(f"{name}: expected a list of images, a path a line, got a file that is no text") from error
    named: dict[Source, None] = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if is_remote(line):
            named[full_url(line)] = None
        elif line and isinstance(folder, str):
            protocol, _, root = folder.partition("://")
            named[full_url(f"{protocol}://{posixpath.normpath(posixpath.join(root, line))}")] = None
        elif line and isinstance(folder, Path):
            path = Path(os.path.normpath(folder / os.path.expanduser(without_local_protocol(line))))
            if not path.is_file():
                raise InputError(
                    f"{name}, line {number}: expected an image, got {path}, which is no file that is there"
                )
            named[path] = None
    if not named:
        raise InputError(f"{name}: expected a list of images, a path a line, got an empty one")
    return list(named)
