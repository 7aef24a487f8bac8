"""Threads beside the main one, which waits for them so that Ctrl-C may come at any moment.

Ctrl-C raises KeyboardInterrupt between any two steps of Python code. Inside the locks of
`concurrent.futures`, `queue.Queue` and `threading.Condition`, which are such code, it can leave a
lock as it should not be: an error about the lock takes its place, or a thread waits for ever. What
the main thread does here with the others is one call of `SimpleQueue`, which is not; nor does it
wait until a thread has begun, as `threading.Thread` does.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Promise(Generic[R]):
    """What a piece of work will give."""

    def __init__(self, work: Callable[..., R], arguments: tuple[Any, ...]):
        self._work, self._arguments = work, arguments
        self._outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def keep(self) -> None:
        """Do the work, in the thread that calls this."""
        try:
            self._outcome.put((self._work(*self._arguments), None))
        except BaseException as error:  # raised again where the result is used
            self._outcome.put((None, error))

    def kept(self) -> bool:
        """Whether the result is there."""
        return not self._outcome.empty()

    def result(self) -> R:
        """Wait for what the work returns, or raise what it raises; once."""
        value, error = self._outcome.get()
        if error is not None:
            raise error
        return value


class Worker:
    """A thread that does one piece of work after the other."""

    def __init__(self):
        self._promises: SimpleQueue[Promise[Any] | None] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        _thread.start_new_thread(self._run, ())

    def submit(self, work: Callable[..., R], *arguments: Any) -> Promise[R]:
        """Have `work(*arguments)` done after what was submitted before."""
        promise = Promise(work, arguments)
        self._promises.put(promise)
        return promise

    def close(self) -> None:
        """Wait until all that was submitted is done; takes nothing more."""
        self._promises.put(None)
        self._ended.get()
        self._ended.put(None)  # for whoever closes it again

    def _run(self) -> None:
        while (promise := self._promises.get()) is not None:
            promise.keep()
        self._ended.put(None)


def prefetched(items: Iterable[T], limit: int) -> Iterator[T]:
    """The same items, read by a thread that may be up to `limit` of them ahead."""
    waiting: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
    places: SimpleQueue[bool] = SimpleQueue()  # one for each item that may wait; False: no more
    for _ in range(limit):
        places.put(True)

    def read() -> None:
        try:
            for item in items:
                if not places.get():
                    return
                waiting.put((True, item))
            waiting.put((False, None))
        except BaseException as error:  # raised again where the items are used
            waiting.put((False, error))

    _thread.start_new_thread(read, ())
    try:
        while True:
            more, item = waiting.get()
            if more:
                places.put(True)
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        places.put(False)
