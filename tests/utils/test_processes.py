"""Work in several processes: order, errors, and the processes that they come from."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import time
from pathlib import Path

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


def write_and_wait(folder: Path, index: int) -> int:
    if index == 0:
        return index
    file = folder / str(index)
    try:
        file.touch()
        time.sleep(120)
    finally:
        file.unlink()
    return index


def hold(end: int, index: int) -> int:
    os.write(end, b"x")
    time.sleep(120)
    return index


def use_two_workers(end: int) -> None:
    list(in_processes(hold, end, 2, 2))


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


def test_processes_end_at_once_when_no_more_results_are_wanted(tmp_path: Path) -> None:
    others = set(multiprocessing.active_children())  # of other tests
    results = in_processes(write_and_wait, tmp_path, 3, 2)
    assert next(results) == 0
    while not list(tmp_path.iterdir()):
        time.sleep(0.01)
    results.close()
    assert set(multiprocessing.active_children()) <= others
    assert list(tmp_path.iterdir()) == []  # the function had its cleaning up


def test_processes_end_when_their_parent_is_killed() -> None:
    readable, end = os.pipe()
    parent = multiprocessing.get_context("fork").Process(target=use_two_workers, args=(end,))
    parent.start()
    os.close(end)
    assert os.read(readable, 1) + os.read(readable, 1) == b"xx"  # both are at work
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    assert select.select([readable], [], [], 60)[0]
    assert os.read(readable, 1) == b""  # nobody holds the other end
    os.close(readable)
