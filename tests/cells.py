"""A small instance result for tests: a nucleus in its cell, and a doubtful one."""

import numpy as np

from plainmask.results import InstanceResult
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary

SIZE = (40, 60)
VOCABULARY = Vocabulary.load(
    {
        "name": "cells",
        "classes": [
            {"id": 0, "name": "cell", "thing": True},
            {"id": 1, "name": "cell nucleus", "thing": True},
            {"id": 2, "name": "dish", "thing": False},
        ],
    }
)
PHOTO = np.full((*SIZE, 3), 90, np.uint8)


def square(top: int, left: int, side: int) -> Rle:
    mask = np.zeros(SIZE, bool)
    mask[top : top + side, left : left + side] = True
    return Rle.encode(mask)


def cells() -> InstanceResult:
    """A sure cell, a less sure nucleus in it, and a doubtful one elsewhere."""
    rles = (square(5, 5, 20), square(10, 10, 6), square(30, 50, 5))
    scores = np.array([0.9, 0.6, 0.1], np.float32)
    return InstanceResult(SIZE, rles, np.array([0, 1, 1]), scores, VOCABULARY)
