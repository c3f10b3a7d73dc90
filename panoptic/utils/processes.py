"""Parallel processing of many files, with ordered results, unchanged exceptions and reuse of memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from panoptic.errors import InputError, expect_at_least
from panoptic.utils.malloc import keep_freed_memory

T = TypeVar("T")


def in_processes(work: Callable[[Any, int], T], context: Any, count: int, workers: int | None = None) -> Iterator[T]:
    """Yield ``work(context, index)`` for each index, in order.

    Exceptions of ``work`` are raised unchanged.

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
    finally:
        pool.shutdown(cancel_futures=True)


_worker_task: tuple[Callable[[Any, int], Any], Any]
"""Function and context of a worker process."""


def _initialize_worker(work: Callable[[Any, int], Any], context: Any) -> None:
    global _worker_task  # noqa: PLW0603 - set once in each worker
    _worker_task = work, context
    torch.set_num_threads(1)
    gc.freeze()  # excludes existing objects from collections, which would touch and thereby copy the parent's memory
    keep_freed_memory()


def _run(index: int) -> Any:
    work, context = _worker_task
    return work(context, index)
