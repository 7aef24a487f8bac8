"""Work that is done behind the network, while the next is in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypeVar

from plainmask.threads import Promise, Worker

T = TypeVar("T")
R = TypeVar("R")

WAITING = 4
"""Pictures that may wait to be written while others are in the network."""


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
    pending: deque[Promise[R]] = deque()
    source = iter(items)
    failure: BaseException | None = None
    with closing(Worker()) as worker:
        while True:
            try:
                item = next(source)
            except StopIteration:
                break
            except BaseException as error:
                failure = error
                break
            pending.append(worker.submit(work, item))
            while pending and (len(pending) > limit or pending[0].kept()):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    if failure is not None:
        raise failure
