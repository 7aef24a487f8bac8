"""Which pixels strokes mean, and what becomes of them."""

from typing import Any

import numpy as np
import pytest

from plainmask.label.drawing import draw, masked_stroke
from plainmask.label.planes import PixelBox, Planes
from plainmask.label.stroke import NO_LABEL, Stroke


def blank(height: int = 20, width: int = 30):
    return np.full((height, width), NO_LABEL, np.uint8)


def stroke(kind: str, *points: tuple[float, float], **more: Any) -> Stroke:
    return Stroke.read({"picture": "a.png", "kind": kind, "points": points} | more)


def put(labels: Any, one: Stroke):
    """Draw where objects are not told apart."""
    return draw(Planes(labels, None), one)


def test_a_brush_covers_what_is_near_its_line():
    labels = blank()
    found = put(labels, stroke("brush", (5, 10), (25, 10), radius=3, **{"class": 1}))
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
    put(labels, stroke("brush", *points, radius=1.2, **{"class": 0}))
    assert (labels == 0).sum() == 5


def test_points_close_together_draw_what_few_points_draw():
    few, many = blank(200, 300), blank(200, 300)
    put(few, stroke("brush", (50, 100), (250, 100), radius=30, **{"class": 0}))
    path = [(x / 4, 100.0) for x in range(200, 1001)]
    put(many, stroke("brush", *path, radius=30, **{"class": 0}))
    assert np.array_equal(few, many)


def test_a_stroke_may_lead_out_of_the_picture():
    labels = blank()
    put(labels, stroke("brush", (-50, 10), (500, 10), radius=2, **{"class": 0}))
    assert (labels[8:12] == 0).all()
    assert put(labels, stroke("brush", (-50, -50), radius=2, **{"class": 0})) is None


def test_an_eraser_takes_labels_away():
    labels = blank()
    labels[:] = 4
    put(labels, stroke("erase", (15, 10), radius=2))
    assert labels[10, 15] == NO_LABEL
    assert labels[0, 0] == 4


def test_fill_stays_within_what_encloses_it():
    labels = blank()
    labels[5:15, 5] = labels[5:15, 20] = labels[5, 5:21] = labels[14, 5:21] = 0
    put(labels, stroke("fill", (10, 10), **{"class": 1}))
    assert (labels[6:14, 6:20] == 1).all()
    assert (labels == 1).sum() == 8 * 14
    assert put(labels, stroke("fill", (99, 99), **{"class": 1})) is None


def test_a_polygon_is_filled():
    labels = blank()
    draw(
        Planes(labels, None), stroke("polygon", (5, 5), (15, 5), (15, 15), (5, 15), **{"class": 2})
    )
    assert (labels[6:14, 6:14] == 2).all()
    assert not (labels[:4] == 2).any()
    assert not (labels[:, 17:] == 2).any()


def test_locked_classes_keep_their_labels():
    labels = blank()
    labels[:, :15] = 3
    draw(
        Planes(labels, None),
        stroke("brush", (5, 10), (25, 10), radius=3, locked=[3], **{"class": 1}),
    )
    assert (labels[:, :15] == 3).all()
    assert labels[10, 20] == 1


def test_what_is_accepted_labels_what_has_no_label():
    labels = blank()
    labels[5:8, 5:8] = 0
    proposed = blank()
    proposed[4:10, 4:12] = 1
    proposed[6, 6] = 2
    accepted = masked_stroke("accept", "a.png", Planes(proposed, None))
    found = put(labels, accepted)
    assert found is not None
    assert found[0] == PixelBox(4, 4, 10, 12)
    assert (labels == 0).sum() == 9
    assert (labels == 1).sum() == 6 * 8 - 9
    assert put(labels, accepted) is None


def test_what_changes_nothing_is_told_so():
    labels = blank()
    dot = stroke("brush", (5, 5), radius=2, **{"class": 1})
    assert put(labels, dot) is not None
    assert put(labels, dot) is None


def objects(height: int = 20, width: int = 30) -> Planes:
    return Planes.blank((height, width), with_objects=True)


def dot(x: float, number: int, class_id: int = 1) -> Stroke:
    return stroke("brush", (x, 10), radius=3, object=number, **{"class": class_id})


def numbers(labels: Planes) -> Any:
    assert labels.objects is not None
    return labels.objects


def test_strokes_make_objects():
    labels = objects()
    draw(labels, dot(5, 1))
    draw(labels, dot(25, 2))
    draw(labels, dot(15, 0, class_id=0))
    assert set(np.unique(numbers(labels))) == {0, 1, 2}
    assert (labels.classes[numbers(labels) > 0] == 1).all()
    assert labels.classes[10, 15] == 0
    draw(labels, stroke("erase", (5, 10), radius=2))
    assert numbers(labels)[10, 5] == 0
    assert labels.classes[10, 5] == NO_LABEL


def test_a_stroke_of_another_object_of_the_class_changes_something():
    labels = objects()
    draw(labels, dot(5, 1))
    assert draw(labels, dot(5, 1)) is None
    assert draw(labels, dot(5, 2)) is not None
    assert set(np.unique(numbers(labels))) == {0, 2}


def test_an_object_has_the_class_of_its_last_stroke():
    labels = objects()
    draw(labels, dot(5, 1))
    draw(labels, dot(15, 2))
    found = draw(labels, dot(25, 1, class_id=3))
    assert found is not None
    assert found[0] == PixelBox(7, 2, 13, 28)
    assert (labels.classes[numbers(labels) == 1] == 3).all()
    assert (labels.classes[numbers(labels) == 2] == 1).all()
    draw(labels, stroke("fill", (5, 10), object=1, **{"class": 1}))
    assert (labels.classes[numbers(labels) == 1] == 1).all()
    draw(labels, dot(5, 1, class_id=3).model_copy(update={"locked": (1,)}))
    assert (labels.classes[numbers(labels) == 1] == 1).all()


@pytest.mark.parametrize("many", [2, 300])
def test_a_mask_says_of_each_pixel_which_object_it_becomes(many: int):
    new = objects(20, 30)
    numbers(new)[5:15].flat = np.arange(1, 301) % many
    new.classes[5:15].flat = np.arange(1, 301) % many % 5
    read = Stroke.model_validate_json(
        masked_stroke("accept", "a.png", new).model_dump_json(by_alias=True)
    )
    labels = objects()
    draw(labels, dot(5, 900))
    before = labels.copy()
    draw(labels, read)
    assert np.array_equal(labels.codes(), before.over(new).codes())
    draw(labels, masked_stroke("split", "a.png", new))
    assert np.array_equal(labels.codes(), new.over(before).codes())
