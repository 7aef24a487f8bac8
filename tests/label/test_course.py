"""The figures over time, as the journal's predictions make them."""

import pytest

from labelling import dot
from plainmask.label.course import RECENT, course
from plainmask.label.journal import Entry, History
from plainmask.label.stroke import Join


def drawn(*strokes: tuple[int, float | None]) -> History:
    """What comes of strokes: class, and the share that was predicted."""
    history = History()
    for class_id, right in strokes:
        number = len(history.strokes) * 2 + 1
        stroke = dot("a.png", 9, class_id)
        history.take(Entry(id=number, do="stroke", stroke=stroke, size=(9, 9)))
        if right is not None:
            history.take(Entry(id=number + 1, do="predicted", of=number, right=right))
    return history


def test_figures_of_classes_and_together():
    points = course(drawn((0, None), (1, None), (0, 0.5), (1, 1.0), (0, 0.0)))
    assert [tuple(point) for point in points] == [
        (3, 0, 0.5, 0.5, 0.5),
        (4, 1, 1.0, 1.0, 0.75),
        (5, 0, 0.0, 0.25, 0.625),
    ]
    assert course(History()) == []


def test_only_the_newest_strokes_make_a_figure():
    points = course(drawn(*[(0, 0.0)] * RECENT, *[(0, 1.0)] * RECENT))
    assert [point.of_class for point in points[-RECENT:]] == pytest.approx(
        [(k + 1) / RECENT for k in range(RECENT)]
    )


def test_strokes_that_were_taken_back_do_not_count():
    history = drawn((0, 1.0), (0, 0.0))
    history.take(Entry(id=9, do="undo", of=3))
    assert [point.right for point in course(history)] == [1.0]


def test_strokes_of_a_class_that_joined_another_are_of_that():
    history = drawn((0, 0.5), (1, 1.0), (2, 1.0))
    history.take(Entry(id=9, do="join", join=Join(0, 1)))
    history.take(Entry(id=10, do="join", join=Join(2, None)))
    assert [tuple(point) for point in course(history)] == [
        (1, 1, 0.5, 0.5, 0.5),
        (2, 1, 1.0, 0.75, 0.75),
    ]
