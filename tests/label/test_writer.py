"""Which page may write."""

import pytest

from plainmask.label import writer
from plainmask.label.writer import WritingPage


def test_the_first_page_writes_until_it_leaves():
    pages = WritingPage()
    first = pages.claim(None)
    assert first is not None
    assert pages.claim(None) is None
    assert pages.claim("made up") is None
    assert pages.claim(first) == first
    pages.leave("made up")
    assert pages.is_writer(first)
    pages.leave(first)
    assert not pages.is_writer(first)
    assert pages.claim(None) not in (None, first)


def test_a_page_may_take_over():
    pages = WritingPage()
    first = pages.claim(None)
    second = pages.claim(None, take=True)
    assert second != first
    assert pages.is_writer(second)
    assert not pages.is_writer(first)


def test_a_page_that_shows_no_sign_of_life_has_left(monkeypatch: pytest.MonkeyPatch):
    pages = WritingPage()
    first = pages.claim(None)
    monkeypatch.setattr(writer, "GONE", 0.0)
    second = pages.claim(None)
    assert second is not None
    assert not pages.is_writer(first)
