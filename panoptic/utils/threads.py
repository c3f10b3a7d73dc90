"""Work in threads ahead of the one that takes its results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def in_threads(work: Callable[[S], T], items: Iterable[S], ahead: int, threads: int = 2) -> Generator[T, None, None]:
    """Yield ``work(item)`` for each item, in order, while up to ``ahead`` more are worked on in threads.

    Exceptions of ``work`` are raised in place of a result, after which nothing more is begun; those of the items come
    after the results of the items before. Work that has begun is waited for.

    Args:
        work: Function that can run in several threads at a time.
        items: Items, which are taken in the thread of the caller.
        ahead: Number of results that may wait, at least 1; it bounds the memory.
        threads: Number of threads.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            failure: Exception | None = None
            iterator = iter(items)
            while True:
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                except Exception as error:
                    failure = error
                    break
                waiting.append(pool.submit(work, item))
                while waiting and (len(waiting) > ahead or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            if failure is not None:
                raise failure
        finally:
            for future in waiting:
                future.cancel()
