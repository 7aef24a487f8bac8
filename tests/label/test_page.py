"""The page in a real browser, on a real server with a tiny encoder."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelling import fields, waited_for
from pages import (
    CHROMIUM,
    DIGEST,
    at,
    labelling,
    labels_on,
    large_picture,
    opened,
    settle,
    stroke,
    tab,
    visit,
    zigzag,
)
from plainmask.label.session import WHOLE
from plainmask.label.stroke import NO_LABEL

pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fields(tmp_path / "in", "a.png", "b.png", "c.png")


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
        whole = made.project.place / WHOLE / "labels"
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


SETTINGS = """async () => {
    const { state } = await import("/static/state.js");
    const keys = ["tool", "classId", "radius", "opacity", "showLabels", "showProposal"];
    return [...keys.map((key) => state[key]), ...state.locked];
}"""


def test_settings_are_there_again_after_a_reload(browser: Any, folder: Path):
    with labelling(folder) as (_, address), opened(browser, address) as page:
        for key in ("2", "e", "]", "]", "l", "k"):
            page.keyboard.press(key)
        page.fill("#opacity", "40")
        page.keyboard.press("PageDown")
        settle(page)
        left = page.evaluate(SETTINGS)
        assert left[:2] == ["erase", 1]
        assert left[3:] == [0.4, False, True, 1]
        page.reload()
        page.wait_for_selector("#strip [title='b.png'][aria-current]")
        assert page.evaluate(SETTINGS) == left
        page.wait_for_selector("[data-tool=erase][aria-pressed=true]")
        assert not page.is_checked("[data-show=showLabels]")
        kept = page.evaluate("Object.values(localStorage)")
        page.evaluate("for (const key in localStorage) localStorage[key] = '[{'")
        page.reload()
        page.wait_for_selector("#strip [title='b.png'][aria-current]")
        assert len(kept) == 1
        assert page.evaluate(SETTINGS)[:2] == ["brush", 0]


def test_settings_of_another_project_on_the_same_port_are_its_own(browser: Any, folder: Path):
    other = fields(folder.parent / "other", "a.png")
    with tab(browser) as page:
        with labelling(folder) as (_, address):
            visit(page, address)
            page.keyboard.press("e")
        with labelling(other, int(address.strip("/").rpartition(":")[2])) as (_, address):
            visit(page, address)
            assert page.evaluate(SETTINGS)[:2] == ["brush", 0]


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


def test_a_stroke_in_hand_stays_on_its_picture(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        page.mouse.move(*at(page, 10, 20))
        page.mouse.down()
        page.mouse.move(*at(page, 20, 40), steps=4)
        page.keyboard.press("PageDown")
        page.wait_for_function("document.title.startsWith('b.png')")
        page.mouse.up()
        settle(page)
        first, second = made.labels("a.png"), made.labels("b.png")
    assert (first != NO_LABEL).any()
    assert (second == NO_LABEL).all()


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


def test_what_is_sent_again_for_a_lost_answer_counts_once(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        lost = list[str]()

        def lose(route: Any) -> None:
            """Let a request reach the server, but not its answer the page; the first of each."""
            url = route.request.url
            if url in lost:
                route.continue_()
            else:
                route.fetch()
                lost.append(url)
                route.abort()

        page.route(re.compile("strokes|accept|undo|redo"), lose)
        history = made.project.history
        stroke(page, (8, 20), (20, 40))
        settle(page)
        assert len(history.applied) == 1
        page.keyboard.press("2")
        stroke(page, (60, 20), (70, 40))
        page.wait_for_selector("#accept-all:enabled")
        page.keyboard.press("Shift+A")
        settle(page)
        assert len(history.applied) == 3
        page.keyboard.press("Control+z")
        settle(page)
        page.keyboard.press("Control+Shift+Z")
        settle(page)
        assert len(lost) == 4
        assert len(history.applied) == len(history.strokes) == 3
        waited_for(lambda: np.array_equal(labels_on(page), made.labels("a.png")))


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


def test_a_class_with_labels_is_joined_to_another_by_keys(browser: Any, folder: Path):
    more = {"classes": ["dark", "edge", "bright"]}
    with labelling(folder, **more) as (made, address), opened(browser, address) as page:
        page.keyboard.press("3")
        stroke(page, (60, 20), (70, 40))
        page.keyboard.press("2")
        stroke(page, (8, 20), (20, 40))
        settle(page)
        page.keyboard.press("r")
        page.focus("#delete")
        page.keyboard.press("Enter")
        page.wait_for_selector("#class-form .error:has-text('1 picture has labels of')")
        page.wait_for_selector("#into select:focus")
        page.keyboard.press("Tab")  # cancel
        page.keyboard.press("Tab")  # save
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#class-form", state="hidden")
        page.wait_for_selector("#classes li:nth-child(2):last-child:has-text('bright')")
        settle(page)
        waited_for(lambda: np.array_equal(labels_on(page), made.labels("a.png")))
        assert set(np.unique(labels_on(page))) == {0, 2, NO_LABEL}
        page.keyboard.press("Control+z")
        page.wait_for_selector("#classes li:nth-child(3)")
        waited_for(lambda: np.array_equal(labels_on(page), made.labels("a.png")))
        assert set(np.unique(labels_on(page))) == {1, 2, NO_LABEL}


def test_the_figure_over_time_is_drawn_and_told(browser: Any, folder: Path):
    with labelling(folder) as (made, address), opened(browser, address) as page:
        for count, (key, x) in enumerate((("1", 8), ("2", 60), ("1", 20), ("2", 70), ("2", 10)), 1):
            page.keyboard.press(key)
            stroke(page, (x, 10 * count), (x + 5, 10 * count))
            settle(page)
            waited_for(lambda count=count: made.status()["version"] >= count)
        page.wait_for_selector("#course-told:has-text('Strokes 3 to 5')")
        assert page.locator("#course polyline").count() == 3
        label = page.get_attribute("#course", "aria-label")
        figure = round(100 * made.status()["figure"])
        assert label.startswith("Predicted before they were learnt, from stroke 3 to 5: from 100 %")
        assert label.endswith(f"to {figure} %")
        box = page.locator("#course").bounding_box()
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 5)
        page.wait_for_selector("#course-told:has-text('Stroke 5, bright: 0 %; all:')")


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


def test_large_pictures_are_painted_as_the_server_has_them(browser: Any, tmp_path: Path):
    with labelling(large_picture(tmp_path)) as (made, address), opened(browser, address) as page:
        for k in range(6):
            zigzag(page, 500 + 250 * k)
        settle(page)
        assert page.evaluate(DIGEST) == hashlib.sha256(made.labels("large.png")).hexdigest()
