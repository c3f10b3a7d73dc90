"""On-disk caches of samples, so that each image is decoded or rendered once instead of once per epoch.

An entry is a safetensors file with the image and the segments. Entries for image files are keyed on the contents of the
files and their entries in a JSON file; entries for rendered scenes on the version of the generator and its parameters.
An entry is rewritten when any of these changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from panoptic.data.sample import Origin, Sample, Source
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.files import replacing, writable_folder

VERSION = 1
"""Version of the entry format; increased when older entries must no longer be read."""

S = TypeVar("S", bound=Source)


class _Cached(Generic[S]):
    """Base class of the caches: a source, and a folder for its samples."""

    def __init__(self, source: S, folder: str | os.PathLike) -> None:
        self.source = source
        self.labels: LabelSpace = source.labels
        self.folder = writable_folder(os.fspath(folder), "data.cache_dir")

    def __len__(self) -> int:
        return len(self.source)

    @property
    def image_ids(self) -> Sequence[int | str]:
        """Image ids of the source."""
        return self.source.image_ids


@runtime_checkable
class FileSource(Source, Protocol):
    """A split whose samples are read from files."""

    def origin(self, index: int) -> Origin:
        """Return everything that the content of a sample depends on."""
        ...


class CachedSource(_Cached[FileSource]):
    """Cache of a split whose samples are read from files.

    An entry is valid while the size, times and inode of its files are unchanged; otherwise the contents of the files
    are compared. Several processes may fill one cache.

    Args:
        source: Split to read from.
        folder: Folder of the cache; several data sets may share it.

    Raises:
        InputError: If the folder cannot be created or written to.
    """

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """Read a sample, from the cache if possible.

        Args:
            index: Index of the image.
            strength: Ignored.

        Raises:
            InputError: If the sample is not cached and its files cannot be read.
        """
        name, files, table = self.source.origin(index)
        stamp = _stamp(files)
        digest = _digest(os.fsencode(os.path.abspath(files[0])))
        entry = self.folder / digest[:2] / f"{digest}.safetensors"
        cached = _load(entry, name)
        if cached is not None and (cached.key.get("table"), cached.key.get("stamp")) == (_digest(table), stamp):
            return cached.sample
        # Hash before decoding: if a file changes in between, the entry must not get the hash of the new content.
        contents = _contents(files)
        key = {"version": VERSION, "table": _digest(table), "stamp": stamp, "contents": contents}
        if cached is not None and (cached.key.get("table"), cached.key.get("contents")) == (_digest(table), contents):
            sample = cached.sample
        else:
            sample = self.source.read(index, strength)
        _save(entry, sample, key)
        return sample


@runtime_checkable
class PaintedSource(Source, Protocol):
    """A split whose samples are rendered from a few parameters."""

    def recipe(self, index: int, strength: float) -> str:
        """Return everything that a sample depends on, as text; equal recipes give equal samples."""
        ...


class CachedScenes(_Cached[PaintedSource]):
    """Cache of a split of rendered scenes, with one entry per scene and strength of the curriculum.

    Args:
        source: Split that renders the scenes.
        folder: Folder of the cache; several data sets may share it, and several processes may fill it.

    Raises:
        InputError: If the folder cannot be created or written to.
    """

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """Read a scene, from the cache if possible.

        Args:
            index: Index of the scene.
            strength: Position in the curriculum, in 0..1.

        Raises:
            IndexError: If the index is out of range.
        """
        recipe = self.source.recipe(index, strength)
        digest = _digest(recipe.encode())
        entry = self.folder / digest[:2] / f"{digest}.safetensors"
        cached = _load(entry, "")
        if cached is not None and cached.key.get("recipe") == recipe:
            return replace(cached.sample, name=cached.key["name"])
        sample = self.source.read(index, strength)
        _save(entry, sample, {"version": VERSION, "recipe": recipe, "name": sample.name})
        return sample


def _save(entry: Path, sample: Sample, key: dict[str, Any]) -> None:
    """Write an entry atomically; failures, such as a full disk, only cause a warning."""
    arrays = {"image": sample.image}
    if sample.segments is not None:
        count = len(sample.segments.classes)
        dtype = np.uint8 if count < 1 << 8 else np.uint16 if count < 1 << 16 else np.int32
        arrays["ids"] = sample.segments.ids.numpy().astype(dtype)
        arrays["classes"] = sample.segments.classes.numpy().astype(np.uint8)
        arrays["crowd"] = sample.segments.crowd.numpy()
    metadata = {"key": json.dumps(key)}
    try:
        entry.parent.mkdir(exist_ok=True)
        with replacing(entry) as part:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, part, metadata)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"{entry}: a decoded sample cannot be kept ({error}); training goes on", stacklevel=2)


class _Entry(NamedTuple):
    sample: Sample
    key: dict[str, Any]


def _load(entry: Path, name: str) -> _Entry | None:
    """Load an entry and name its sample; return ``None`` if the entry is missing, outdated or damaged."""
    try:
        with safe_open(entry, framework="np") as file:
            key = json.loads(file.metadata()["key"])
            if key["version"] != VERSION:
                return None
            arrays = {array: file.get_tensor(array) for array in list(file.keys())}
        segments = None
        if "ids" in arrays:
            segments = Segments(
                torch.from_numpy(arrays["ids"].astype(np.int32)),
                torch.from_numpy(arrays["classes"].astype(np.int64)),
                torch.from_numpy(arrays["crowd"]),
            )
        return _Entry(Sample(arrays["image"], segments, name), key)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _stamp(files: Sequence[Path]) -> str:
    """Return text that changes whenever a file is written or replaced, though possibly without a change of content."""
    stats = []
    for file in files:
        with suppress(OSError):  # missing files are reported by their reader
            stat = file.stat()
            stats.append((file.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
    return json.dumps(stats)


def _contents(files: Sequence[Path]) -> str:
    """Return the concatenated hashes of the contents of files; missing files count as empty."""
    contents = [file.read_bytes() if file.is_file() else b"" for file in files]
    return "".join(_digest(content) for content in contents)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
