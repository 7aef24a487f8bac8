"""Work behind the network: order, errors, interruptions, and what is done in any case."""

import threading
import time
from collections.abc import Iterator

import pytest

from plainmask.errors import InputError
from plainmask.inference.overlap import behind


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_work_is_done_in_order_in_one_other_thread(limit: int):
    threads: set[int] = set()

    def square(number: int) -> int:
        threads.add(threading.get_ident())
        return number * number

    assert list(behind(square, range(20), limit)) == [number * number for number in range(20)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_work_goes_on_while_the_next_is_made_up_to_a_limit():
    begun = threading.Semaphore(0)
    go_on = threading.Event()
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number
            if number == 1:
                assert begun.acquire(timeout=5)
                go_on.set()

    def work(number: int) -> int:
        begun.release()
        assert go_on.wait(5)  # would never come if the next were not asked for meanwhile
        return number

    assert next(behind(work, source(), 2)) == 0
    assert len(made) <= 3


def test_without_a_limit_each_result_comes_before_the_next_item():
    events: list[str] = []

    def source() -> Iterator[int]:
        for number in range(3):
            events.append(f"made {number}")
            yield number

    for number in behind(lambda number: number, source(), 0):
        events.append(f"got {number}")
    assert events == ["made 0", "got 0", "made 1", "got 1", "made 2", "got 2"]


@pytest.mark.parametrize("error", [InputError("gone"), KeyboardInterrupt()])
def test_what_was_begun_comes_before_an_error_of_the_items(error: BaseException):
    def source() -> Iterator[int]:
        yield from range(3)
        raise error

    found: list[int] = []
    with pytest.raises(type(error)):
        found.extend(behind(lambda number: number, source(), 8))
    assert found == [0, 1, 2]


def test_an_error_of_the_work_stands_where_its_result_would():
    def work(number: int) -> int:
        if number == 2:
            raise InputError("the disk is full")
        return number

    results = behind(work, range(9), 3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InputError, match="the disk is full"):
        next(results)


def test_work_that_was_begun_is_done_when_the_results_are_left():
    done: list[int] = []

    def work(number: int) -> None:
        time.sleep(0.05)
        done.append(number)

    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    results = behind(work, source(), 4)
    next(results)
    results.close()
    assert done == taken
