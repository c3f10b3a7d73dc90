"""Writing and reading the files of checkpoints: whole or not at all, and verified.

A checkpoint is the zip archive that :func:`torch.save` writes, with a SHA-256 digest of everything before it as the
comment of the archive. The checksums that archives have by themselves cover neither names nor headers. Prediction reads
checkpoints too, so nothing here imports Lightning.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from panoptic.errors import InputError
from panoptic.utils.files import replacing

PREFIX = b"panoptic sha256 "
"""Beginning of the comment; the digest follows in hexadecimal."""

COMMENT_SIZE = len(PREFIX) + 64
END_SIZE = 22
"""Size of the record at the end of an archive; its last two bytes are the length of the comment that follows it."""


def save(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint with its digest. The file of before stays until the new one is on the disk.

    Raises:
        OSError: If the file cannot be written; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(path, durable=True) as part, part.open("wb") as file, buffer.getbuffer() as archive:
        archive[-2:] = COMMENT_SIZE.to_bytes(2, "little")
        file.write(archive)
        file.write(PREFIX + hashlib.sha256(archive).hexdigest().encode())


def load(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Verify a checkpoint and return its content, without running code.

    Raises:
        InputError: If the file is damaged or not a checkpoint.
    """
    verify(path)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        raise InputError(
            f"{path}: expected a checkpoint, got a file that cannot be read as one ({type(error).__name__})"
        ) from error


def verify(path: Path) -> None:
    """Raise if a file is not a whole checkpoint.

    An archive without a digest, as :func:`torch.save` writes it, is held to its own checksums.

    Raises:
        InputError: If the file cannot be read, is no archive, or a checksum differs.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(size - END_SIZE - COMMENT_SIZE, 0))
            end = file.read()
            if end[END_SIZE:].startswith(PREFIX):
                if end[END_SIZE + len(PREFIX) :] != hex_digest(file, size - COMMENT_SIZE):
                    raise InputError(f"{path}: expected a whole checkpoint, got a damaged one: its checksum differs")
                return
        _verify_archive(path, end[-END_SIZE:])
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: expected a checkpoint, got a file that cannot be read as one ({type(error).__name__})"
        ) from error


def hex_digest(file: io.BufferedReader, size: int) -> bytes:
    """Return the digest of the first bytes of a file, in hexadecimal."""
    file.seek(0)
    digest = hashlib.sha256()
    while size > 0:
        block = file.read(min(size, 2**22))
        if not block:
            break
        digest.update(block)
        size -= len(block)
    return digest.hexdigest().encode()


def _verify_archive(path: Path, end: bytes) -> None:
    """Raise if an archive without a digest ends in a comment, has compressed entries, or entries that are damaged."""
    with zipfile.ZipFile(path) as archive:
        if not (end.startswith(b"PK\5\6") and end.endswith(b"\0\0")):  # a comment is none of torch's
            raise InputError(f"{path}: expected a whole checkpoint, got a damaged one: its end was changed or lost")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise InputError(f"{path}: expected a checkpoint, got an archive with compressed entries")
        damaged = archive.testzip()
    if damaged is not None:
        raise InputError(f"{path}: expected a whole checkpoint, got a damaged one: the checksum of {damaged} differs")
