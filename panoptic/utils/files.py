"""Output files and folders: atomic writes, and clear errors for what cannot be written."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from panoptic.errors import InputError


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Replace a file atomically.

    Args:
        path: File to write or replace.
        durable: Whether the file shall survive a crash of the machine, at the cost of waiting for the disk.

    Yields:
        Path of a temporary file in the same folder. It replaces ``path`` if the block ends without an error, and is
        removed otherwise.

    Raises:
        OSError: If the file cannot be written; it names ``path``, since nobody knows the temporary file.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield part
        if durable:
            _flush(part)
        os.replace(part, path)
        if durable:
            _flush(path.parent)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(part), part):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give errors of files that name none, as those of writing do, the name of a file or folder.

    Raises:
        OSError: If one is raised within; it names a file.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _flush(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)


def remove_strays(folder: Path) -> list[Path]:
    """Remove temporary files of :func:`replacing` that dead processes left in a folder, and return their paths.

    The processes are looked for on this machine; the folder must not be in use on another.
    """
    strays = []
    for path in sorted(folder.glob(".*.tmp")):
        match = re.fullmatch(r"\..+\.(\d+)\.tmp", path.name)
        if match and not process_lives(int(match[1])):
            path.unlink(missing_ok=True)
            strays.append(path)
    return strays


def process_lives(number: int) -> bool:
    """Return whether another process with this number runs on this machine."""
    if number == os.getpid():
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically."""
    with replacing(path, durable=True) as part:
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


@contextmanager
def appearing(folder: Path, key: str) -> Iterator[Path]:
    """Let a folder appear whole or not at all.

    Args:
        folder: Folder to make; it must not exist, or be empty.
        key: Configuration key of the folder, for error messages.

    Yields:
        Temporary folder beside it. It takes the folder's name if the block ends without an error, and is removed
        otherwise.

    Raises:
        InputError: If the folder holds files, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        got = "one that holds files" if folder.is_dir() else "a file"
        raise InputError(f"{key}={folder}: expected a new or an empty folder, got {got}")
    target = folder.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with output_folder(target.parent):
        writable_folder(part, key)
        try:
            yield part
            if folder.exists():
                folder.rmdir()
            os.replace(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
