"""Sheets: the picture and its results side by side, with names, notes and legends."""

import numpy as np
import pytest
from PIL import Image

from plainmask.errors import InputError
from plainmask.results import SemanticResult
from plainmask.results.sheet import sheet
from plainmask.vocabulary import Vocabulary

CLASSES = [
    {"id": 0, "name": "sea", "color": [0, 0, 200]},
    {"id": 1, "name": "brick", "color": [200, 0, 0]},
    {"id": 2, "name": "sand", "color": [0, 200, 0]},
]
VOCABULARY = Vocabulary.load({"classes": CLASSES})
IMAGE = np.full((120, 200, 3), 90, np.uint8)


def a_result(speckle: int = 1) -> SemanticResult:
    label_map = np.zeros((120, 200), np.int32)
    label_map[:, 150:] = speckle
    return SemanticResult(label_map, VOCABULARY)


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    return {tuple(color) for color in np.asarray(picture).reshape(-1, 3).tolist()}


@pytest.mark.parametrize(("heads", "columns"), [(1, 2), (2, 3), (3, 2), (4, 3)])
def test_panels_stand_in_rows(heads: int, columns: int):
    results = {f"head {number}": a_result() for number in range(heads)}
    width, _ = sheet(IMAGE, results).size
    assert width == columns * (200 + 14) + 14


def test_legends_name_the_classes_that_are_drawn():
    found = colours(sheet(IMAGE, {"one": a_result()}))
    assert {(0, 0, 200), (200, 0, 0)} <= found
    assert (0, 200, 0) not in found


def test_notes_are_written():
    plain = sheet(IMAGE, {"one": a_result()})
    noted = sheet(IMAGE, {"one": a_result()}, {"one": "9 ms", "picture": "one pass"})
    changed = np.flatnonzero((np.asarray(plain) != np.asarray(noted)).any(axis=(1, 2)))
    assert len(changed)
    assert changed.max() < 50  # beside the names only


def test_large_pictures_become_small():
    image = np.zeros((1000, 2000, 3), np.uint8)
    label_map = np.zeros(image.shape[:2], np.int32)
    result = SemanticResult(label_map, VOCABULARY)
    assert sheet(image, {"one": result}).size[0] == 2 * (640 + 14) + 14


def test_always_the_same_from_arrays_and_pictures():
    first = sheet(IMAGE, {"one": a_result()})
    second = sheet(Image.fromarray(IMAGE), {"one": a_result()})
    assert first.tobytes() == second.tobytes()


def test_another_size_is_refused():
    with pytest.raises(InputError, match="give the picture that was segmented"):
        sheet(np.zeros((50, 50, 3), np.uint8), {"one": a_result()})
