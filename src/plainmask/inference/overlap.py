"""What runs beside the network: a thread that reads ahead of it, and one that works behind it."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WAITING = 4
"""Pictures that may wait to be written while others are in the network."""


def prefetched(items: Iterable[T], limit: int) -> Iterator[T]:
    """The same items, read by a thread that may be up to `limit` of them ahead."""
    waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(limit)
    stopped = threading.Event()

    def put(entry: tuple[bool, Any]) -> None:
        while not stopped.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put((True, item))
                if stopped.is_set():
                    return
            put((False, None))
        except BaseException as error:  # raised again where the items are used
            put((False, error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if more:
                yield item
            elif item is None:
                return
            else:
                raise item
    finally:
        stopped.set()


def behind(work: Callable[[T], R], items: Iterable[T], limit: int) -> Generator[R]:
    """What `work` makes of each item, in order, in a thread of its own while the next are made.

    Args:
        work: is called for one item after the other.
        items: where they fail or are interrupted, what `work` makes of those before comes first.
        limit: results that may be missing when the next item is asked for; 0: none.

    Raises:
        what `work` raises, where its result would be. Work on all items that were taken is done
        before this ends, however it does.
    """
    pending: deque[Future[R]] = deque()
    source = iter(items)
    failure: BaseException | None = None
    with ThreadPoolExecutor(1) as worker:
        while True:
            try:
                item = next(source)
            except StopIteration:
                break
            except BaseException as error:
                failure = error
                break
            pending.append(worker.submit(work, item))
            while pending and (len(pending) > limit or pending[0].done()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    if failure is not None:
        raise failure
