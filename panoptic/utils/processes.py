"""Parallel processing of many files, with ordered results, unchanged exceptions and reuse of memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import Any, TypeVar

import torch

from panoptic.errors import InputError, expect_at_least
from panoptic.utils.malloc import keep_freed_memory

T = TypeVar("T")


def in_processes(
    work: Callable[[Any, int], T], context: Any, count: int, workers: int | None = None
) -> Generator[T, None, None]:
    """Yield ``work(context, index)`` for each index, in order.

    Exceptions of ``work`` are raised unchanged. The processes end with this iterator: at once if it is closed or
    interrupted, and also if this process is killed. Close it (:func:`contextlib.closing`) where not all results may be
    taken.

    Args:
        work: Function at the top level of a module.
        context: First argument of ``work``, sent to each process once.
        count: Number of indices.
        workers: Number of processes. By default one per processor available to this process. With 0 or 1, all work is
            done in this process.

    Yields:
        Results of ``work``.

    Raises:
        InputError: If ``workers`` is negative, or a process was killed.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    expect_at_least(0, workers=workers)
    workers = min(workers, count)
    if workers <= 1:
        for index in range(count):
            yield work(context, index)
        return
    others = set(multiprocessing.active_children())
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context(method), initializer=_initialize_worker, initargs=(work, context)
    )
    chunk = max(1, min(8, count // (16 * workers)))  # small, so that all processes finish at about the same time
    try:
        yield from pool.map(_run, range(count), chunksize=chunk)
    except BrokenProcessPool:
        raise InputError(
            f"workers={workers}: expected processes that live, one was killed; memory may not suffice for as many"
        ) from None
    except (GeneratorExit, KeyboardInterrupt, SystemExit):
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_worker_task: tuple[Callable[[Any, int], Any], Any]
"""Function and context of a worker process."""

_is_working = False
"""Whether a worker process is in its function."""


def _initialize_worker(work: Callable[[Any, int], Any], context: Any) -> None:
    global _worker_task  # noqa: PLW0603 - set once in each worker
    _worker_task = work, context
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which ends its workers
    signal.signal(signal.SIGTERM, _end_worker)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    gc.freeze()  # excludes existing objects from collections, which would touch and thereby copy the parent's memory
    keep_freed_memory()


def _end_worker(number: int, frame: FrameType | None) -> None:
    """End this worker: from within its function by an exception, so that files are closed and removed."""
    if _is_working:
        raise SystemExit
    os._exit(128 + number)


def _end_with_parent() -> None:
    """End this worker when its parent is gone, whatever ended that."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    while parent.is_alive() and os.getppid() == parent.pid:
        parent.join(1)
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        time.sleep(5)
    os._exit(1)  # the main thread does not answer


def _run(index: int) -> Any:
    global _is_working  # noqa: PLW0603 - read by the handler of a signal
    work, context = _worker_task
    try:
        _is_working = True
        return work(context, index)
    except SystemExit:
        os._exit(128 + signal.SIGTERM)  # the pool would send the exception, and wait for the next task
    finally:
        _is_working = False
