"""Entries of result files that list objects with scores: COCO of images, YouTube-VIS of videos."""

from __future__ import annotations

import math
from typing import Protocol

from plainmask.vocabulary import Vocabulary


class Entry(Protocol):
    """What they have in common."""

    @property
    def category_id(self) -> int:
        """Of the data set's files."""
        ...

    @property
    def score(self) -> float:
        """The larger, the surer."""
        ...


def entry_problems(place: int, entry: Entry, vocabulary: Vocabulary) -> list[str]:
    """One line for each of category and score of an entry that is wrong; the place is its own."""
    problems: list[str] = []
    if entry.category_id not in vocabulary.by_file_id:
        known = ", ".join(map(str, vocabulary.by_file_id))
        problems.append(f"entry {place} is of category {entry.category_id}; there are {known}")
    if not math.isfinite(entry.score):
        problems.append(f"entry {place} has the score {entry.score}")
    return problems
