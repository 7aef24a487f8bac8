"""Overlays: what is painted, what is left alone, and that it is always the same."""

import numpy as np
import pytest
from PIL import Image

from plainmask.errors import InputError
from plainmask.results.draw import Region, overlay, shade

GREY = np.full((200, 300, 3), 100, np.uint8)
RED = (200, 0, 0)


def two_regions() -> np.ndarray:
    region_map = np.zeros((200, 300), np.int32)
    region_map[:, 100:200] = 1
    region_map[:, 200:] = 5
    return region_map


REGIONS = [Region(1, RED, ""), Region(5, (0, 0, 200), "")]


def test_colours_and_contours():
    found = np.asarray(overlay(GREY, two_regions(), REGIONS)).astype(int)
    assert (found[:, :99] == 100).all(), "nothing is painted outside of regions"
    assert (found[:, 110:190] == (145, 55, 55)).all()
    assert (found[:, 210:] == (55, 55, 145)).all()
    for column in (100, 199, 200):
        assert found[50, column].min() > 110, "contours are bright"


def test_every_value_is_mixed_with_the_colour():
    """Of the region, and on its outline with a bright one of it, rounded once."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = np.stack([values, values[::-1], values.T], -1)
    region_map = np.ones((16, 16), np.int32)
    lines = np.zeros((16, 16), np.int32)
    lines[4:9, 3:12] = 1
    for color in ((0, 128, 255), (255, 17, 3), (90, 90, 90)):
        painted = image + np.float32(0.45) * (np.float32(color) - image)
        found = overlay(image, region_map, [Region(1, color, "")], lines)
        bright = np.float32(0.5) * np.float32(color) + np.float32(0.5 * 255)
        edge = painted + np.float32(0.9) * (bright - painted)
        expected = np.where(lines[..., None] > 0, edge, painted).round().astype(np.uint8)
        assert np.array_equal(np.asarray(found), expected)


def test_labels_stand_in_their_regions():
    regions = [Region(1, RED, "car"), Region(5, (0, 0, 200), "sky")]
    plain = np.asarray(overlay(GREY, two_regions(), REGIONS))
    found = np.asarray(overlay(GREY, two_regions(), regions))
    changed = np.flatnonzero((plain != found).any(axis=(0, 2)))
    assert changed.min() > 100
    assert (changed < 200).any()
    assert (changed > 200).any()


def test_no_label_without_room():
    region_map = np.zeros((200, 300), np.int32)
    region_map[50:54, 50:54] = 1
    bare = overlay(GREY, region_map, [Region(1, RED, "")])
    assert overlay(GREY, region_map, [Region(1, RED, "car")]).tobytes() == bare.tobytes()


def test_deterministic():
    regions = [Region(1, RED, "car"), Region(5, (0, 0, 200), "sky")]
    first, second = (overlay(GREY, two_regions(), regions) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_accepts_pil_of_any_mode():
    grey = Image.new("L", (300, 200), 100)
    assert (
        overlay(grey, two_regions(), REGIONS).tobytes()
        == overlay(GREY, two_regions(), REGIONS).tobytes()
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 3)])
def test_tiny_pictures(size: tuple[int, int]):
    region_map = np.ones(size, np.int32)
    picture = overlay(np.zeros((*size, 3), np.uint8), region_map, [Region(1, RED, "a long name")])
    assert picture.size == size[::-1]


def test_shades():
    base = (64, 0, 128)
    colors = [shade(base, index) for index in range(12)]
    assert colors[0] == base
    assert len(set(colors)) == 12
    assert all(0 <= channel <= 255 for color in colors for channel in color)
    assert len({shade((0, 0, 0), index) for index in range(4)}) == 4, "black has shades, too"


def test_refuses():
    with pytest.raises(InputError, match=r"\(200, 300, 3\), not uint8 of shape \(10, 10, 3\)"):
        overlay(np.zeros((10, 10, 3), np.uint8), two_regions(), REGIONS)


@pytest.mark.parametrize("size", [(1, 1000), (2, 3000), (5000, 2), (1, 1)])
def test_long_and_thin(size: tuple[int, int]):
    region_map = np.ones(size, np.int32)
    picture = overlay(np.zeros((*size, 3), np.uint8), region_map, [Region(1, (9, 9, 9), "a")])
    assert picture.size == (size[1], size[0])


def test_a_rotated_picture_is_drawn_as_it_was_segmented():
    image = Image.new("RGB", (30, 20))
    image.getexif()[0x0112] = 6  # to be turned by 90 degrees
    assert overlay(image, np.ones((30, 20), np.int32), []).size == (20, 30)
