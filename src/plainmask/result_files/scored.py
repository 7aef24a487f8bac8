"""Entries of objects with scores, in result files of images (COCO) and of videos (YouTube-VIS)."""

import math

from plainmask.vocabulary import Vocabulary


def entry_problems(place: int, category_id: int, score: float, vocabulary: Vocabulary) -> list[str]:
    """What is wrong with category and score of an entry; `place` in the file names it."""
    problems: list[str] = []
    if category_id not in vocabulary.by_file_id:
        known = ", ".join(map(str, vocabulary.by_file_id))
        problems.append(f"entry {place} is of category {category_id}; there are {known}")
    if not math.isfinite(score):
        problems.append(f"entry {place} has the score {score}")
    return problems
