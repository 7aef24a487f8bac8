"""What accepting, merging and splitting make of labels."""

import numpy as np
import pytest

from plainmask.errors import InputError
from plainmask.label.objects import FRESH
from plainmask.label.planes import Planes
from plainmask.label.repair import accepted, merged, split

SIZE = (20, 40)


def seen(*parts: tuple[int, int, int, int]) -> Planes:
    """Columns from, to; class; object. All else is background."""
    found = Planes(np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint16))
    assert found.objects is not None
    for first, last, class_id, number in parts:
        found.classes[4:16, first:last] = class_id
        found.objects[4:16, first:last] = number
    return found


def marks(*parts: tuple[int, int, int, int]) -> Planes:
    return seen(*parts).where(seen(*parts).classes > 0)


def numbers(planes: Planes) -> np.ndarray:
    assert planes.objects is not None
    return planes.objects


def test_what_is_accepted_is_an_object_from_then_on():
    proposed, labels = seen((5, 15, 1, 7), (20, 30, 2, FRESH | 3)), marks((6, 8, 1, 7))
    found = accepted(labels, proposed, "region", point=(25, 10))
    assert set(np.unique(numbers(found))) == {0, 3}
    assert found.known.sum() == 120
    found = accepted(labels, proposed, "class", class_id=1)
    assert found.known.sum() == 12 * 8  # without what has labels
    assert accepted(labels, proposed, "all").over(labels).known.all()
    ground = accepted(labels, proposed, "region", point=(0, 0))
    assert (ground.classes[ground.known] == 0).all()
    assert not accepted(labels, proposed, "region", point=(99, 0)).known.any()


def test_an_object_of_several_parts_is_accepted_whole():
    proposed = seen((5, 10, 1, FRESH | 1), (20, 30, 1, FRESH | 1))
    found = accepted(marks(), proposed, "region", point=(7, 10))
    assert found.known.sum() == 12 * 15


def test_objects_with_labels_become_the_first_that_the_line_crosses():
    labels = marks((5, 15, 1, 7), (20, 30, 2, 3), (32, 36, 2, 4))
    found = merged(labels, labels, [(25, 10), (10, 10)], 1)
    assert set(np.unique(numbers(found))) == {0, 3}
    assert (found.classes[4:16, 5:15] == 2).all()
    assert not found.known[:, 31:].any()


def test_of_what_has_no_labels_the_line_is_labelled():
    labels, whole = marks((6, 8, 1, 7)), seen((5, 15, 1, 7), (20, 30, 1, FRESH | 3))
    found = merged(labels, whole, [(25, 10), (10, 10)], 1)
    assert set(np.unique(numbers(found))) == {0, 7}
    assert found.known[10, 22]
    assert not found.known[5, 22]
    assert not found.known[10, 17]  # between them, nothing
    fresh = seen((5, 15, 1, FRESH | 2), (20, 30, 1, FRESH | 3))
    assert set(np.unique(numbers(merged(marks(), fresh, [(25, 10), (10, 10)], 1)))) == {0, 3}


def test_a_cut_leaves_two_objects_and_no_pixel_between():
    whole = seen((5, 25, 1, FRESH | 2), (30, 35, 1, 1))
    found = split(whole, [(20, 0), (20, 19)], 1)
    assert (numbers(found)[4:16, 5:19] == 2).all()
    assert (numbers(found)[4:16, 21:25] == 3).all()
    assert np.array_equal(found.known, numbers(whole) == FRESH | 2)


@pytest.mark.parametrize("x", [18.0, 18.25, 18.5])
def test_a_line_of_any_width_cuts(x: float):
    found = split(seen((5, 25, 1, 1)), [(x, 0), (x + 3, 19)], 0.01)
    assert set(np.unique(numbers(found))) == {0, 1, 2}


def test_what_a_cut_does_not_touch_stays():
    labels = marks((2, 4, 1, 5), (10, 20, 1, 5))
    found = split(labels, [(15, 0), (15, 19)], 1)
    assert not found.known[:, 2:4].any()
    assert set(np.unique(numbers(found))) == {0, 1, 5}


@pytest.mark.parametrize(
    ("points", "merging", "splitting"),
    [
        ([(1, 1), (3, 1)], "fewer than two objects", "crosses no object"),
        ([(10, 0), (10, 10)], "fewer than two objects", "in two"),
        ([(-9, -9)], "fewer than two objects", "crosses no object"),
    ],
)
def test_lines_that_do_nothing(points: list[tuple[float, float]], merging: str, splitting: str):
    labels = marks((5, 15, 1, 7), (20, 30, 2, 3))
    with pytest.raises(InputError, match=merging):
        merged(labels, labels, points, 1)
    with pytest.raises(InputError, match=splitting):
        split(labels, points, 1)
