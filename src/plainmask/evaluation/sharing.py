"""How several processes share an evaluation out, and put together what each of them found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from plainmask.errors import PlainmaskError

Item = TypeVar("Item")
Part = TypeVar("Part")

Gather: TypeAlias = Callable[[Any], Iterable[Any]]
"""What all processes have, in their order, for what this one has; all of them ask."""


@dataclass(frozen=True)
class Share:
    """Which of several processes this one is. What they find is joined in the order of the items,
    so that figures are those of one process, to the last digit.
    """

    number: int = 0
    count: int = 1
    gather: Gather | None = None
    """None: there is no other process."""

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items of this process, in a row; none, where there are more processes than items."""
        first, last = (len(items) * place // self.count for place in (self.number, self.number + 1))
        return items[first:last]

    def joined(self, find: Callable[[], Part]) -> list[Part]:
        """What all processes found, in their order.

        Args:
            find: called once, in each process.

        Raises:
            Exception: what `find` raised here.
            PlainmaskError: it failed in another process; nobody waits for that one.
        """
        if self.gather is None:
            return [find()]
        mine: Part | None = None
        failure: Exception | None = None
        try:
            mine = find()
        except Exception as error:  # whatever it is, the others would wait
            failure = error
        reason = None if failure is None else str(failure) or type(failure).__name__
        found = list(self.gather((mine, reason)))
        if failure is not None:
            raise failure
        for number, (_, reason) in enumerate(found):
            if reason is not None:
                raise PlainmaskError(f"rank {number} could not evaluate the head: {reason}")
        return [part for part, _ in found]


ALONE = Share()
"""One process has everything."""
