"""Threads beside the main one: order, errors, and Ctrl-C at any moment."""

import signal
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from random import Random

import pytest

from plainmask.errors import InputError
from plainmask.threads import Worker, prefetched

ROUNDS = 400


def test_errors_of_the_source_come_through():
    def broken() -> Iterator[int]:
        yield 1
        raise InputError("the camera is gone")

    found = prefetched(broken(), 2)
    assert next(found) == 1
    with pytest.raises(InputError, match="the camera is gone"):
        next(found)


def test_reading_stays_at_most_so_many_ahead():
    read: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    found = prefetched(source(), 3)
    assert next(found) == 0
    time.sleep(0.3)
    assert len(read) <= 5  # the one that was given, three that wait, and the one in hand
    assert list(found) == list(range(1, 100))


@contextmanager
def ctrl_c_after(seconds: float) -> Generator[None]:
    """What Ctrl-C does, after so long, if the block still runs."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_at_any_moment_is_ctrl_c():
    """Not an error about a lock, and no thread that waits for ever."""
    chance = Random(0)
    for _ in range(ROUNDS):
        worker = Worker()
        done: list[int] = []
        submitted = 0
        try:
            with ctrl_c_after(chance.uniform(1e-5, 2e-3)):
                for number in prefetched(range(10_000), 3):
                    submitted += 1
                    worker.submit(done.append, number).result()
        except KeyboardInterrupt:
            pass
        worker.close()
        assert done == list(range(len(done)))
        assert len(done) in (submitted - 1, submitted)


def test_a_worker_ends_with_what_it_was_given():
    with closing(Worker()) as worker:
        promises = [worker.submit(time.sleep, 0.01) for _ in range(5)]
        worker.close()
    assert all(promise.kept() for promise in promises)
