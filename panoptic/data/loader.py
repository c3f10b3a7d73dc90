"""The loader of batches: PyTorch's, with sentences for what goes wrong in its processes and in the files they read."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from panoptic.data.batch import Batch, collate
from panoptic.data.failures import ENOUGH_SHARED_MEMORY, ended_sentence, failure_sentence, stopped_processes
from panoptic.data.sample import Sample, Unreadable
from panoptic.errors import InputError
from panoptic.utils.memory import SHARED, available_memory, available_shared_memory

_processes: weakref.WeakSet[BaseProcess] = weakref.WeakSet()
"""Loading processes of this one."""


@atexit.register  # runs after PyTorch has ended those that listen, and before Python waits for all that are left
def end_loading_processes() -> None:
    """Kill the loading processes that are left; one that is stopped takes notice of nothing else."""
    for process in list(_processes):
        for _ in range(2):
            with suppress(RuntimeError):  # PyTorch raises it once, wherever the program is, if one has ended
                process.kill()
                process.join()
    _processes.clear()


SHARE_LEFT_OUT, MOST_LEFT_OUT = 0.01, 100
"""Largest share and number of images of a split that may be left out; one always may."""


class LeftOut:
    """Images of a split that could not be read, each told once.

    Args:
        split: Name of the split.
        size: Number of its images.

    Attributes:
        reasons: Why each could not be read, by index.
    """

    def __init__(self, split: str, size: int) -> None:
        self.split = split
        self.size = size
        self.reasons: dict[int, str] = {}

    def add(self, found: Sequence[Unreadable]) -> None:
        """Add images.

        Raises:
            InputError: If they are too many for scores of the rest to stand for the split.
        """
        for index, reason in found:
            if index not in self.reasons:
                self.reasons[index] = reason
                warnings.warn(f"left out of {self.split}: {reason}", stacklevel=2)
        most = max(1, min(int(SHARE_LEFT_OUT * self.size), MOST_LEFT_OUT))
        if len(self.reasons) > most:
            first = "; ".join(list(self.reasons.values())[:3])
            raise InputError(
                f"data.on_error=skip: expected at most {most} of the {self.size} images of {self.split} that cannot "
                f"be read (1 %, and no more than {MOST_LEFT_OUT}), got {len(self.reasons)}: {first}"
            )


BYTES_PER_PIXEL = 3 + 4
"""Of an image and its ids."""

NORMALIZED_BYTES_PER_PIXEL = 3 * 4
"""Of the image that the network computes with, on its device."""

PREFETCHED = 2
"""Batches that each loading process has ready."""


def check_memory(batch_size: int, pixels: int, *, on_cpu: bool) -> None:
    """Raise if not even the pixels of a batch fit into memory; whether all else does is not known beforehand.

    Args:
        batch_size: Number of images.
        pixels: Number of pixels of an image.
        on_cpu: Whether the network computes in this memory too.

    Raises:
        InputError: If they do not fit.
    """
    needed = batch_size * pixels * (BYTES_PER_PIXEL + NORMALIZED_BYTES_PER_PIXEL * on_cpu)
    available = available_memory()
    if available is not None and needed > available:
        raise InputError(
            f"data.batch_size={batch_size}: expected a batch that fits into memory, {available / 1e9:.1f} GB, got one "
            f"whose pixels alone take {needed / 1e9:.1f} GB; a smaller data.batch_size or data.crop takes less"
        )


def check_shared_memory(workers: int, batches: int, batch_size: int, pixels: int) -> None:
    """Raise if shared memory is too small for the batches that loading processes have ready.

    Args:
        workers: Number of loading processes.
        batches: Number of batches.
        batch_size: Number of images of a batch.
        pixels: Number of pixels of an image.

    Raises:
        InputError: If it is too small.
    """
    needed = min(workers * PREFETCHED, batches) * batch_size * pixels * BYTES_PER_PIXEL
    available = available_shared_memory() if workers else None
    if available is not None and needed > available:
        raise InputError(
            f"data.workers={workers}: expected {needed / 1e6:.1f} MB of shared memory ({SHARED}) for the batches of "
            f"the loading processes, got {available / 1e6:.1f} MB; {ENOUGH_SHARED_MEMORY}"
        )


class Loaded(NamedTuple):
    """What a loading process hands over.

    Attributes:
        batch: Images that could be read; ``None`` if none could.
        unreadable: Images that could not.
    """

    batch: Batch | None
    unreadable: tuple[Unreadable, ...]


def load_batch(items: Sequence[Sample | Unreadable], least: tuple[int, int] = (1, 1)) -> Loaded:
    """Make a batch of the samples that could be read, of at least a height and width."""
    samples = [item for item in items if isinstance(item, Sample)]
    unreadable = [item for item in items if isinstance(item, Unreadable)]
    unreadable += [of_sample for sample in samples for of_sample in sample.replaces]
    batch = collate(samples, least) if samples else None
    if batch is not None and get_worker_info() is not None:
        batch.share_memory()  # the queue would do so in a thread, whose errors get lost: its reader waits forever
    return Loaded(batch, tuple(unreadable))


class Watch(threading.Thread):
    """Thread that kills the loading processes of an iterator if one batch takes too long.

    The timeout of PyTorch's loader does not help against all that may block: tensors are fetched from the process that
    made them, which may have been stopped meanwhile. Time in which this process itself is suspended does not count.

    Args:
        processes: Loading processes.
        seconds: Whole seconds to wait for a batch.

    Attributes:
        is_waiting: Whether a batch is waited for.
        stopped: Processes that were found to be stopped when the time was over; ``None`` before.
    """

    def __init__(self, processes: Sequence[BaseProcess], seconds: float) -> None:
        super().__init__(name="panoptic loading", daemon=True)
        self.processes = processes
        self.numbers = [process.pid for process in processes if process.pid is not None]
        self.seconds = seconds
        self.is_waiting = False
        self.waited = 0.0
        self.stopped: list[int] | None = None
        self.done = threading.Event()

    def run(self) -> None:
        """Count the seconds that one batch takes, until they are too many or no batch is expected any more."""
        tick = min(1.0, self.seconds)
        while not self.done.wait(tick):
            self.waited = self.waited + tick if self.is_waiting else 0.0
            if self.waited >= self.seconds:
                self.stopped = stopped_processes(self.numbers)
                for number in self.numbers:
                    with suppress(ProcessLookupError):
                        os.kill(number, signal.SIGKILL)
                return

    def sentence(self, error: Exception) -> str | None:
        """Return what an error means in the light of what has become of the processes; ``None`` for others."""
        if self.stopped is not None:
            return self._late()
        sentence = failure_sentence(error)
        if sentence is None and self.processes and isinstance(error, (OSError, EOFError)):
            try:
                ended = wait([process.sentinel for process in self.processes], timeout=1)
                first = next((process for process in self.processes if process.sentinel in ended), None)
                if first is not None:
                    first.join()  # it closes its connections a moment before it ends
            except RuntimeError as found:  # PyTorch's own error for it
                return failure_sentence(found)
            return None if first is None else ended_sentence(str(first.pid))
        return sentence

    def _late(self) -> str:
        what = f"process {self.stopped[0]}, which loads, was stopped" if self.stopped else "reading hangs, or is slow"
        return (
            f"data.timeout={self.seconds:g}: expected a batch of the loading processes within as many seconds, got "
            f"none: {what}; data.workers=0 loads without them, and a larger data.timeout waits longer"
        )


class Loader(DataLoader[Any]):
    """Loader whose errors are sentences, and that records images which could not be read.

    Args:
        dataset: Samples.
        left_out: Record of the images that cannot be read.
        seconds: Seconds to wait for a batch of the loading processes; 0 waits forever.
        least: Least height and width of a batch.
        arguments: Further arguments of :class:`torch.utils.data.DataLoader`.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        left_out: LeftOut,
        seconds: float,
        least: tuple[int, int] = (1, 1),
        **arguments: Any,
    ) -> None:
        self.left_out = left_out
        self.seconds = seconds
        super().__init__(dataset, collate_fn=partial(load_batch, least=least), **arguments)

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # an iterator of PyTorch's own class
        """Yield batches with at least one image.

        Raises:
            InputError: If a loading process ends or does not answer, too many images cannot be read, or all.
        """
        iterator: Any = super().__iter__()  # processes begin to load here, not at the first batch
        processes = getattr(iterator, "_workers", ())
        _processes.update(processes)
        return self._batches(iterator, Watch(processes, self.seconds))

    def _batches(self, iterator: Any, watch: Watch) -> Iterator[Batch]:
        found = False
        if watch.numbers and watch.seconds > 0:
            watch.start()
        try:
            while (loaded := self._next(iterator, watch)) is not None:
                self.left_out.add(loaded.unreadable)
                if loaded.batch is not None:
                    found = True
                    yield loaded.batch
        finally:
            watch.done.set()
        if not found and self.left_out.reasons:
            raise InputError(next(iter(self.left_out.reasons.values())))

    @staticmethod
    def _next(iterator: Any, watch: Watch) -> Loaded | None:
        """Return what is loaded next, or ``None`` at the end."""
        try:
            watch.is_waiting = True
            return next(iterator, None)
        except InputError as error:  # with the traceback of its process, which its message follows
            raise InputError(str(error).rstrip().rsplit(f"{InputError.__name__}: ", 1)[-1]) from None
        except Exception as error:
            sentence = watch.sentence(error)
            if sentence is None:
                raise
            if watch.numbers:
                end_loading_processes()
            raise InputError(sentence) from None
        finally:
            watch.is_waiting = False
            watch.waited = 0.0


def default_workers() -> int:
    """Return the default number of data-loading processes.

    Training on a CPU gets up to two, as it needs the processors itself. A GPU gets its share of the processors, less
    one, at least 1 and at most 16.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not torch.cuda.is_available():
        return min(2, processors)
    return min(max(processors // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1, 1), 16)


def one_thread(worker: int) -> None:
    """Disable OpenCV's threads in a worker, since the workers already occupy all processors.

    Signals that ask a run to end are for the training process, which ends its workers when it has saved its state.
    """
    import cv2

    cv2.setNumThreads(0)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
