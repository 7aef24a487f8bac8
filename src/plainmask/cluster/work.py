"""A part of the work: its pictures segmented, its rows written. One process or many call it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from plainmask.cluster.parts import WorkPart
from plainmask.cluster.segment_batch import SegmentBatch
from plainmask.cluster.store import Store
from plainmask.errors import PlainmaskError
from plainmask.progress import counted

ENOUGH = 100
"""Pictures after which a share of failures means something."""


class Done(NamedTuple):
    """What came of a part."""

    pictures: int
    """Or videos."""
    failed: int
    """Of these, those of which a row has an error."""
    reason: str
    """One of the errors; empty where there is none."""


@dataclass(frozen=True)
class Work:
    """What does parts."""

    segment: SegmentBatch
    store: Store

    def __call__(self, part: WorkPart) -> Done:
        """Do a part; its rows are there when this returns.

        Raises:
            PlainmaskError: heads cannot be loaded or rows not written. A picture that cannot be
                used is a row with an error.
        """
        rows = self.segment({"id": part.ids, "path": part.paths, "heads": part.heads})
        self.store.write(rows)
        failed = {
            path: error
            for path, error in zip(rows["path"], rows["error"], strict=True)
            if error is not None
        }
        return Done(len(part.ids), len(failed), next(iter(failed.values()), ""))


def within(outcomes: Iterable[Done], share: float) -> Iterator[Done]:
    """The same, as long as not too many fail: where a disk is not there, it is told at once.

    Args:
        outcomes: as they come.
        share: of the pictures that may fail, 0..1; looked at from the hundredth on, and at the end.

    Raises:
        PlainmaskError: more have failed; says why one of them did.
    """
    count, failed, reason = 0, 0, ""
    for one in outcomes:
        yield one
        count, failed, reason = count + one.pictures, failed + one.failed, reason or one.reason
        if failed > share * max(count, ENOUGH):
            break
    if failed > share * count:
        raise PlainmaskError(
            f"{failed} of {counted(count, 'picture')} failed, more than --max-failures "
            f"{share:g} allows; one of the reasons: {reason}"
        )
