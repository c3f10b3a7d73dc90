"""Predictions of images in a folder elsewhere, by URL: the files of :class:`ResultFolder`, and a record for each image.

No line can be appended to a file of an object store, and no lock be held. So what is done stands in a file for each
image, ``records/NAME.json``, which is written after the image's other files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from panoptic.errors import InputError
from panoptic.inference.many import ImageFile
from panoptic.inference.result_writer import (
    OVERLAYS,
    PANOPTIC,
    RECORDS,
    VERSION,
    Record,
    ResultWriter,
    digest_of,
    is_record,
    parsed,
    write_tables,
)
from panoptic.labels import LabelSpace
from panoptic.utils.remote import file_system, full_url, joined, make_folder, stamp, telling, upload


class RemoteResultFolder:
    """Folder elsewhere with the predictions of images, with the methods of :class:`ResultFolder`.

    Args:
        url: URL of the folder.
        labels: Label space of the predictions.
        settings: What the predictions depend on, apart from the images. Those of other settings are not kept.
        overlays: Whether to write an overlay of each image.

    Raises:
        InputError: If the folder cannot be read.
    """

    def __init__(self, url: str, labels: LabelSpace, settings: Mapping[str, Any], *, overlays: bool) -> None:
        self.folder = full_url(url)
        self.labels = labels
        self.writer = ResultWriter(self.folder, labels, overlays, digest_of(settings))
        self._files, self._root = file_system(self.folder)
        with telling(self.folder):
            self._files.invalidate_cache()
            kinds = (PANOPTIC, OVERLAYS) if overlays else (PANOPTIC,)
            self._pictures = [self._names(kind) for kind in kinds]
            self._records = self._read_records()

    def is_done(self, file: ImageFile) -> bool:
        """Return whether a file, as it is now, was predicted before and all its results are there."""
        record = self._records.get(file.name)
        if record is None:
            return False
        if record["source"] == stamp(file.path) and all(f"{file.name}.png" in names for names in self._pictures):
            return True
        del self._records[file.name]
        return False

    def begin(self) -> None:
        """Remove the JSON file of before, whose PNG files are about to be replaced.

        Raises:
            InputError: If it cannot be removed.
        """
        with telling(joined(self.folder, f"{PANOPTIC}.json")), suppress(FileNotFoundError):
            self._files.rm_file(joined(self._root, f"{PANOPTIC}.json"))

    def note(self, record: Record) -> None:
        """Note that an image is done."""
        self._records[record["name"]] = record

    def record(self, file: ImageFile) -> Record | None:
        """Return what was noted of a file that is done, ``None`` of others; :meth:`is_done` comes before."""
        return self._records.get(file.name)

    def finish(self, files: Sequence[ImageFile]) -> None:
        """Write the JSON file and the table of those files that are done, in their order.

        Raises:
            InputError: If they cannot be written.
        """
        with tempfile.TemporaryDirectory(prefix="panoptic_") as folder:
            done = [(file, record) for file in files if (record := self.record(file))]
            write_tables(Path(folder), done, self.labels)
            upload(Path(folder), self.folder)

    def _names(self, kind: str) -> set[str]:
        """Return the names of the files in a folder within."""
        try:
            return {PurePosixPath(path).name for path in self._files.ls(joined(self._root, kind), detail=False)}
        except FileNotFoundError:
            return set()

    def _read_records(self) -> dict[str, Record]:
        """Read the records with these settings, by name."""
        paths = [joined(self._root, RECORDS, name) for name in sorted(self._names(RECORDS))]
        contents = self._files.cat(paths, on_error="omit") if paths else {}
        found = [record for content in contents.values() if (record := parsed(content)) is not None]
        kept = {"version": VERSION, "settings": self.writer.digest}
        return {
            record["name"]: {key: record[key] for key in ("name", "source", "written", "row")}
            for record in found
            if is_record(record) and {key: record.get(key) for key in kept} == kept
        }


def check_writable(url: str) -> None:
    """Raise if a remote folder cannot be written to, by writing a small file there and removing it.

    Raises:
        InputError: If it cannot.
    """
    try:
        files, root = file_system(url)
        path = joined(root, ".panoptic_writable")
        with telling(url):
            make_folder(files, root)
            files.pipe_file(path, b"")
            files.rm_file(path)
    except InputError as error:
        raise InputError(f"output={error}") from error
