"""Which picture to label next: the one that is most undecided, and most unlike those labelled."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

OUTDATED = 20
"""Entries of the journal after which a picture is judged again."""


class Ranking:
    """What is known of pictures."""

    def __init__(self):
        self._means: dict[str, NDArray[np.float32]] = {}
        self._undecided: dict[str, tuple[float, int]] = {}

    def see(self, name: str, features: NDArray[np.float16]) -> None:
        """Take note of a picture's features (N, D)."""
        if name not in self._means:
            self._means[name] = features.mean(0, dtype=np.float32)

    def has_seen(self, name: str) -> bool:
        """Whether its features are known."""
        return name in self._means

    def judge(self, name: str, undecided: float, version: int) -> None:
        """Take note of how undecided its patches are, 0..1, for a head that learnt so much."""
        self._undecided[name] = undecided, version

    def due(self, names: Sequence[str], version: int | None) -> str | None:
        """A picture to look at: never seen, or else judged long ago; None: there is none.

        Pictures that follow each other are often alike, frames of a video always. So the one in the
        middle of the longest stretch that was never seen comes first.

        Args:
            names: of pictures, in order.
            version: what the head has learnt; None: there is no head.
        """
        stretches = [[*names] for seen, names in groupby(names, self.has_seen) if not seen]
        if stretches:
            longest = max(stretches, key=len)
            return longest[len(longest) // 2]
        if version is None:
            return None
        last = {name: self._undecided.get(name, (0.0, -OUTDATED))[1] for name in names}
        return next((name for name in names if last[name] <= version - OUTDATED), None)

    def first(self, waiting: Sequence[str], labelled: Collection[str]) -> str | None:
        """The picture to label next: of those seen the first in rank, else the first in order.

        Args:
            waiting: pictures without labels.
            labelled: pictures with.

        Returns:
            None: no picture waits.
        """
        known = [name for name in waiting if name in self._means]
        others = [self._means[name] for name in labelled if name in self._means]
        if not known or not others:
            return waiting[0] if waiting else None
        near = np.stack(others)
        distance = np.array([_nearest(self._means[name], near) for name in known])
        undecided = np.array([self._undecided.get(name, (0.5, 0))[0] for name in known])
        rank = undecided + distance / max(float(distance.max()), 1e-9)
        return known[int(rank.argmax())]


def _nearest(mean: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """The distance of a mean feature (D,) from the nearest of some (K, D)."""
    return float(np.sqrt(np.square(others - mean).sum(1).min()))
