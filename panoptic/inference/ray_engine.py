"""Prediction of many images by the workers of Ray Data, on this machine or on a cluster (the extra ``ray``).

Files go to workers in groups; a worker holds the network and does with its group what
:func:`panoptic.inference.many.predict_files` does in one process: read, predict, write. What comes back of an image is
what is noted of it. When a worker is killed, Ray starts another, which gets the group again.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from panoptic.data.failures import failure_sentence
from panoptic.errors import InputError
from panoptic.inference.many import ImageFile, Unread, predict_files
from panoptic.inference.predictor import Predictor
from panoptic.inference.result_writer import PANOPTIC, Record, ResultWriter
from panoptic.training.checkpoint import Checkpoint
from panoptic.utils.malloc import keep_freed_memory
from panoptic.utils.remote import is_remote

GROUP = 32
"""Largest number of files that a worker gets at a time."""

GROUPS = 4
"""Number of groups for each worker, where there are few files."""

ATTEMPTS = 4
"""Number of times that a group, or the start of a worker, is tried when each time the worker is killed."""

ANSWER = 10
"""Seconds in which a cluster answers."""

STORE = 256 << 20
"""Room in bytes for what processes on this machine share, beside the network."""

QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns that this will be its default
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_LOG_LEVEL": "ERROR",
}
"""Variables of the environment that Ray and its processes read, unless they are given."""


def check_ray() -> None:
    """Raise if Ray is not installed.

    Raises:
        InputError: If it is not; the message names the extra.
    """
    for package in ("ray", "pyarrow", "pandas"):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"engine=ray: expected Ray Data, got no package {package}; "
                "pip install 'panoptic-adaptive-fusion[ray]' installs it"
            )


class Pool(NamedTuple):
    """Workers that a cluster has room for.

    Attributes:
        workers: Number of workers.
        gpus: Number of GPUs that each has, 0 or 1.
    """

    workers: int
    gpus: int


@contextmanager
def connected(workers: int | None, room: int = 0) -> Iterator[Pool]:
    """Connect to the cluster of ``RAY_ADDRESS`` for a block, or start Ray on this machine, and end it after.

    Args:
        workers: Number of workers; by default as many as there are GPUs, else processors.
        room: Size of the network in bytes.

    Raises:
        InputError: If there is no such cluster, or it has no room for as many workers.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield _pool(workers)
        return
    address = os.environ.get("RAY_ADDRESS")
    if address:
        check_answers(address)
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE + 2 * room}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address or "local", logging_level=logging.ERROR, **({} if address else own))
    except (OSError, RuntimeError, ValueError) as error:
        name = f"RAY_ADDRESS={address}" if address else "engine=ray"
        raise InputError(f"{name}: expected Ray to start or answer, got: {_line(error)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray's would end the command at once
    try:
        yield _pool(workers)
    finally:
        ray.shutdown()


def check_answers(address: str) -> None:
    """Raise if nothing answers at the address of a cluster, which Ray itself would try for minutes.

    Args:
        address: Value of ``RAY_ADDRESS``: ``HOST:PORT``, ``ray://HOST:PORT``, or a word such as ``auto``.

    Raises:
        InputError: If nothing answers.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"RAY_ADDRESS={address}: expected a cluster that answers, got: {_line(error)}") from error


def _pool(workers: int | None) -> Pool:
    """Return the workers that there is room for."""
    import ray

    found = ray.cluster_resources()
    gpus, cpus = int(found.get("GPU", 0)), int(found.get("CPU", 0))
    room, kind = (gpus, "GPUs") if gpus else (cpus, "processors")
    if room < (workers or 1):
        raise InputError(f"workers: expected at most {room}, the {kind} that Ray has, got {workers or 1}")
    return Pool(workers or room, min(gpus, 1))


class Attempts:
    """Counts beginnings that have not come to an end. It has a process of its own, which outlives workers."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, what: str) -> int:
        """Return how often something was begun since it last came to an end."""
        self._begun[what] += 1
        return self._begun[what]

    def end(self, what: str) -> None:
        """Note that something came to an end."""
        self._begun.pop(what, None)


class Worker:
    """Predicts groups of files in a process of Ray.

    Args:
        checkpoint: Reference to the checkpoint.
        options: Further arguments of :meth:`Predictor.load`.
        writer: Writes the results of an image.
        batch_size: Largest number of images predicted together; see :func:`panoptic.inference.many.predict_files`.
        attempts: Handle of :class:`Attempts`.
        limit: Number of unfinished starts of workers after which no more is tried.
    """

    def __init__(
        self,
        checkpoint: Any,
        options: Mapping[str, Any],
        writer: ResultWriter,
        batch_size: int | None,
        attempts: Any,
        limit: int,
    ) -> None:
        import ray

        keep_freed_memory()
        self._attempts = attempts
        self._writer = writer
        self._batch_size = batch_size
        self._predictor: Predictor | None = None
        self._failure: str | None = None
        if ray.get(attempts.begin.remote("worker")) > limit:
            self._failure = _killed("they load the network")
            return
        try:
            self._predictor = Predictor.load(ray.get(checkpoint), **options)
        except (RuntimeError, MemoryError) as error:
            self._failure = failure_sentence(error)
            if self._failure is None:
                raise
        ray.get(attempts.end.remote("worker"))

    def __call__(self, group: Mapping[str, Any]) -> dict[str, list[str]]:
        """Predict files, and return lines of JSON: the place of each file with its record, or why there is none."""
        return {"line": [json.dumps(line) for line in self._lines([json.loads(file) for file in group["file"]])]}

    def _lines(self, group: Sequence[tuple[int, str, str, str]]) -> list[dict[str, Any]]:
        import ray

        (_, first, *_), count = group[0], len(group)
        if self._predictor is not None and ray.get(self._attempts.begin.remote(first)) > ATTEMPTS:
            self._failure = _killed(
                f"they predict {first}" + (f" and {count - 1} images after it" if count > 1 else "")
            )
        if self._predictor is None or self._failure is not None:
            return [{"failure": self._failure}]
        files = [ImageFile(path if is_remote(path) else Path(path), name, shown) for _, path, name, shown in group]
        before, lines = self._predictor.limited, list[dict[str, Any]]()
        try:
            for result in predict_files(self._predictor, files, self._writer, self._batch_size):
                found = {"unread": str(result.error)} if isinstance(result, Unread) else {"record": result}
                lines.append({"place": group[len(lines)][0], **found})
        except (InputError, RuntimeError, MemoryError) as error:
            sentence = str(error) if isinstance(error, InputError) else failure_sentence(error)
            if sentence is None:
                raise
            lines.append({"failure": sentence})
        lines[0]["limited"] = self._predictor.limited - before
        return lines


def predict_with_ray(
    checkpoint: Checkpoint,
    files: Sequence[ImageFile],
    writer: ResultWriter,
    options: Mapping[str, Any],
    pool: Pool,
    batch_size: int | None = None,
) -> Generator[tuple[Record | Unread, int], None, None]:
    """Predict image files with workers of Ray, which is connected.

    Args:
        checkpoint: Checkpoint of the network; workers get its contents, not its path.
        files: Image files.
        writer: Writes the results of an image; it is sent to the workers.
        options: Further arguments of :meth:`Predictor.load`.
        pool: Workers.
        batch_size: Largest number of consecutive images of equal size that are predicted together; see
            :func:`panoptic.inference.many.predict_files`.

    Yields:
        Of each file, once, what is to be noted of it, or :class:`Unread`, as they come; and the number of images since
        the last in which ``codec.max_things`` left things out.

    Raises:
        InputError: If results cannot be written, workers are killed again and again, or what they write in a folder
            is not seen on this machine.
    """
    import ray
    import ray.data

    if isinstance(writer.folder, Path):
        writer = replace(writer, folder=writer.folder.absolute())
    rows = [
        {"file": json.dumps([place, path if is_remote(path) else os.path.abspath(path), name, shown])}
        for place, (path, name, shown) in enumerate(files)
    ]
    if not rows:
        return
    size = max(1, min(GROUP, math.ceil(len(rows) / (GROUPS * pool.workers))))
    arguments = {
        "checkpoint": ray.put(checkpoint),
        "options": dict(options),
        "writer": writer,
        "batch_size": batch_size,
        "attempts": ray.remote(num_cpus=0)(Attempts).remote(),
        "limit": ATTEMPTS * pool.workers,
    }
    lines = ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / size)).map_batches(
        Worker,
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=min(pool.workers, len(rows))),
        fn_constructor_kwargs=arguments,
        num_cpus=1,
        num_gpus=pool.gpus,
    )
    waiting = dict(enumerate(files))
    for row in lines.iter_rows():
        line = json.loads(row["line"])
        if "failure" in line:
            raise InputError(line["failure"])
        file = waiting.pop(line["place"], None)
        if file is not None:
            found = Unread(file, InputError(line["unread"])) if "unread" in line else line["record"]
            yield found, line.get("limited", 0)
    if waiting:
        raise InputError(f"engine=ray: expected a result of each image, got none of {len(waiting)}")


def check_shared(folder: Path, names: Collection[str]) -> None:
    """Raise if results that workers have written into a folder are not there for this machine.

    Args:
        folder: Folder of the results.
        names: Names of the results.

    Raises:
        InputError: If one is not there.
    """
    # Listing the folder also makes a network file system look again for files that it did not know of before.
    there = set(os.listdir(folder / PANOPTIC))
    missing = [name for name in names if f"{name}.png" not in there]
    if missing:
        raise InputError(
            f"output={folder}: expected a folder that all machines of the cluster share, or a URL, got one in which "
            f"{len(missing)} of {len(names)} results are not seen on this machine"
        )


def _killed(when: str) -> str:
    return (
        f"engine=ray: expected workers that live, got {ATTEMPTS} or more killed while {when}; "
        "memory may not suffice, and fewer workers need less"
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
