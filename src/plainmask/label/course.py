"""How good proposals were: shares of strokes that were predicted before they were learnt."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from plainmask.label.journal import History

RECENT = 10
"""Strokes of a class whose predictions make its figure."""


class CoursePoint(NamedTuple):
    """The figures after a stroke of which something had been predicted."""

    stroke: int
    """Which of the strokes that count it is, from 1."""
    class_id: int
    """Of it, as it is now."""
    right: float
    """The share of it that was predicted, 0..1."""
    of_class: float
    """The mean of that over the last `RECENT` strokes of the class."""
    together: float
    """The mean of all classes' figures."""


def course(history: History) -> list[CoursePoint]:
    """The figures over time, in the order of the strokes; the last are those of now."""
    shares: dict[int, deque[float]] = {}
    figures: dict[int, float] = {}
    points: list[CoursePoint] = []
    counting = [number for number in history.applied if number in history.strokes]
    for place, number in enumerate(counting, 1):
        stroke, right = history.strokes[number].stroke, history.predicted.get(number)
        if right is None or stroke is None or stroke.class_id is None:
            continue
        class_id = history.now(stroke.class_id)
        if class_id is None:
            continue
        recent = shares.setdefault(class_id, deque(maxlen=RECENT))
        recent.append(right)
        figures[class_id] = sum(recent) / len(recent)
        together = sum(figures.values()) / len(figures)
        points.append(CoursePoint(place, class_id, right, figures[class_id], together))
    return points
