"""Which pixels strokes mean, and what is refused."""

from typing import Any

import numpy as np
import pytest

from plainmask.errors import InputError
from plainmask.label.stroke import NO_LABEL, PixelBox, Stroke, draw


def blank(height: int = 20, width: int = 30):
    return np.full((height, width), NO_LABEL, np.uint8)


def stroke(kind: str, *points: tuple[float, float], **more: Any) -> Stroke:
    return Stroke.read({"picture": "a.png", "kind": kind, "points": points} | more)


def test_a_brush_covers_what_is_near_its_line():
    labels = blank()
    found = draw(labels, stroke("brush", (5, 10), (25, 10), radius=3, **{"class": 1}))
    rows, columns = np.mgrid[:20, :30] + 0.5
    along = np.clip(columns, 5, 25)
    expected = (columns - along) ** 2 + (rows - 10) ** 2 <= 9
    assert np.array_equal(labels == 1, expected)
    assert found is not None
    assert found[0] == PixelBox(7, 2, 13, 28)
    assert np.array_equal(found[1], expected[found[0].cut])


@pytest.mark.parametrize("points", [[(5.5, 5.5)], [(5.5, 5.5), (5.5, 5.5)]])
def test_a_click_is_a_disc(points: list[tuple[float, float]]):
    labels = blank()
    draw(labels, stroke("brush", *points, radius=1.2, **{"class": 0}))
    assert (labels == 0).sum() == 5


def test_points_close_together_draw_what_few_points_draw():
    few, many = blank(200, 300), blank(200, 300)
    draw(few, stroke("brush", (50, 100), (250, 100), radius=30, **{"class": 0}))
    path = [(x / 4, 100.0) for x in range(200, 1001)]
    draw(many, stroke("brush", *path, radius=30, **{"class": 0}))
    assert np.array_equal(few, many)


def test_a_stroke_may_lead_out_of_the_picture():
    labels = blank()
    draw(labels, stroke("brush", (-50, 10), (500, 10), radius=2, **{"class": 0}))
    assert (labels[8:12] == 0).all()
    assert draw(labels, stroke("brush", (-50, -50), radius=2, **{"class": 0})) is None


def test_an_eraser_takes_labels_away():
    labels = blank()
    labels[:] = 4
    draw(labels, stroke("erase", (15, 10), radius=2))
    assert labels[10, 15] == NO_LABEL
    assert labels[0, 0] == 4


def test_fill_stays_within_what_encloses_it():
    labels = blank()
    labels[5:15, 5] = labels[5:15, 20] = labels[5, 5:21] = labels[14, 5:21] = 0
    draw(labels, stroke("fill", (10, 10), **{"class": 1}))
    assert (labels[6:14, 6:20] == 1).all()
    assert (labels == 1).sum() == 8 * 14
    assert draw(labels, stroke("fill", (99, 99), **{"class": 1})) is None


def test_a_polygon_is_filled():
    labels = blank()
    draw(labels, stroke("polygon", (5, 5), (15, 5), (15, 15), (5, 15), **{"class": 2}))
    assert (labels[6:14, 6:14] == 2).all()
    assert not (labels[:4] == 2).any()
    assert not (labels[:, 17:] == 2).any()


def test_locked_classes_keep_their_labels():
    labels = blank()
    labels[:, :15] = 3
    draw(labels, stroke("brush", (5, 10), (25, 10), radius=3, locked=[3], **{"class": 1}))
    assert (labels[:, :15] == 3).all()
    assert labels[10, 20] == 1


def test_what_is_accepted_labels_what_has_no_label():
    labels = blank()
    labels[5:8, 5:8] = 0
    proposed = blank()
    proposed[4:10, 4:12] = 1
    proposed[6, 6] = 2
    accepted = Stroke.accepting("a.png", proposed)
    found = draw(labels, accepted)
    assert found is not None
    assert found[0] == PixelBox(4, 4, 10, 12)
    assert (labels == 0).sum() == 9
    assert (labels == 1).sum() == 6 * 8 - 9
    assert draw(labels, accepted) is None


def test_what_changes_nothing_is_told_so():
    labels = blank()
    dot = stroke("brush", (5, 5), radius=2, **{"class": 1})
    assert draw(labels, dot) is not None
    assert draw(labels, dot) is None


def test_a_stroke_comes_back_from_json_as_it_was():
    for one in (
        stroke("brush", (1.25, 2.5), radius=3, **{"class": 1}),
        Stroke.accepting("ü.png", np.zeros((3, 4), np.uint8)),
    ):
        assert Stroke.model_validate_json(one.model_dump_json(by_alias=True)) == one


GOOD = {"picture": "a", "kind": "brush", "points": [[1, 2]], "radius": 2, "class": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class": None}, "brush takes a class"),
        ({"class": 255}, "class: "),
        ({"class": -1}, "class: "),
        ({"radius": None}, "brush takes a radius"),
        ({"radius": 0}, "radius: "),
        ({"radius": float("nan")}, "radius: "),
        ({"points": []}, "points: "),
        ({"points": [[1, float("inf")]]}, "points.0.1: "),
        ({"points": [[1, 2, 3]]}, "points.0"),
        ({"points": "many"}, "points: "),
        ({"kind": "spray"}, "kind: "),
        ({"kind": "erase"}, "erase takes no class"),
        ({"kind": "fill"}, "fill takes no radius"),
        ({"kind": "polygon", "radius": None}, "three points or more"),
        ({"kind": "accept", "radius": None, "class": None}, "a mask belongs to accept"),
        ({"mask": "x"}, "a mask belongs to accept"),
        ({"picture": 3}, "picture: "),
        ({"locked": [300]}, "locked.0: "),
        ({"more": 1}, "more: "),
    ],
)
def test_what_is_no_stroke_is_refused(change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=r"the stroke cannot be used: ") as caught:
        Stroke.read(GOOD | change)
    assert message in str(caught.value)
