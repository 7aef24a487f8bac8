"""Which ids are in a map."""

import numpy as np
import pytest

from plainmask.results.segments import ids_of


@pytest.mark.parametrize(
    ("flat_map", "ids"),
    [
        ([[3, 3], [0, 7]], [0, 3, 7]),
        ([[5]], [5]),
        ([[2**30, 1]], [1, 2**30]),
        ([[-4, 1]], [-4, 1]),
        (np.zeros((0, 0)), []),
    ],
)
def test_ids_are_found_whatever_they_are(flat_map: list[list[int]], ids: list[int]):
    assert ids_of(np.array(flat_map, np.int32)) == ids
