"""Batches that memory holds: one that is too large for it is taken in halves."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from plainmask.errors import PlainmaskError
from plainmask.progress import counted

T = TypeVar("T")
R = TypeVar("R")


class Fits:
    """How many things memory holds at once; learnt where it does not hold a batch."""

    def __init__(self) -> None:
        self._most: int | None = None

    def run(
        self, work: Callable[[Sequence[T]], list[R]], batch: Sequence[T], thing: str
    ) -> list[R]:
        """What `work` makes of all of a batch, in as few calls as memory allows.

        Where it does not hold a part, halves are tried, and halves of these; a warning says so
        once, and later batches begin with what was found to fit.

        Args:
            work: gives one for each of the part that it is called with. A call that fails leaves
                nothing behind.
            batch: in order.
            thing: what one of it is called in messages.

        Raises:
            PlainmaskError: memory does not even hold one.
        """
        found: list[R] = []
        refused = 0
        while len(found) < len(batch):
            part = batch[len(found) : len(found) + (self._most or len(batch))]
            try:
                found += work(part)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise PlainmaskError(
                        f"memory does not hold what one {thing} takes; make it smaller, see it in "
                        "tiles, or end other programs"
                    ) from error
                refused = refused or len(part)
                self._most = len(part) // 2
                continue  # only now the error is gone, and with it what its frames held
            if refused:
                warnings.warn(
                    f"memory does not hold {counted(refused, thing)} at once; going on with "
                    f"{self._most} at a time",
                    stacklevel=2,
                )
                refused = 0
        return found


def is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Whether NumPy, or torch on whatever device, found no memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a CPU and on Apple's MPS torch raises plain ones.
    said = str(error)
    return any(word in said for word in ("DefaultCPUAllocator", "out of memory", "bad_alloc"))
