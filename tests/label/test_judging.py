"""Which head is shown, by what both said of strokes before they were learnt."""

import pytest

from plainmask.label.judging import LEAST, RECENT, Judged, Shown, better


def rows(count: int, linear: float, decoder: float, shown: Shown = "linear") -> list[Judged]:
    return [Judged(linear, decoder, shown)] * count


@pytest.mark.parametrize(
    ("judged", "shown"),
    [
        ([], "linear"),
        (rows(LEAST - 1, 0.1, 0.9), "linear"),
        (rows(LEAST, 0.1, 0.9), "decoder"),
        (rows(LEAST, 0.5, 0.5), "linear"),
        (rows(LEAST, 0.6, 0.5), "linear"),
    ],
)
def test_the_decoder_takes_over_once_it_had_more_right(judged: list[Judged], shown: Shown):
    assert better(judged) == shown


def test_old_strokes_count_no_more():
    assert better(rows(50, 0.9, 0.1) + rows(RECENT, 0.1, 0.9)) == "decoder"


def test_strokes_drawn_on_its_own_mistakes_do_not_tell_against_it():
    """Where the decoder is shown it has little right of what is drawn, as it is drawn there."""
    before = rows(RECENT, 0.1, 0.7)
    assert better(before + rows(RECENT, 0.6, 0.1, "decoder")) == "decoder"
    assert better(before + rows(RECENT, 0.8, 0.1, "decoder")) == "linear"
    assert better(before + rows(LEAST - 1, 0.8, 0.1, "decoder")) == "decoder"


def test_one_that_is_trusted_is_shown_until_it_has_less_right_of_its_own():
    assert better([], "decoder") == "decoder"
    own = rows(LEAST - 1, 0.9, 0.1, "decoder")
    assert better(own, "decoder") == "decoder"
    own += rows(1, 0.9, 0.1, "decoder")
    assert better(own, "decoder") == "linear"
    assert better(own + rows(LEAST, 0.1, 0.95), "decoder") == "decoder"
    assert better(own + rows(LEAST, 0.4, 0.3), "decoder") == "linear"
    assert better(rows(LEAST, 0.5, 0.5, "decoder"), "decoder") == "decoder"
