"""How many pictures may fail."""

import pytest

from plainmask.cluster.work import Done, within
from plainmask.errors import PlainmaskError


def test_as_many_as_are_allowed_may_fail():
    outcomes = [Done(50, 5, "x"), Done(50, 5, "y"), Done(20, 2, "z")]
    assert list(within(outcomes, 0.1)) == outcomes
    assert list(within([Done(3, 3, "x")], 1)) == [Done(3, 3, "x")]
    assert list(within([Done(3, 0, "")], 0)) == [Done(3, 0, "")]


def test_too_many_end_the_work_as_soon_as_that_is_sure():
    asked: list[int] = []

    def outcomes():
        for number in range(100):
            asked.append(number)
            yield Done(10, 3, f"bad {number}")

    with pytest.raises(PlainmaskError) as error:
        list(within(outcomes(), 0.1))
    assert str(error.value) == (
        "12 of 40 pictures failed, more than --max-failures 0.1 allows; one of the reasons: bad 0"
    )
    assert asked == [0, 1, 2, 3]


def test_a_few_pictures_are_judged_at_their_end():
    seen: list[Done] = []
    with pytest.raises(
        PlainmaskError, match=r"2 of 4 pictures failed, more than --max-failures 0\.4"
    ):
        seen.extend(within([Done(2, 2, "a"), Done(2, 0, "")], 0.4))
    assert len(seen) == 2
