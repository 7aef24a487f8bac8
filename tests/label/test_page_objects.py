"""The page where objects are told apart, in a real browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelling import things, waited_for
from pages import CHROMIUM, at, labelling, labels_on, objects_on, opened, settle, stroke
from plainmask.data.check import check_dataset
from plainmask.data.reader import read_dataset
from plainmask.label.session import WHOLE, Session
from plainmask.label.stroke import NO_LABEL

pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]
INSTANCE: dict[str, Any] = {"task": "instance", "classes": ["cat", "dog"]}
SEEN = """async ([x, y]) => (await import("/static/desk.js")).seenAt([x, y])?.number ?? 0"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return things(tmp_path / "in", "a.png", "b.png")


def seen(page: Any, x: float, y: float) -> int:
    return page.evaluate(SEEN, [x, y])


def alike(page: Any, made: Session) -> bool:
    """Whether the page has the labels of the server, to the last pixel."""
    planes = made.planes("a.png")
    return np.array_equal(labels_on(page), planes.classes) and np.array_equal(
        objects_on(page), planes.objects if planes.objects is not None else 0
    )


def begun(page: Any) -> None:
    """Background, and a stroke on each of two things that touch."""
    page.keyboard.press("x")
    stroke(page, (3, 5), (77, 5))
    stroke(page, (3, 55), (77, 55))
    page.keyboard.press("1")
    stroke(page, (18, 25), (30, 35))
    page.wait_for_selector("#accept-all:enabled")
    settle(page)
    page.keyboard.press("o")  # the proposal of the first reaches here
    stroke(page, (50, 25), (60, 35))
    settle(page)
    waited_for(lambda: (seen(page, 22, 20), seen(page, 60, 20)) == (1, 2))


def test_a_walk_among_objects(browser: Any, folder: Path):
    with labelling(folder, **INSTANCE) as (made, address), opened(browser, address) as page:
        assert [text.split()[0] for text in page.locator("#classes li").all_inner_texts()] == [
            "cat",
            "dog",
            "background",
        ]
        begun(page)
        assert page.inner_text("#count") == "2"
        assert alike(page, made)
        drawn = objects_on(page)

        page.keyboard.press("m")
        stroke(page, (20, 30), (58, 30))
        waited_for(lambda: page.inner_text("#count") == "1")
        waited_for(lambda: seen(page, 60, 20) == 1)
        assert alike(page, made)
        page.keyboard.press("s")
        stroke(page, (40, 8), (40, 52))
        waited_for(lambda: page.inner_text("#count") == "2")
        halves = [np.unique(objects_on(page)[20:40, x : x + 20]).tolist() for x in (15, 45)]
        assert sorted(halves) == [[1], [2]]
        for _ in range(2):
            page.keyboard.press("Control+z")
            settle(page)
        waited_for(lambda: np.array_equal(objects_on(page), drawn))
        waited_for(lambda: seen(page, 60, 20) == 2)

        page.keyboard.press("a")
        page.mouse.click(*at(page, 55, 20))
        waited_for(lambda: (objects_on(page) == 2).sum() > (drawn == 2).sum())
        assert (objects_on(page) == 1).sum() == (drawn == 1).sum()
        page.keyboard.press("Shift+A")
        waited_for(lambda: (labels_on(page) != NO_LABEL).all())
        assert alike(page, made)

        page.click("#rest")
        page.wait_for_selector("#job:has-text('plainmask train own-instance')")
        assert check_dataset(made.project.place / WHOLE).all_problems == []
        records = read_dataset("voc_objects", made.project.place / WHOLE, None)
        assert [record.id for record in records] == ["a", "b"]
        assert len(records[0].annotation()) == 2


def test_strokes_go_on_with_what_they_begin_on(browser: Any, folder: Path):
    with labelling(folder, **INSTANCE) as (made, address), opened(browser, address) as page:
        stroke(page, (15, 20), (20, 20))
        stroke(page, (20, 20), (30, 30))  # begins on the first
        stroke(page, (60, 40), (65, 40))  # on nothing
        settle(page)
        assert set(np.unique(objects_on(page))) == {0, 1, 2}
        page.keyboard.press("2")
        stroke(page, (16, 20), (16, 21))  # another class: another object
        settle(page)
        assert set(np.unique(objects_on(page))) == {0, 1, 2, 3}
        page.click("#objects [data-object='1']")
        stroke(page, (60, 20), (65, 20))  # the chosen one, wherever it begins
        settle(page)
        assert objects_on(page)[20, 62] == 1
        page.keyboard.press("f")
        page.keyboard.press("2")
        page.mouse.click(*at(page, 62, 40))  # a fill makes cat 2 a dog
        settle(page)
        assert set(np.unique(labels_on(page)[objects_on(page) == 2])) == {2}
        assert alike(page, made)


STROKES = """async ([seed, count]) => {
    const { draw } = await import("/static/desk.js");
    const { thinned } = await import("/static/raster.js");
    let value = seed;
    const random = () => (value = (value * 48271) % 2147483647) / 2147483647;
    const near = (side) => Math.round(16 * (side + 10) * random()) / 16 - 5;
    const point = () => [near(80), near(60)];
    for (let k = 0; k < count; k++) {
        const kind = ["brush", "erase", "brush", "fill"][k % 4];
        const points = Array.from({ length: 1 + Math.floor(random() * 5) }, point);
        const stroke = { kind, points: thinned(points, 4) };
        if (kind === "fill") stroke.points = [[random() * 79, random() * 59]];
        else stroke.radius = 4;
        const number = Math.floor(random() * 5);
        const its = { object: number, class: number && 1 + (k % 3 > 0) };
        if (kind !== "erase") Object.assign(stroke, its);
        draw(stroke);
    }
}"""


def test_the_page_draws_the_very_pixels_of_the_server(browser: Any, folder: Path):
    with labelling(folder, **INSTANCE) as (made, address), opened(browser, address) as page:
        for seed in range(1, 6):
            page.evaluate(STROKES, [seed, 40])
            settle(page)
            assert alike(page, made)
        for _ in range(30):
            page.keyboard.press("Control+z")
        settle(page)
        assert alike(page, made)


def test_help_and_keys_are_of_objects_only_where_there_are_some(browser: Any, folder: Path):
    with labelling(folder, **INSTANCE) as (_, address), opened(browser, address) as page:
        page.keyboard.press("?")
        page.wait_for_selector("#help:has-text('Merge objects')")
        page.keyboard.press("Escape")
        page.keyboard.press("o")
        page.wait_for_selector("#new-object[aria-pressed=true]")
        page.keyboard.press("Escape")
        page.wait_for_selector("#new-object[aria-pressed=false]")
    other = things(folder.parent / "other", "a.png")
    with labelling(other) as (_, address), opened(browser, address) as page:
        page.keyboard.press("?")
        page.wait_for_selector("#help:has-text('Brush')")
        assert "Merge" not in page.inner_text("#help")
        page.keyboard.press("Escape")
        page.keyboard.press("m")
        page.wait_for_selector("#stage[data-tool=brush]")
        assert not page.is_visible("#new-object")
