"""Samples kept on disk, so that each image of a data set is decoded or painted once and not once an epoch.

An entry is a safetensors file with the image and the segments. One of a data set's files is keyed on their contents and
on what a JSON file says of them; one of a painted scene on the generator's version and the numbers it is painted from.
Whatever of these changes makes the entry anew.
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
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from panoptic.data.sample import Origin, Sample, Source
from panoptic.labels import LabelSpace
from panoptic.segments import Segments
from panoptic.utils.files import replacing, writable_folder

VERSION = 1
"""Rises when entries change so that older ones must not be read."""


S = TypeVar("S", bound=Source)


class _Cached(Generic[S]):
    """What all caches share: a source, and a folder to keep its samples in."""

    def __init__(self, source: S, folder: str | os.PathLike) -> None:
        self.source = source
        self.labels: LabelSpace = source.labels
        self.folder = writable_folder(folder, "data.cache_dir")

    def __len__(self) -> int:
        return len(self.source)

    @property
    def image_ids(self) -> Sequence[int | str]:
        """Those of the source."""
        return self.source.image_ids


@runtime_checkable
class FileSource(Source, Protocol):
    """A split whose samples are made of files."""

    def origin(self, index: int) -> Origin:
        """What a sample is made of."""
        ...


class CachedSource(_Cached[FileSource]):
    """A split that is read from its files once, and from the cache from then on.

    An entry is trusted while size, times and inode of its files are as they were when it was made; otherwise the
    files' contents decide. Several processes may fill one cache.

    Args:
        source: to read from.
        folder: to keep samples in; several data sets may share it.

    Raises:
        InputError: if the folder cannot be made or written to.
    """

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """The sample at ``index``, from the cache if it is there; ``strength`` is of no effect.

        Raises:
            InputError: if it must be read from its files and cannot be.
        """
        name, files, table = self.source.origin(index)
        stamp = _stamp(files)
        mark = _digest(os.fsencode(os.path.abspath(files[0])))
        entry = self.folder / mark[:2] / f"{mark}.safetensors"
        kept = _load(entry, name)
        if kept is not None and (kept.key.get("table"), kept.key.get("stamp")) == (_digest(table), stamp):
            return kept.sample
        # Before anything is decoded: a file that changes meanwhile must not be taken for what was decoded.
        contents = _contents(files)
        key = {"version": VERSION, "table": _digest(table), "stamp": stamp, "contents": contents}
        if kept is not None and (kept.key.get("table"), kept.key.get("contents")) == (_digest(table), contents):
            sample = kept.sample
        else:
            sample = self.source.read(index, strength)
        _save(entry, sample, key)
        return sample


@runtime_checkable
class PaintedSource(Source, Protocol):
    """A split whose samples are computed from a few numbers."""

    def recipe(self, index: int, strength: float) -> str:
        """All that a sample depends on, as text: equal recipes are equal samples."""
        ...


class CachedScenes(_Cached[PaintedSource]):
    """A split of painted scenes, each of which is painted once, at each position in the curriculum.

    Args:
        source: that paints.
        folder: to keep scenes in; several data sets may share it, and several processes fill it.

    Raises:
        InputError: if the folder cannot be made or written to.
    """

    def read(self, index: int, strength: float = 1.0) -> Sample:
        """The scene at ``index``, from the cache if it is there.

        Raises:
            IndexError: if there is no such scene.
        """
        recipe = self.source.recipe(index, strength)
        mark = _digest(recipe.encode())
        entry = self.folder / mark[:2] / f"{mark}.safetensors"
        kept = _load(entry, "")
        if kept is not None and kept.key.get("recipe") == recipe:
            return replace(kept.sample, name=kept.key["name"])
        sample = self.source.read(index, strength)
        _save(entry, sample, {"version": VERSION, "recipe": recipe, "name": sample.name})
        return sample


def _save(entry: Path, sample: Sample, key: dict[str, str | int]) -> None:
    """Writes an entry whole or not at all; a full disk costs the cache, not the run."""
    arrays = {"image": sample.image}
    if sample.segments is not None:
        count = len(sample.segments.classes)
        kind = np.uint8 if count < 1 << 8 else np.uint16 if count < 1 << 16 else np.int32
        arrays["ids"] = sample.segments.ids.numpy().astype(kind)
        arrays["classes"] = sample.segments.classes.numpy().astype(np.uint8)
        arrays["crowd"] = sample.segments.crowd.numpy()
    metadata = {"key": json.dumps(key)}
    try:
        entry.parent.mkdir(exist_ok=True)
        with replacing(entry) as part:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, part, metadata)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"{entry}: a decoded sample cannot be kept ({error}); training goes on", stacklevel=2)


class _Kept(NamedTuple):
    sample: Sample
    key: dict[str, str | int]


def _load(entry: Path, name: str) -> _Kept | None:
    """An entry as the sample of a name; ``None`` if there is none that can be read."""
    try:
        with safe_open(entry, framework="np") as file:
            key = json.loads(file.metadata()["key"])
            if key["version"] != VERSION:
                return None
            arrays = {part: file.get_tensor(part) for part in list(file.keys())}
        segments = None
        if "ids" in arrays:
            segments = Segments(
                torch.from_numpy(arrays["ids"].astype(np.int32)),
                torch.from_numpy(arrays["classes"].astype(np.int64)),
                torch.from_numpy(arrays["crowd"]),
            )
        return _Kept(Sample(arrays["image"], segments, name), key)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _stamp(files: Sequence[Path]) -> str:
    """What changes whenever a file is written to or replaced; a change of times alone is not one of contents."""
    stats = []
    for file in files:
        with suppress(OSError):  # its reader tells that it is not there
            s = file.stat()
            stats.append((file.name, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino))
    return json.dumps(stats)


def _contents(files: Sequence[Path]) -> str:
    parts = [file.read_bytes() if file.is_file() else b"" for file in files]
    return "".join(_digest(part) for part in parts)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
