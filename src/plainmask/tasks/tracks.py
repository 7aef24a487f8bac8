"""Which segment of a frame is which of the frames before, and for how long it has been seen.

Letters: Q queries, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from plainmask.results import Moment
from plainmask.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Tracks:
    """What the segments of the frames so far were called.

    A thing is known by its query, stuff by its class: both have a place, its `key`.
    """

    numbers: NDArray[np.int64]
    """(Q + C,): the number given to a query or a stuff class when first shown, from 1; else 0."""
    ages: NDArray[np.int64]
    """(Q + C,): in how many frames each was shown."""
    frame_index: int = 0
    """Of the next frame."""

    @classmethod
    def none(cls, num_queries: int, num_classes: int) -> Self:
        """Before the first frame."""
        nothing = np.zeros(num_queries + num_classes, np.int64)
        return cls(nothing, nothing)

    def key(self, query: int, class_id: int, vocabulary: Vocabulary) -> int:
        """The place of a query that shows an object of this class."""
        if vocabulary.classes[class_id].thing:
            return query
        return len(self.numbers) - len(vocabulary) + class_id

    def numbered(self, keys: Sequence[int]) -> Self:
        """With numbers for those of these places that had none, in their order."""
        numbers = self.numbers.copy()
        for key in keys:
            if not numbers[key]:
                numbers[key] = numbers.max() + 1
        return replace(self, numbers=numbers)

    def seen(self, keys: Sequence[int], track_ids: Sequence[int]) -> tuple[Moment, Self]:
        """After a frame that shows these places, one for each segment.

        Returns:
            What to say about the segments, and the tracks for the next frame.
        """
        ages = self.ages.copy()
        ages[sorted(set(keys))] += 1
        moment = Moment(
            self.frame_index, tuple(track_ids), tuple(int(age) for age in ages[list(keys)])
        )
        return moment, replace(self, ages=ages, frame_index=self.frame_index + 1)
