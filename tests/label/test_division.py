"""Which stroke is nearest, by the way that features make."""

import numpy as np

from plainmask.label.division import Ground
from plainmask.pictures.geometry import Geometry

BOX = slice(0, 40), slice(0, 60)


def ground(features: np.ndarray) -> Ground:
    geometry = Geometry((40, 60), (40, 60), (40, 60), ((0, 0),))
    return Ground.of(features.reshape(24, -1).astype(np.float16), geometry, 10)


def strokes(*places: tuple[int, int, int]) -> np.ndarray:
    found = np.zeros((40, 60), np.uint16)
    for row, column, number in places:
        found[row, column] = number
    return found


def test_where_all_is_alike_the_nearest_stroke_decides():
    found = ground(np.ones((4, 6, 3))).divided(strokes((20, 5, 4), (20, 55, 2)), BOX)
    assert (found[:, :28] == 4).all()
    assert (found[:, 32:] == 2).all()


def test_where_features_change_one_ends_and_the_other_begins():
    features = np.zeros((4, 6, 2))
    features[:, :4] = [1, 0]
    features[:, 4:] = [0, 1]
    found = ground(features).divided(strokes((20, 5, 1), (20, 45, 2)), BOX)
    assert (found[:, :38] == 1).all()
    assert (found[:, 42:] == 2).all()


def test_strokes_in_one_patch_are_told_apart():
    found = ground(np.ones((4, 6, 3))).divided(strokes((12, 22, 1), (12, 28, 2)), BOX)
    assert found[12, 23] == 1
    assert found[12, 27] == 2
    assert found[12, 5] == 1
    assert found[12, 55] == 2


def test_a_part_is_divided_as_the_whole():
    land = ground(np.random.default_rng(0).normal(size=(4, 6, 5)))
    marks = strokes((12, 22, 1), (15, 40, 2), (25, 30, 3))
    box = slice(10, 30), slice(20, 50)
    assert np.array_equal(land.divided(marks[box], box), land.divided(marks, BOX)[box])
