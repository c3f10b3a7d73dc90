"""Output files and folders: atomic writes, and clear errors for what cannot be written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from panoptic.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file atomically.

    Args:
        path: File to write or replace.

    Yields:
        Path of a temporary file in the same folder. It replaces ``path`` if the block ends without an error, and is
        removed otherwise.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def writable_folder(path: str | Path, key: str | None = None) -> Path:
    """Create a folder for writing, including its parents.

    Args:
        path: Folder, in which ``~`` is expanded.
        key: Configuration key with this value, for the error message.

    Raises:
        InputError: If the folder cannot be created or written to.
    """
    folder = Path(path).expanduser()
    name = folder if key is None else f"{key}={path}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = "a file" if folder.is_file() else error.strerror
        raise InputError(f"{name}: expected a folder that can be written, got: {got}") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{name}: expected a folder that can be written, and it cannot")
    return folder


@contextmanager
def output_folder(path: Path | None) -> Iterator[None]:
    """Create an output folder for a block, and remove created folders that are empty if the block fails.

    Args:
        path: Output folder. ``None`` creates none.

    Raises:
        InputError: If the folder cannot be created or written to.
    """
    created = [] if path is None else [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        if path is not None:
            writable_folder(path, "output")
        yield
    except BaseException:
        for folder in created:
            with suppress(OSError):  # the folder does not exist or is not empty
                folder.rmdir()
        raise
