"""Files elsewhere, by URL (``s3://bucket/photos``), through fsspec. Does not import torch.

The packages that fsspec needs for a protocol are those of its documentation: ``s3fs`` for ``s3://``, ``gcsfs`` for
``gs://``. Access is as they find it, in the environment or in fsspec's own configuration.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from panoptic.errors import InputError

VERSIONS = ("ETag", "etag", "generation", "mtime", "LastModified", "last_modified", "updated", "created")
"""What file systems call that which changes with a file's content, best first."""


def is_remote(path: str | os.PathLike) -> bool:
    """Return whether a path is a URL of another file system than this machine's."""
    return "://" in os.fspath(path) and not is_local_url(path)


def is_local_url(path: str | os.PathLike) -> bool:
    """Return whether a path is a URL of this machine's file system."""
    return os.fspath(path).startswith(("file://", "local://"))


def without_local_protocol(path: str) -> str:
    """Return the path of a URL of this machine's file system; other paths and URLs as they are."""
    return path.partition("://")[2] if is_local_url(path) else path


def joined(url: str, *names: str) -> str:
    """Return the URL of a file in a remote folder."""
    return (url if url.endswith("/") else f"{url}/") + "/".join(names)


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path there.

    Raises:
        InputError: If there is no such protocol, a package is missing for it, or the URL is none of it.
    """
    import fsspec
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = url.partition("://")[0]
    if "::" in url:
        raise InputError(f"{url}: expected a URL of one file system, got several")
    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError:
        raise InputError(
            f"{url}: expected a file system that fsspec knows, such as s3:// or gs://, got {protocol}://"
        ) from None
    except ImportError as error:
        package = str(known_implementations.get(protocol, {}).get("class", "")).partition(".")[0]
        advice = f"pip install {package}" if package not in ("", "fsspec") else str(error)
        raise InputError(f"{url}: expected the package for {protocol}://, got none; {advice}") from error
    with telling(url):
        found, path = url_to_fs(url)
        return found, str(path)


@contextmanager
def telling(url: str) -> Iterator[None]:
    """Give errors of a remote file system as sentences. They are of the many kinds of the libraries below.

    Raises:
        InputError: If anything is raised within.
    """
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{url}: expected a file or folder, got a path that is not there") from error
    except Exception as error:
        reason = " ".join(f"{error}".split()) or type(error).__name__
        raise InputError(f"{url}: expected to read or write it, got: {reason}") from error


def full_url(url: str) -> str:
    """Return the one URL that a path in a file system has, which may be written in several ways.

    Raises:
        InputError: If the URL cannot be used.
    """
    files, path = file_system(url)
    return str(files.unstrip_protocol(path))


@contextmanager
def local_copy(path: str | os.PathLike) -> Iterator[Path]:
    """Yield the path of a file on this machine: a temporary copy of a remote one, with its name.

    Errors within that name the copy name the URL in its place.

    Raises:
        InputError: If a remote file cannot be read.
    """
    if not is_remote(path):
        yield Path(path)
        return
    url = os.fspath(path)
    files, name = file_system(url)
    with tempfile.TemporaryDirectory(prefix="panoptic_") as folder:
        copy = Path(folder, name.rstrip("/").rpartition("/")[2] or "file")
        with telling(url):
            files.get_file(name, str(copy))
        try:
            yield copy
        except InputError as error:
            raise InputError(str(error).replace(str(copy), url)) from error


def upload(folder: Path, url: str) -> None:
    """Copy all files below a folder into a remote one.

    Raises:
        InputError: If one cannot be written.
    """
    files, root = file_system(url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            target = joined(root, *path.relative_to(folder).parts)
            with telling(joined(url, *path.relative_to(folder).parts)):
                make_folder(files, target.rpartition("/")[0])
                files.put_file(str(path), target)


def make_folder(files: Any, path: str) -> None:
    """Make a folder, where there are such. Paths of object stores begin with a bucket, which is not made."""
    if path.startswith("/"):
        files.makedirs(path, exist_ok=True)


def stamp(path: str | os.PathLike) -> list[Any] | None:
    """Return what tells whether a file has changed: path, size, and time or version; ``None`` if it is gone.

    Raises:
        InputError: If it is remote and cannot be asked for.
    """
    if not is_remote(path):
        try:
            found = os.stat(path)
        except OSError:
            return None
        return [os.path.abspath(path), found.st_size, found.st_mtime_ns]
    url = os.fspath(path)
    files, name = file_system(url)
    with telling(url):
        try:
            info: Mapping[str, Any] = files.info(name)
        except FileNotFoundError:
            return None
    versions = [str(info[key]) for key in VERSIONS if info.get(key) is not None]
    return [url, info.get("size"), *versions[:1]]
