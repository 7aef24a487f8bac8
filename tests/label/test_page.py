"""The page in a real browser, on a real server with a tiny encoder."""

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from images import png
from labelling import SIZE, fields, session, waited_for
from plainmask.label.app import build_app
from plainmask.label.events import Events
from plainmask.label.session import Session
from plainmask.label.stroke import NO_LABEL
from servers import running

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]

LABELS = """async () => {
    const { drawn } = await import("/static/desk.js");
    return Array.from(drawn.labels.pixels);
}"""
QUIET = """async () => {
    const { state } = await import("/static/state.js");
    return state.unsent === 0 && !state.loading;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@contextmanager
def labelling(folder: Path, port: int = 0, **more: Any) -> Iterator[tuple[Session, str]]:
    """A session and the address of its page."""
    events, over = Events(), threading.Event()
    with session(folder, events.tell, **more) as made:
        app = build_app(made, events, is_over=over.is_set)
        with running(app, port) as address:
            try:
                yield made, f"http://{address}/"
            finally:
                over.set()  # lets go of pages that listen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fields(tmp_path / "in", "a.png", "b.png", "c.png")


@contextmanager
def tab(browser: Any, **options: Any) -> Iterator[Any]:
    """A tab in a browser of its own; an error in it fails the test."""
    size = {"width": 1200, "height": 760}
    context = browser.new_context(viewport=size, **options)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        yield page
        assert not errors
    finally:
        context.close()


@contextmanager
def opened(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """A tab with the page."""
    with tab(browser, **options) as page:
        visit(page, address)
        yield page


def visit(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("#strip [aria-current]")
    settle(page)


def settle(page: Any) -> None:
    """Wait until all is on the server."""
    waited_for(lambda: page.evaluate(QUIET))


def labels_on(page: Any) -> NDArray[np.uint8]:
    return np.array(page.evaluate(LABELS), np.uint8).reshape(SIZE)


def at(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a point of the picture is in the window."""
    box = page.locator("#stage").bounding_box()
    place = page.evaluate(
        f'async () => (await import("/static/view.js")).toStage([{x}, {y}])',
    )
    return box["x"] + place[0], box["y"] + place[1]


def stroke(page: Any, *points: tuple[float, float]) -> None:
    """Draw by mouse, through points of the picture."""
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=4)
    page.mouse.up()


def test_a_whole_walk(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        page.keyboard.press("c")
        page.fill("#class-form [name=name]", "line")
        page.click("#class-form .main")
        page.wait_for_selector("#classes li:nth-child(3).chosen")
        assert made.project.class_names == ["dark", "bright", "line"]
        for name in ("a.png", "b.png", "c.png"):
            page.click(f"#strip [title='{name}']")
            settle(page)
            page.keyboard.press("1")
            stroke(page, (8, 20), (20, 40))
            page.keyboard.press("2")
            stroke(page, (60, 20), (70, 40))
        page.keyboard.press("3")
        stroke(page, (40, 5), (40, 55))
        page.wait_for_selector("#accept-all:enabled")
        settle(page)
        drawn = labels_on(page)
        assert set(np.unique(drawn)) == {0, 1, 2, NO_LABEL}
        np.testing.assert_array_equal(drawn, made.labels("c.png"))

        page.keyboard.press("Control+z")
        settle(page)
        assert 2 not in labels_on(page)
        page.keyboard.press("Control+Shift+Z")
        settle(page)
        np.testing.assert_array_equal(labels_on(page), drawn)

        page.keyboard.press("e")  # repair by taking a part away
        stroke(page, (40, 20), (40, 30))
        settle(page)
        assert labels_on(page)[25, 40] == NO_LABEL
        page.click("#accept-all")
        settle(page)
        waited_for(lambda: (labels_on(page) != NO_LABEL).all())
        np.testing.assert_array_equal(labels_on(page), made.labels("c.png"))
        page.wait_for_selector("#strip [title='c.png'].done")

        page.click("#rest")
        page.wait_for_selector("#job:has-text('3 pictures are in')")
        whole = made.project.place / "whole" / "labels"
        assert sorted(path.name for path in whole.iterdir()) == ["a.png", "b.png", "c.png"]
        np.testing.assert_array_equal(np.asarray(Image.open(whole / "c.png")), labels_on(page))


def test_undo_goes_back_over_pictures_and_a_reload(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        stroke(page, (8, 20), (20, 40))
        page.keyboard.press("PageDown")
        settle(page)
        stroke(page, (30, 20), (50, 40))
        settle(page)
        page.reload()
        page.wait_for_selector("#strip [title='b.png'][aria-current]")
        settle(page)
        assert (labels_on(page) == 0).any()
        page.keyboard.press("Control+z")
        waited_for(lambda: (labels_on(page) == NO_LABEL).all())
        page.keyboard.press("Control+z")
        page.wait_for_selector("#strip [title='a.png'][aria-current]")
        settle(page)
        assert (made.labels("a.png") == NO_LABEL).all()
        assert (labels_on(page) == NO_LABEL).all()


STROKES = """async ([seed, count]) => {
    const { draw } = await import("/static/desk.js");
    const { thinned } = await import("/static/raster.js");
    let value = seed;
    const random = () => (value = (value * 48271) % 2147483647) / 2147483647;
    const near = (most) => Math.round(16 * (random() * (most + 20) - 10)) / 16;
    const point = () => [near(80), near(60)];
    for (let k = 0; k < count; k++) {
        const kind = ["brush", "erase", "brush", "fill"][k % 4];
        const radius = Math.round(1 + 2 * random() * 9) / 2;
        let points = Array.from({ length: 1 + Math.floor(random() * 6) }, point);
        if (kind === "fill") points = [[random() * 79, random() * 59]];
        const stroke = { kind, points: kind === "fill" ? points : thinned(points, radius) };
        if (kind !== "fill") stroke.radius = radius;
        if (kind !== "erase") stroke.class = k % 3 % 2;
        draw(stroke);
    }
}"""


def test_the_page_draws_the_very_pixels_of_the_server(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        page.click("#classes li:nth-child(2) .small[aria-pressed]", force=True)  # locked
        for seed in range(1, 6):
            page.evaluate(STROKES, [seed, 40])
            settle(page)
            page.evaluate(
                "async () => { (await import('/static/state.js')).state.locked.clear(); }"
            )
            np.testing.assert_array_equal(labels_on(page), made.labels("a.png"))


def test_polygons_and_regions_are_as_the_server_has_them(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        page.keyboard.press("g")
        for corner in ((5, 5), (30, 9), (25, 50), (7, 41)):
            page.mouse.click(*at(page, *corner))
        page.keyboard.press("Shift+Enter")
        page.keyboard.press("2")
        page.keyboard.press("b")
        stroke(page, (60, 10), (70, 50))
        waited_for(lambda: np.array_equal(labels_on(page), made.labels("a.png")))
        page.wait_for_selector("#accept-all:enabled")
        before = (made.labels("a.png") != NO_LABEL).sum()
        page.keyboard.press("a")
        page.mouse.click(*at(page, 77, 30))
        settle(page)
        waited_for(lambda: np.array_equal(labels_on(page), made.labels("a.png")))
        assert (made.labels("a.png") != NO_LABEL).sum() > before


def test_everything_by_keys(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        page.focus("#stage")
        page.keyboard.press("Enter")
        for _ in range(10):
            page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Enter")
        settle(page)
        assert (made.labels("a.png") == 0).any()
        np.testing.assert_array_equal(labels_on(page), made.labels("a.png"))
        page.keyboard.press("?")
        assert page.is_visible("#help")
        page.keyboard.press("Escape")
        assert not page.is_visible("#help")
        page.keyboard.press("n")
        page.wait_for_selector("#strip [title='a.png']:not([aria-current])")


def test_a_second_tab_only_shows(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as first:
        second = first.context.new_page()
        second.goto(address)
        second.wait_for_selector("#banner:has-text('Another tab writes')")
        stroke(second, (8, 20), (20, 40))
        assert not made.project.history.applied
        stroke(first, (50, 20), (60, 40))
        waited_for(lambda: np.array_equal(labels_on(second), made.labels("a.png")))
        assert (labels_on(second) == 0).any()
        second.click("#banner button")
        second.wait_for_selector("#banner", state="hidden")
        stroke(second, (8, 20), (20, 40))
        settle(second)
        assert len(made.project.history.applied) == 2
        first.bring_to_front()
        first.wait_for_selector("#banner:has-text('Another tab writes')")


def test_strokes_wait_for_a_server_that_is_gone(browser: Any, folder: Path):
    with tab(browser) as page:
        with labelling(folder) as (_, address):
            visit(page, address)
            stroke(page, (8, 20), (20, 40))
            settle(page)
        page.wait_for_selector("#banner:has-text('does not answer')")
        page.keyboard.press("2")
        stroke(page, (60, 20), (70, 40))
        page.wait_for_selector("#banner:has-text('One stroke waits')")
        with labelling(folder, int(address.strip("/").rpartition(":")[2])) as (made, _):
            waited_for(lambda: len(made.project.history.applied) == 2)
            page.wait_for_selector("#banner", state="hidden")
            settle(page)
            np.testing.assert_array_equal(labels_on(page), made.labels("a.png"))
            page.wait_for_selector("#accept-all:enabled")


def test_a_full_disk_is_told_and_the_stroke_taken_back(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        stroke(page, (8, 20), (20, 40))
        settle(page)
        file = made.project.journal._file
        kept, full = os.dup(file), os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file)
        stroke(page, (60, 20), (70, 40))
        page.wait_for_selector("#said:has-text('No space left')")
        os.dup2(kept, file)
        os.close(kept)
        os.close(full)
        waited_for(lambda: np.array_equal(labels_on(page), made.labels("a.png")))
        assert len(made.project.history.applied) == 1
        stroke(page, (60, 20), (70, 40))
        settle(page)
        assert len(made.project.history.applied) == 2


def test_a_project_without_classes_asks_for_one(browser: Any, folder: Path):
    with labelling(folder, classes=()) as (made, address), opened(browser, address) as page:
        page.fill("#class-form [name=name]", "leaf")
        page.keyboard.press("Enter")
        page.wait_for_selector("#classes li.chosen")
        page.keyboard.press("c")
        page.fill("#class-form [name=name]", "Leaf")
        page.keyboard.press("Enter")
        page.wait_for_selector("#class-form .error:has-text('already')")
        page.fill("#class-form [name=name]", "soil")
        page.click("#class-form [value='#cc79a7']")
        page.keyboard.press("Enter")
        page.wait_for_selector("#classes li:nth-child(2).chosen")
        assert made.project.class_names == ["leaf", "soil"]
        assert made.project.config.classes[1].color == (204, 121, 167)


def test_a_finger_draws_and_two_zoom(browser: Any, folder: Path):
    with (
        labelling(folder) as (made, address),
        opened(browser, address, has_touch=True) as page,
    ):
        touch = page.context.new_cdp_session(page)

        def fingers(kind: str, *points: tuple[float, float]) -> None:
            places = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        fingers("touchStart", at(page, 10, 20))
        fingers("touchMove", at(page, 20, 30))
        fingers("touchEnd")
        settle(page)
        assert len(made.project.history.applied) == 1
        scale = page.inner_text("#fit")
        (x0, y0), (x1, y1) = at(page, 30, 30), at(page, 50, 30)
        fingers("touchStart", (x0, y0))
        fingers("touchStart", (x0, y0), (x1, y1))
        fingers("touchMove", (x0 - 60, y0), (x1 + 60, y1))
        fingers("touchEnd")
        page.wait_for_function(
            "scale => document.getElementById('fit').innerText !== scale", arg=scale
        )
        settle(page)
        assert len(made.project.history.applied) == 1


DIGEST = """async () => {
    const { drawn } = await import("/static/desk.js");
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", drawn.labels.pixels));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""
SEGMENTS = """() => {
    window.segments = [];
    let began = 0;
    addEventListener("pointermove", () => { began = performance.now(); }, { capture: true });
    addEventListener("pointermove", () => segments.push(performance.now() - began));
    window.frames = [];
    let last = performance.now();
    requestAnimationFrame(function frame(now) {
        frames.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    });
    window.releases = [];
    addEventListener("pointerup", () => { began = performance.now(); }, { capture: true });
    addEventListener("pointerup", () => releases.push(performance.now() - began));
}"""


def test_large_pictures_are_painted_without_lag(browser: Any, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    small = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    (folder / "large.png").write_bytes(png(small.repeat(100, 0).repeat(100, 1)))
    with labelling(folder) as (made, address), opened(browser, address) as page:
        page.evaluate(SEGMENTS)
        for k in range(6):
            stroke(page, *[(400 + 300 * i, 500 + 250 * k + 200 * (i % 2)) for i in range(10)])
        settle(page)
        times = np.array(page.evaluate("segments"))
        assert len(times) > 100
        assert np.percentile(times, 95) < 16
        print(f"segment: median {np.median(times):.2f} ms, p95 {np.percentile(times, 95):.2f} ms")
        frames = np.array(page.evaluate("frames"))
        print(f"frames: median {np.median(frames):.1f} ms, p95 {np.percentile(frames, 95):.1f} ms")
        print(f"stroke's end: {np.round(page.evaluate('releases'), 1)} ms")
        assert page.evaluate(DIGEST) == hashlib.sha256(made.labels("large.png")).hexdigest()
