"""Lock of a folder: one process trains, or predicts, in it at a time. Does not import torch."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from panoptic.errors import InputError
from panoptic.utils.files import process_lives

NAME = ".lock"


@contextmanager
def claimed(folder: Path, whose: str = "run in which nobody trains") -> Iterator[None]:
    """Hold the lock of a folder.

    A process that dies releases the operating system's lock on the file, so that a file it leaves says nothing on its
    own machine. Another machine may not see that lock: there the file counts, unless it is of the same SLURM job, which
    runs once at a time.

    Args:
        folder: Folder to claim.
        whose: What is expected of it, for the error message.

    Raises:
        InputError: If another process holds the lock or may hold it, or the folder cannot be written.
    """
    path = folder / NAME
    try:
        file = _opened(path)
    except OSError as error:
        raise InputError(f"{folder}: expected a folder that can be written, got: {error.strerror}") from None
    if file is None:
        raise InputError(_refusal(folder, whose, _content(path), "finish or end it first"))
    try:
        holder = _parsed(file.read())
        if _may_live(holder):
            raise InputError(_refusal(folder, whose, holder, f"remove {path} if it is gone"))
        file.seek(0)
        file.truncate()
        json.dump(_identity(), file)
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    finally:
        file.close()


def _opened(path: Path) -> TextIO | None:
    """Open the file and lock it; ``None`` if another process has locked it."""
    while True:
        file = path.open("a+", encoding="utf-8")
        file.seek(0)
        try:
            if not _locked(file):
                file.close()
                return None
            if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                return file  # otherwise the process that held the lock has removed its file meanwhile
        except BaseException:
            file.close()
            raise
        file.close()


def _locked(file: TextIO) -> bool:
    """Lock a file for this process, not for its children; file systems without locks lock nothing."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def _may_live(holder: dict[str, Any] | None) -> bool:
    """Return whether the process that wrote the file may still run, although its lock was not seen."""
    if holder is None:
        return False
    own = _identity()
    if holder["host"] == own["host"]:
        return process_lives(holder["pid"]) and holder["begun"] == process_start(holder["pid"])
    return holder["job"] is None or holder["job"] != own["job"]


def _identity() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "begun": process_start(os.getpid()),
        "since": f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}",
        "job": os.environ.get("SLURM_JOB_ID"),
    }


def process_start(pid: int) -> str | None:
    """Return when a process began, in the system's ticks, so that a number given anew is told; ``None`` if unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _parsed(text: str) -> dict[str, Any] | None:
    """Return who holds a lock; ``None`` if the file is empty or was cut short."""
    try:
        holder = json.loads(text)
        if isinstance(holder["host"], str) and isinstance(holder["pid"], int) and holder["pid"] > 0:
            return {"begun": None, "since": "an unknown time", "job": None} | holder
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _content(path: Path) -> dict[str, Any] | None:
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except OSError:
        return None


def _refusal(folder: Path, whose: str, holder: dict[str, Any] | None, advice: str) -> str:
    who = "another process" if holder is None else f"process {holder['pid']} on {holder['host']}"
    since = "" if holder is None else f" since {holder['since']}"
    return f"{folder}: expected a {whose}, got one in which {who} does{since}; {advice}"
