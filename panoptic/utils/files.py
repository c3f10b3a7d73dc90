"""Files and folders that commands write: whole or not at all, with one clear sentence where they cannot be written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from panoptic.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all.

    Yields a path beside ``path`` to write to. It takes the place of ``path`` when the block ends without an error, and
    is removed otherwise.

    Args:
        path: file to write or replace.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole or not at all."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def writable_folder(path: str | Path, key: str | None = None) -> Path:
    """Make a folder to write to, with its parents.

    Args:
        path: folder; ``~`` is expanded.
        key: configuration key that it comes from, for the message.

    Raises:
        InputError: If it cannot be made or written to.
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
    """Make an output folder for a block, and remove what of it is still empty if the block fails.

    Args:
        path: folder that will be written to; ``None`` makes none.

    Raises:
        InputError: If it cannot be made or written to.
    """
    made = [] if path is None else [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        if path is not None:
            writable_folder(path, "output")
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):  # it was not made, or it is not empty
                folder.rmdir()
        raise
