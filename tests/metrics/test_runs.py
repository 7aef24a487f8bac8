"""Maps as runs of equal pixels, against counting pixel by pixel."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plainmask.metrics.runs import Runs

SIZES = [(1, 1), (3, 4), (1, 9), (7, 1), (0, 5), (4, 0)]


def maps(seed: int, size: tuple[int, int], kinds: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-1, kinds, size).astype(dtype) for dtype in (np.int16, np.int64)]


@pytest.mark.parametrize("size", SIZES)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_two_maps_pixel_by_pixel(size: tuple[int, int], seed: int, kinds: int):
    first, second = maps(seed, size, kinds)
    one, other = Runs.of(first), Runs.of(second)
    for runs, plain in ((one, first), (other, second)):
        assert np.array_equal(runs.to_map(), plain)
        assert runs.to_map().dtype == plain.dtype
        assert runs.lengths.sum() == plain.size
        assert (runs.lengths > 0).all()
        assert (runs.values[1:] != runs.values[:-1]).all()
    shared: Counter[tuple[int, int]] = Counter()
    for mine, theirs, pixels in zip(*(part.tolist() for part in one.on(other)), strict=True):
        shared[mine, theirs] += pixels
    pixels = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
    assert {pair: count for pair, count in shared.items() if count} == Counter(pixels)


def test_few_runs_for_many_pixels():
    picture = np.zeros((200, 300), np.int32)
    picture[50:100, 20:40] = 7
    runs = Runs.of(picture)
    assert len(runs.starts) == 2 * 50 + 1
    assert runs.starts[:3].tolist() == [0, 50 * 300 + 20, 50 * 300 + 40]
