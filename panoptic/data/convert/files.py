"""Reading of label files: names that stay in their folder, and JSON, XML and YAML that run no code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree import ElementTree

from panoptic.data.images import SUFFIXES
from panoptic.errors import InputError


def folder_at(path: Path, what: str) -> Path:
    """Return a folder.

    Args:
        path: Path of the folder.
        what: What it should hold, for the error message.

    Raises:
        InputError: If there is none.
    """
    if not path.is_dir():
        got = "a file" if path.exists() else "a path that is not there"
        raise InputError(f"{path}: expected a folder with {what}, got {got}")
    return path


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """Return the files of a folder and those within with one of the suffixes, sorted, without hidden ones."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder and of those within, sorted."""
    return files_in(folder, *SUFFIXES)


def inside(folder: Path, name: Any, where: str) -> Path:
    r"""Return the path of a file that is named in a label file.

    Args:
        folder: Folder that the name is relative to.
        name: Name from the file.
        where: File and object, for error messages.

    Raises:
        InputError: If it is no name, leads out of the folder, or is separated by ``\``, as on Windows.
    """
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InputError(f"{where}: expected the name of a file, got {name!r}")
    parts = PureWindowsPath(name)  # splits at slashes of both kinds
    if parts.drive or parts.root or ".." in parts.parts:
        raise InputError(f"{where}: expected the name of a file inside its folder, got {name!r}")
    if "\\" in name and not (folder / name).exists():
        raise InputError(f"{where}: expected a name with slashes, got {name!r}, which has those of Windows")
    return folder / name


def existing(path: Path, where: str) -> Path:
    """Return the path of an image.

    Raises:
        InputError: If it is not there.
    """
    if not path.is_file():
        raise InputError(f"{where}: expected the image {path}, got no such file")
    return path


def read_text(path: Path) -> str:
    """Read a text file in UTF-8.

    Raises:
        InputError: If it cannot be read.
    """
    if path.exists() and not path.is_file():  # reading a device or a pipe may never end
        raise InputError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'no regular file'}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: expected a file that can be read, got: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: expected text in UTF-8, got other bytes: {error}") from error


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: If it cannot be read.
    """
    return _parsed(path, "JSON", lambda text: json.loads(text, parse_constant=_refuse_constant), ValueError)


def _refuse_constant(constant: str) -> None:
    """Raise for ``NaN`` and infinities, which Python accepts but JSON does not."""
    raise ValueError(f"{constant} is no number")


def read_yaml(path: Path) -> Any:
    """Read a YAML file without aliases, by which a short text becomes one without bound.

    Raises:
        InputError: If it cannot be read, or has one.
    """
    import yaml

    def parse(text: str) -> Any:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise InputError(f"{path}: expected YAML without aliases, got one (*)")
        return yaml.safe_load(text)

    return _parsed(path, "YAML", parse, yaml.YAMLError)


def read_xml(path: Path) -> ElementTree.Element:
    """Read an XML file without a document type, whose entities may grow without bound.

    Raises:
        InputError: If it cannot be read, or has one.
    """

    class Builder(ElementTree.TreeBuilder):
        def doctype(self, *_: object) -> None:
            raise InputError(f"{path}: expected XML without a document type, got one (<!DOCTYPE)")

    def parse(text: str) -> ElementTree.Element:
        parser = ElementTree.XMLParser(target=Builder())
        parser.feed(text)
        return parser.close()

    return _parsed(path, "XML", parse, ElementTree.ParseError)


def _parsed(path: Path, kind: str, parse: Callable[[str], Any], error_type: type[Exception]) -> Any:
    text = read_text(path)
    try:
        return parse(text)
    except InputError:
        raise
    except (error_type, RecursionError) as error:
        raise InputError(f"{path}: expected {kind}, got text that is not: {' '.join(str(error).split())}") from error
