"""Which picture comes next."""

import numpy as np
from numpy.typing import NDArray

from plainmask.label.ranking import OUTDATED, Ranking


def patches(value: float) -> NDArray[np.float16]:
    return np.full((6, 4), value, np.float16)


def test_nothing_known_means_the_order_of_the_folder():
    assert Ranking().first(["a", "b"], []) == "a"
    assert Ranking().first([], ["a"]) is None


def test_the_most_undecided_comes_first():
    ranking = Ranking()
    for name, undecided in (("a", 0.1), ("b", 0.8), ("c", 0.3)):
        ranking.see(name, patches(1))
        ranking.judge(name, undecided, 1)
    ranking.see("done", patches(1))
    assert ranking.first(["a", "b", "c"], ["done"]) == "b"


def test_of_equally_undecided_ones_the_most_unlike_comes_first():
    ranking = Ranking()
    for name, value in (("a", 1), ("b", 2), ("c", 9), ("done", 8)):
        ranking.see(name, patches(value))
        ranking.judge(name, 0.5, 1)
    assert ranking.first(["a", "b", "c"], ["done"]) == "a"


def test_what_was_never_seen_is_due_first_then_what_was_judged_long_ago():
    ranking = Ranking()
    ranking.see("a", patches(1))
    assert ranking.has_seen("a")
    assert ranking.due(["a", "b"], 5) == "b"
    assert ranking.due(["a"], None) is None
    assert ranking.due(["a"], 5) == "a"
    ranking.judge("a", 0.5, 5)
    assert ranking.due(["a"], 4 + OUTDATED) is None
    assert ranking.due(["a"], 5 + OUTDATED) == "a"


def test_what_was_never_seen_is_looked_at_far_apart():
    ranking, names = Ranking(), [f"{number}" for number in range(8)]
    looked = ""
    while (name := ranking.due(names, None)) is not None:
        ranking.see(name, patches(1))
        looked += name
    assert looked == "42610357"
