"""Label Studio's run lengths: recorded bytes of its own encoder, and that encoder where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plainmask.bridges.brush import brush_mask, brush_rle
from plainmask.errors import InputError

SMALL = np.zeros((5, 7), bool)
SMALL[1:3, 2:5] = SMALL[4, 6] = True
# label_studio_sdk 2.0.19: converter.brush.mask2rle(255 * SMALL)
RECORDED = [0, 0, 0, 140, 57, 27, 254, 35, 0, 183, 255, 124, 2, 223, 254, 59, 0, 143, 252]

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def masks() -> list[np.ndarray]:
    """Runs of all sizes, the longest of more than 65536 values; full and empty masks."""
    generator = np.random.default_rng(0)
    noise = [generator.random((40, 60)) < share for share in (0, 0.001, 0.02, 0.5, 1)]
    large = np.zeros((300, 400), bool)
    large[:170, :] = large[200:202, 5:9] = True
    return [*noise, large, ~large, SMALL, SMALL[1:2, 2:3]]


def test_the_bytes_are_theirs():
    assert brush_rle(SMALL) == RECORDED


@given(mask=shapes.flatmap(lambda shape: arrays(bool, shape)))
def test_masks_come_back(mask: np.ndarray):
    np.testing.assert_array_equal(brush_mask(brush_rle(mask), mask.shape), mask)


def test_long_runs_come_back():
    for mask in masks():
        np.testing.assert_array_equal(brush_mask(brush_rle(mask), mask.shape), mask)


def test_against_their_encoder_and_decoder():
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    for mask in masks():
        rle = brush_rle(mask)
        assert rle == brush.mask2rle(255 * mask.astype(np.uint8))
        np.testing.assert_array_equal(
            brush.decode_rle(rle).reshape(*mask.shape, 4)[..., 3], 255 * mask
        )


def test_values_that_stand_alone():
    """As a browser writes soft edges: lengths of words that differ, opacity other than 255."""
    alpha = [0, 10, 255, 0]
    words = [value for opacity in alpha for value in (7, 8, 9, opacity)]
    bits = f"{16:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + "0" + "01" + f"{15:04b}"
    bits += "".join(f"{word:08b}" for word in words)
    bits += "0" * (-len(bits) % 8)
    rle = [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]
    assert brush_mask(rle, (2, 2)).tolist() == [[False, True], [True, False]]


def test_bad_run_lengths():
    with pytest.raises(InputError, match="of 140 values, not of RGBA pixels of 7 x 6"):
        brush_mask(RECORDED, (7, 6))
    with pytest.raises(InputError, match="break off"):
        brush_mask(RECORDED[:-2], (5, 7))
    with pytest.raises(InputError, match="break off"):
        brush_mask([], (5, 7))
