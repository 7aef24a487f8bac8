"""The labelling page in a real browser, on a real server with a tiny encoder."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from images import png
from labelling import SIZE, session, waited_for
from plainmask.label.app import build_app
from plainmask.label.events import Events
from plainmask.label.session import Session
from servers import running

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LABELS = """async () => {
    const { drawn } = await import("/static/desk.js");
    return Array.from(drawn.labels.pixels);
}"""
QUIET = """async () => {
    const { state } = await import("/static/state.js");
    return state.unsent === 0 && !state.loading;
}"""


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


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


def large_picture(folder: Path) -> Path:
    """A folder with one of 4,000 x 3,000."""
    place = folder / "in"
    place.mkdir()
    small = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    (place / "large.png").write_bytes(png(small.repeat(100, 0).repeat(100, 1)))
    return place


def zigzag(page: Any, y: float) -> None:
    """A stroke over most of a large picture."""
    stroke(page, *[(400 + 300 * k, y + 200 * (k % 2)) for k in range(10)])


DIGEST = """async () => {
    const { drawn } = await import("/static/desk.js");
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", drawn.labels.pixels));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""

OBJECTS = """async () => {
    const { drawn } = await import("/static/desk.js");
    return Array.from(drawn.labels.objects);
}"""


def objects_on(page: Any) -> NDArray[np.uint16]:
    return np.array(page.evaluate(OBJECTS), np.uint16).reshape(SIZE)
