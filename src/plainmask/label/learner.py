"""What is learnt from labels: which patches a linear head has learnt, and as what.

Letters: N patches, D numbers of a patch, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from plainmask.label.canvas import PatchLabels
from plainmask.label.linear import LinearHead, Sums

ENOUGH = 0.25
"""Share of a patch's pixels that must be labelled for it to count wholly."""
CORRECTION = 1.0
"""How much more a stroke weighs that was predicted wholly wrong than one that was right."""
OTHERS = 0.3
"""What a patch counts for beside one with labels, only for being in a picture that has some."""
SEEN = 512
"""Patches of a picture that stand for all of it."""
PICTURES = 32
"""Pictures, those labelled last, whose patches count without labels."""


class Learner:
    """A linear head, and what it has learnt of each picture. Used by one thread."""

    def __init__(self, width: int):
        self.head: LinearHead | None = None
        self._sums = Sums(width)
        self._learnt: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._seen: list[str] = []

    @property
    def pictures(self) -> list[str]:
        """Those of which something is learnt."""
        return [name for name, (_, weights) in self._learnt.items() if weights.any()]

    def learn(
        self,
        name: str,
        features: NDArray[np.float16],
        labels: PatchLabels,
        predicted: Mapping[int, float],
    ) -> None:
        """Take over what labels say of some patches, instead of what was learnt of them before.

        Args:
            name: of the picture.
            features: (h * w, D) of all its patches.
            labels: of N of them.
            predicted: the share of each stroke that was predicted right; corrections weigh more.
        """
        patches, count = labels.patches, labels.shares.shape[1]
        shares, weights = self._learnt_of(name, len(features), count)
        strokes, which = np.unique(labels.newest, return_inverse=True)
        wrong = np.array([1 - predicted.get(number, 1.0) for number in strokes.tolist()])
        new = np.minimum(1, labels.covered / ENOUGH) * (1 + CORRECTION * wrong[which])
        new = new.astype(np.float32)
        old = weights[patches]
        differs = (old != new) | (shares[patches] != labels.shares).any(1)
        gone, come = differs & (old > 0), differs & (new > 0)
        if not (gone | come).any():
            return
        self._sums.change(
            name,
            features[np.concatenate([patches[gone], patches[come]])],
            np.concatenate([shares[patches[gone]], labels.shares[come]]),
            np.concatenate([-old[gone], new[come]]),
        )
        shares[patches], weights[patches] = labels.shares, new
        self._see(name, features, has_labels=bool(weights.any()))

    def solve(self) -> None:
        """Bring the head up to what was learnt."""
        self.head = self._sums.solve()

    def right(
        self, features: NDArray[np.float16], labels: PatchLabels, stroke: int
    ) -> float | None:
        """The share of a new stroke that the head predicts right; None: there is none to tell.

        The first stroke of a class could not be predicted, and does not count.
        """
        new = (labels.newest == stroke) & (labels.covered > 0)
        if self.head is None or not new.any():
            return None
        if labels.shares[new][:, self.head.classes].sum(1).mean() < 0.5:  # mostly of the new class
            return None
        found = self.head.predict(features[labels.patches[new]])
        right = np.take_along_axis(labels.shares[new], found[:, None], 1)[:, 0]
        return float(np.average(right, weights=labels.covered[new]))

    def _see(self, name: str, features: NDArray[np.float16], *, has_labels: bool) -> None:
        """Let the patches of a picture count without labels while it has some."""
        if has_labels and name not in self._seen:
            count = min(len(features), SEEN)
            evenly = np.arange(count) * len(features) // count
            self._sums.see(name, features[evenly], OTHERS * len(features) / count)
            self._seen.append(name)
            if len(self._seen) > PICTURES:
                self._sums.forget(self._seen.pop(0))
        elif not has_labels and name in self._seen:
            self._sums.forget(name)
            self._seen.remove(name)

    def _learnt_of(
        self, name: str, patches: int, classes: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Shares (patches, C) and weights (patches,) as they were learnt."""
        shares, weights = self._learnt.get(name, (None, None))
        if shares is None or weights is None or len(weights) != patches:
            shares = np.zeros((patches, classes), np.float32)
            weights = np.zeros(patches, np.float32)
        shares = np.pad(shares, ((0, 0), (0, classes - shares.shape[1])))
        self._learnt[name] = shares, weights
        return shares, weights
