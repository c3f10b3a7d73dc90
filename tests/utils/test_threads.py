"""Work in threads: order, bounds and failures."""

from __future__ import annotations

import threading
import time

import pytest

from panoptic.utils.threads import in_threads


def test_results_come_in_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number**2

    assert list(in_threads(work, range(20), ahead=4, threads=3)) == [n**2 for n in range(20)]
    assert list(in_threads(work, [], ahead=1)) == []


def test_no_more_items_are_taken_than_may_wait() -> None:
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number

    begun = threading.Event()
    results = in_threads(lambda number: begun.wait(30) and number, items(), ahead=2)
    threading.Timer(0.2, begun.set).start()
    assert next(results) == 0
    assert taken == [0, 1, 2]  # none was done while these were taken
    results.close()
    assert taken == [0, 1, 2]


def test_what_is_done_does_not_wait_for_more_items() -> None:
    taken = []

    def items():
        for number in range(10):
            taken.append(number)
            yield number
            time.sleep(0.05)

    results = in_threads(lambda number: number, items(), ahead=8)
    assert next(results) == 0
    assert len(taken) < 8
    results.close()


def test_a_failure_is_raised_in_its_place_and_ends_the_threads() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    before = threading.active_count()
    found = []
    with pytest.raises(ValueError, match="two"):
        found.extend(in_threads(work, range(9), ahead=3))
    assert found == [0, 1] or found == []  # extend may keep what came before
    assert threading.active_count() == before


def test_a_failure_of_the_items_comes_after_the_results_before_it() -> None:
    def items():
        yield from range(3)
        raise ValueError("no more")

    results = in_threads(lambda number: number, items(), ahead=8)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no more"):
        next(results)
