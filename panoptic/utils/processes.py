"""Work on many files in several processes: results in order, errors as they are, memory that is used again."""

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
    """``work(context, index)`` for each index, in order.

    Args:
        work: a function of a module.
        context: what it needs; processes get it once.
        count: number of indices.
        workers: processes; by default one for each processor that this one may use. 0 and 1 work in this process.

    Raises:
        InputError: if ``workers`` is negative, or a process was killed; whatever else ``work`` raises.
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
        workers, multiprocessing.get_context(method), initializer=_start, initargs=(work, context)
    )
    chunk = max(1, min(8, count // (16 * workers)))  # small, so that all end at about the same time
    try:
        yield from pool.map(_work_on, range(count), chunksize=chunk)
    except BrokenProcessPool:
        raise InputError(
            f"workers={workers}: expected processes that live, one was killed; memory may not suffice for as many"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_work: tuple[Callable[[Any, int], Any], Any]  # of a worker process


def _start(work: Callable[[Any, int], Any], context: Any) -> None:
    global _work
    _work = work, context
    torch.set_num_threads(1)
    gc.freeze()  # what is there already stays, so that no collection touches, and thereby copies, the parent's memory
    keep_freed_memory()


def _work_on(index: int) -> Any:
    work, context = _work
    return work(context, index)
