"""The page for the frames of a video, in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelling import field, waited_for
from pages import CHROMIUM, labelling, labels_on, settle, stroke, tab
from plainmask.data.check import check_dataset
from plainmask.heads.head import Head
from plainmask.inference.segmenter import Segmenter
from plainmask.label.frames import project_beside, write_frames
from plainmask.label.mind import HEAD
from plainmask.label.session import WHOLE, Session
from plainmask.label.stroke import NO_LABEL
from tiny import tiny_encoder
from videos import write_video

pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]
FRAMES = 12


@pytest.fixture
def street(tmp_path: Path) -> Path:
    return write_video(tmp_path / "street.mp4", [field(seed) for seed in range(FRAMES)])


@contextmanager
def page_of(browser: Any, street: Path, **options: Any) -> Iterator[tuple[Session, Any]]:
    place = project_beside(street)
    with (
        labelling(write_frames(street, place), place=place) as (made, address),
        tab(browser, **options) as page,
    ):
        page.goto(address)
        at_frame(page, 0)
        yield made, page


def at_frame(page: Any, number: int) -> None:
    """Wait until a frame is on the desk."""
    page.wait_for_selector(f"#frame-told:has-text('Frame {number} ·')")
    settle(page)
    assert page.inner_text("#name") == f"{number:06d}.jpg"


def test_a_walk_through_a_video(browser: Any, street: Path):
    with page_of(browser, street) as (made, page):
        assert not page.is_visible("#strip")
        page.keyboard.press("1")
        stroke(page, (8, 20), (20, 40))
        settle(page)
        page.focus("#frame")
        for _ in range(9):
            page.keyboard.press("ArrowRight")
        at_frame(page, 9)
        assert page.inner_text("#frame-told") == "Frame 9 · 0:00.36"
        page.keyboard.press("2")
        stroke(page, (60, 20), (70, 40))
        settle(page)
        np.testing.assert_array_equal(labels_on(page), made.labels("000009.jpg"))
        marks = page.locator("#frame-marks i").all()
        lefts = [float(mark.evaluate("one => one.style.left").rstrip("%")) for mark in marks]
        assert lefts == pytest.approx([0, 100 * 9 / 11], abs=0.01)

        page.fill("#frame", "5")  # as a drag does
        at_frame(page, 5)
        page.wait_for_selector("#accept-all:enabled")
        page.click("#accept-all")
        settle(page)
        waited_for(lambda: (labels_on(page) != NO_LABEL).all())
        assert (labels_on(page)[:, :30] == 0).mean() > 0.9
        assert (labels_on(page)[:, 50:] == 1).mean() > 0.9
        page.wait_for_selector("#frame-marks .done")

        page.click("#rest")
        page.wait_for_selector(f"#job:has-text('{FRAMES} pictures are in')")
    place = project_beside(street)
    labels = [np.asarray(Image.open(path)) for path in sorted((place / WHOLE / "labels").iterdir())]
    assert len(labels) == FRAMES
    assert not any((one == NO_LABEL).any() for one in labels)
    assert check_dataset(place / WHOLE).all_problems == []
    head = Segmenter(tiny_encoder(), {"it": Head.load(place / HEAD)})["it"]
    followed = [result.label_map for result in head.track(street)]
    assert len(followed) == FRAMES
    assert (followed[3] == labels[3]).mean() > 0.9


def test_frames_by_keys(browser: Any, street: Path):
    with page_of(browser, street) as (_, page):
        page.focus("#stage")
        page.keyboard.press("End")
        at_frame(page, 11)
        page.keyboard.press("PageUp")
        at_frame(page, 10)
        page.keyboard.press("PageUp")
        page.keyboard.press("PageDown")
        page.keyboard.press("PageDown")
        at_frame(page, 11)
        page.keyboard.press("Home")
        at_frame(page, 0)
        page.focus("#opacity")
        page.keyboard.press("End")  # another slider keeps its keys
        assert page.inner_text("#opacity-told") == "100 %"
        at_frame(page, 0)
        page.keyboard.press("?")
        assert "Play through the proposals" in page.inner_text("#help")


def test_it_plays_until_something_is_done(browser: Any, tmp_path: Path):
    long = write_video(tmp_path / "long.mp4", [field(seed) for seed in range(100)])
    with page_of(browser, long) as (made, page):
        page.keyboard.press("1")
        stroke(page, (8, 20), (20, 40))
        page.keyboard.press("2")
        stroke(page, (60, 20), (70, 40))
        page.wait_for_selector("#accept-all:enabled")
        page.keyboard.press("v")
        page.wait_for_function("Number(document.getElementById('frame').value) >= 3")
        assert page.get_attribute("#play", "aria-label") == "Stop"
        stroke(page, (30, 20), (34, 30))
        page.wait_for_selector("#play[aria-label='Play']")
        settle(page)
        name = page.inner_text("#name")
        assert (made.labels(name) == 1).any()
        page.fill("#frame", "97")
        page.click("#play")
        at_frame(page, 99)
        page.wait_for_selector("#play[aria-label='Play']")


def test_a_frame_stays_as_near_as_the_one_before(browser: Any, street: Path):
    with page_of(browser, street) as (_, page):
        page.keyboard.press("+")
        page.keyboard.press("+")
        near = page.inner_text("#fit")
        page.keyboard.press("PageDown")
        at_frame(page, 1)
        assert page.inner_text("#fit") == near


def test_a_reload_stays_at_its_frame(browser: Any, street: Path):
    with page_of(browser, street) as (_, page):
        page.keyboard.press("End")
        at_frame(page, 11)
        waited_for(lambda: page.evaluate("location.hash") == "#000011.jpg")
        page.reload()
        at_frame(page, 11)
