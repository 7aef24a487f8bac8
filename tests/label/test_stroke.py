"""What a stroke says, and what is refused."""

from typing import Any

import numpy as np
import pytest

from plainmask.errors import InputError
from plainmask.label.drawing import masked_stroke
from plainmask.label.planes import Planes
from plainmask.label.stroke import Stroke


def stroke(kind: str, *points: tuple[float, float], **more: Any) -> Stroke:
    return Stroke.read({"picture": "a.png", "kind": kind, "points": points} | more)


def test_a_stroke_comes_back_from_json_as_it_was():
    for one in (
        stroke("brush", (1.25, 2.5), radius=3, **{"class": 1}),
        masked_stroke("accept", "ü.png", Planes(np.zeros((3, 4), np.uint8), None)),
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
        ({"object": 40_000}, "object: "),
        ({"kind": "erase", "class": None, "object": 1}, "erase takes no object"),
        ({"objects": [[1, 0]]}, "a list of objects belongs to a mask"),
        ({"picture": 3}, "picture: "),
        ({"locked": [300]}, "locked.0: "),
        ({"more": 1}, "more: "),
    ],
)
def test_what_is_no_stroke_is_refused(change: dict[str, Any], message: str):
    with pytest.raises(InputError, match=r"the stroke cannot be used: ") as caught:
        Stroke.read(GOOD | change)
    assert message in str(caught.value)
