import numpy as np
from PIL import Image

from plainmask.data.record import Annotation
from plainmask.data.sheets import contact_sheet, paint_segments
from plainmask.vocabulary import Vocabulary

CLASSES = [
    {"id": 0, "name": "leaf", "thing": True, "color": [0, 250, 0]},
    {"id": 1, "name": "soil", "thing": False, "color": [250, 0, 0]},
]


def test_segments_have_the_colours_of_their_classes():
    mask = np.zeros((40, 80), bool)
    mask[:, :40] = True
    segments = Annotation.of_masks([mask, ~mask], (40, 80), [0, 1])
    picture = paint_segments(
        np.zeros((40, 80, 3), np.uint8), segments, Vocabulary.load({"classes": CLASSES}), 160
    )
    assert picture.size == (160, 80)
    left, right = picture.getpixel((5, 5)), picture.getpixel((155, 5))
    assert left[1] > 100 > left[0]
    assert right[0] > 100 > right[1]


def test_large_pictures_are_reduced_and_void_stays():
    segments = Annotation.of_map(np.full((300, 100), -1, np.int32), [])
    image = np.full((300, 100, 3), 77, np.uint8)
    picture = paint_segments(image, segments, Vocabulary.numbered(2), 60)
    assert picture.size == (20, 60)
    assert picture.getpixel((10, 30)) == (77, 77, 77)


def test_a_sheet_has_rows():
    pictures = [
        (f"train/a long name of a picture {n}", Image.new("RGB", (50, 30 + n))) for n in range(5)
    ]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.width < 50 * 2 + 60
    assert sheet.height > 3 * 30
    assert contact_sheet(pictures[:1]).width < 50 + 40
