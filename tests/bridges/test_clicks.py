"""Which object clicks and a box mean."""

from typing import Any

import numpy as np

from plainmask.bridges.clicks import Clicks, meant, overlap
from plainmask.results import InstanceResult, SemanticResult
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary

SIZE = (20, 30)
NAMES = Vocabulary.numbered(2)


def block(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def objects() -> InstanceResult:
    """A large and a small object that overlap, the small one less sure; and one apart."""
    found = (block(0, 0, 10, 10), block(2, 2, 6, 6), block(12, 20, 18, 28))
    scores = np.array([0.75, 0.5, 0.25], np.float32)
    rles = tuple(Rle.encode(mask) for mask in found)
    return InstanceResult(SIZE, rles, np.array([0, 1, 1]), scores, NAMES)


def chosen(result: Any, pos: Any = (), neg: Any = (), box: Any = None) -> Any:
    """Box and score of what is meant."""
    found = meant(result, Clicks(pos, neg, box))
    return None if found is None else (list(Rle.encode(found[0]).box), found[1])


def test_clicks_and_boxes_choose_an_object():
    result = objects()
    assert chosen(result, pos=[(3.5, 3.5)]) == ([0, 0, 10, 10], 0.75)
    assert chosen(result, pos=[(3.5, 3.5)], neg=[(8, 8)]) == ([2, 2, 6, 6], 0.5)
    assert chosen(result, pos=[(3, 3)], box=(2, 2, 7, 7)) == ([2, 2, 6, 6], 0.5)
    assert chosen(result, box=(19, 11, 29, 19)) == ([20, 12, 28, 18], 0.25)
    assert chosen(result, pos=[(3, 3), (25, 15)]) is None, "no object has both"
    assert chosen(result, box=(12, 0, 18, 6)) is None, "there is nothing"
    assert chosen(result, neg=[(3, 3)]) is None, "nothing was asked for"
    assert chosen(result, pos=[(30, 20)]) is None, "the far corner is in the last pixel"


def test_of_a_class_the_part_is_meant():
    label_map = np.full(SIZE, -1, np.int16)
    label_map[2:6, 2:6] = label_map[10:14, 20:25] = 1
    result = SemanticResult(label_map, NAMES)
    assert chosen(result, pos=[(3, 3)]) == ([2, 2, 6, 6], 1.0)
    assert chosen(result, pos=[(3, 3), (21, 11)]) == ([2, 2, 25, 14], 1.0)
    assert chosen(result, box=(19, 9, 23, 20)) == ([20, 10, 23, 14], 1.0)
    assert chosen(result, pos=[(0, 0)]) is None


def test_overlap_of_nothing_is_none():
    assert overlap(block(0, 0, 0, 0), block(0, 0, 0, 0)) == 0
    assert overlap(block(0, 0, 2, 2), block(0, 0, 2, 4)) == 0.5
