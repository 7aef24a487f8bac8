import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from plainmask.data.coco_masks import decode_mask
from plainmask.results.trace import trace_parts, trace_polygon

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


def filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return decode_mask([points.astype(float).ravel().tolist()], size)


@settings(deadline=None, max_examples=150)
@given(mask=shapes.flatmap(lambda shape: arrays(bool, shape)))
def test_filling_the_polygon_gives_the_mask(mask: np.ndarray):
    polygon = trace_polygon(mask)
    if mask.any():
        np.testing.assert_array_equal(filled(polygon, mask.shape), mask)
    else:
        assert len(polygon) == 0


@settings(deadline=None, max_examples=150)
@given(mask=shapes.flatmap(lambda shape: arrays(bool, shape)))
def test_parts_are_disjoint_and_together_the_mask(mask: np.ndarray):
    parts = [filled(part, mask.shape) for part in trace_parts(mask)]
    np.testing.assert_array_equal(np.sum([np.zeros(mask.shape, int), *parts], 0), mask)
    assert len(parts) == ndimage.label(mask)[1]


def test_only_corners_are_points():
    mask = np.zeros((9, 9), bool)
    mask[2:5, 3:8] = True
    corners = {(3, 2), (8, 2), (8, 5), (3, 5)}
    polygon = trace_polygon(mask)
    assert {tuple(point) for point in polygon.tolist()} == corners
    assert len(polygon) == 4


@pytest.mark.parametrize("width", [97, 999, 4999])
def test_as_fractions_of_a_wide_picture(width: int):
    generator = np.random.default_rng(0)
    mask = np.zeros((40, width), bool)
    mask[5:30, 3:-3] = True
    mask[10:20, ::7] &= generator.random(mask[10:20, ::7].shape) < 0.5
    points = trace_polygon(mask) / [width, 40]
    words = [float(f"{value:.7g}") for value in points.ravel()]
    np.testing.assert_array_equal(
        filled(np.array(words).reshape(-1, 2) * [width, 40], mask.shape), mask
    )
