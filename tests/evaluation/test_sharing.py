"""What processes share out and join again; threads stand for them, and wait for each other."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from plainmask.errors import InputError, PlainmaskError
from plainmask.evaluation.sharing import ALONE, Share


def together(count: int, work: Callable[[Share], Any]) -> list[Future[Any]]:
    """What so many processes answer; `gather` ends when all have asked."""
    barrier = Barrier(count, timeout=60)
    found: dict[int, Any] = {}

    def gather_of(number: int) -> Callable[[Any], Iterable[Any]]:
        def gather(mine: Any) -> list[Any]:
            found[number] = mine
            barrier.wait()
            return [found[place] for place in range(count)]

        return gather

    with ThreadPoolExecutor(count) as pool:
        shares = [Share(number, count, gather_of(number)) for number in range(count)]
        return [pool.submit(work, share) for share in shares]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_all_get_everything_in_its_order(count: int):
    items = [*"abcde"]
    done = together(count, lambda share: share.joined(lambda: [*share.of(items)]))
    for future in done:
        parts = future.result()
        assert len(parts) == count
        assert [item for part in parts for item in part] == items


@pytest.mark.parametrize("error", [InputError("no such file"), RuntimeError("no memory")])
def test_all_hear_of_a_failure(error: Exception):
    def work(share: Share) -> list[str]:
        def find() -> str:
            if share.number == 1:
                raise error
            return "found"

        return share.joined(find)

    first, second = together(2, work)
    assert second.exception() is error
    with pytest.raises(PlainmaskError, match=f"rank 1 could not .*: {error}"):
        first.result()


def test_one_process_has_everything():
    assert ALONE.of([*"abc"]) == [*"abc"]
    assert ALONE.joined(lambda: "found") == ["found"]
