"""Which share of a stroke was proposed: of the right class, and in an object of its own."""

import numpy as np
import pytest

from plainmask.label.foreseen import share_of
from plainmask.label.objects import FRESH
from plainmask.label.planes import Planes

SIZE = (10, 20)


def stroke(class_id: int, number: int) -> Planes:
    """Of ten pixels, in columns 5 to 14."""
    drawn = Planes.blank(SIZE, with_objects=True)
    assert drawn.objects is not None
    drawn.classes[4, 5:15] = class_id
    drawn.objects[4, 5:15] = number
    return drawn


def beside(left: tuple[int, int], right: tuple[int, int]) -> Planes:
    """What is proposed: class and object of the left half, and of the right one."""
    classes, objects = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint16)
    for part, (class_id, number) in ((slice(0, 10), left), (slice(10, 20), right)):
        classes[:, part], objects[:, part] = class_id, number
    return Planes(classes, objects)


@pytest.mark.parametrize(
    ("drawn", "is_new", "left", "right", "share"),
    [
        # Background.
        ((0, 0), True, (0, 0), (0, 0), 1.0),
        ((0, 0), True, (0, 0), (1, FRESH | 1), 0.5),
        # A new object: in one that has no labels, of its class, and in no other.
        ((1, 5), True, (1, FRESH | 1), (1, FRESH | 1), 1.0),
        ((1, 5), True, (1, FRESH | 1), (1, FRESH | 2), 0.5),
        ((1, 5), True, (1, FRESH | 1), (0, 0), 0.5),
        ((1, 5), True, (1, 4), (1, 4), 0.0),
        ((1, 5), True, (2, FRESH | 1), (2, FRESH | 1), 0.0),
        ((1, 5), True, (0, 0), (0, 0), 0.0),
        # One that goes on.
        ((1, 5), False, (1, 5), (1, 5), 1.0),
        ((1, 5), False, (1, 5), (1, FRESH | 1), 0.5),
        ((1, 5), False, (1, 4), (0, 0), 0.0),
    ],
)
def test_the_share_of_a_stroke_that_was_proposed(
    drawn: tuple[int, int],
    is_new: bool,
    left: tuple[int, int],
    right: tuple[int, int],
    share: float,
):
    assert share_of(stroke(*drawn), beside(left, right), is_new=is_new) == share


def test_a_stroke_that_is_not_to_be_seen_tells_nothing():
    nothing = Planes.blank(SIZE, with_objects=True)
    assert share_of(nothing, beside((0, 0), (0, 0)), is_new=True) is None
