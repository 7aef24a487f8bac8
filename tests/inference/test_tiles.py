"""Tiles cover an image, and each pixel is decided by one of them."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plainmask.inference.tiles import plan_tiles

sides = st.integers(1, 200)


@given(sides, sides, sides, sides, st.sampled_from([0.0, 0.25, 0.5, 0.9]))
def test_each_pixel_has_one_owner(height: int, width: int, tall: int, wide: int, overlap: float):
    owners = np.zeros((height, width), np.int32)
    tiles = plan_tiles((height, width), (tall, wide), overlap)
    for tile in tiles:
        assert tile.size == (min(height, tall), min(width, wide))
        assert tile.rows.first <= tile.own_rows.first < tile.own_rows.last <= tile.rows.last
        owners[tile.own_rows.slice, tile.own_columns.slice] += 1
    assert (owners == 1).all()
    assert [tile.row for tile in tiles] == sorted(tile.row for tile in tiles)


@given(sides, st.integers(4, 50), st.sampled_from([0.25, 0.5]))
def test_neighbours_overlap_as_much_as_asked(length: int, side: int, overlap: float):
    tiles = plan_tiles((1, length), (1, side), overlap)
    for left, right in pairwise(tiles):
        assert left.columns.last - right.columns.first >= int(side * overlap) - 1


def test_a_small_image_is_one_tile():
    (tile,) = plan_tiles((30, 40), (100, 100), 0.25)
    assert tile.size == (30, 40)
    image = np.arange(30 * 40 * 3).reshape(30, 40, 3)
    assert np.array_equal(tile.cut(image), image)
