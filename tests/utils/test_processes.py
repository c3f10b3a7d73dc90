"""Work in several processes: order, errors, and the processes that they come from."""

from __future__ import annotations

import os
import signal
import time

import pytest

from panoptic.errors import InputError
from panoptic.utils.processes import in_processes


def square(context: int, index: int) -> tuple[int, int]:
    time.sleep(0.01 * (index % 3))
    return context + index**2, os.getpid()


def fail(context: int, index: int) -> int:
    if index == context:
        raise InputError(f"file_{index}.png: expected a picture")
    return index


def die(context: int, index: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return index


@pytest.mark.parametrize("workers", [0, 1, 2, 5, None])
def test_results_come_in_order(workers: int | None) -> None:
    results = list(in_processes(square, 100, 23, workers))
    assert [value for value, _ in results] == [100 + i**2 for i in range(23)]
    processes = {process for _, process in results}
    assert (processes == {os.getpid()}) == (workers in (0, 1))
    assert len(processes) <= max(workers or os.cpu_count(), 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_as_it_is_after_what_came_before(workers: int) -> None:
    results = in_processes(fail, 3, 10, workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match=r"^file_3\.png: expected a picture$"):
        next(results)


def test_a_killed_process_is_told() -> None:
    with pytest.raises(InputError, match="workers=2: expected processes that live, one was killed"):
        list(in_processes(die, None, 4, 2))


def test_no_work_needs_no_process() -> None:
    assert list(in_processes(fail, 0, 0, 4)) == []
    with pytest.raises(InputError, match="workers: expected at least 0, got -2"):
        list(in_processes(fail, 0, 3, -2))
