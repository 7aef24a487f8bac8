"""Shapes in maps of ids: speckles and outlines, against what they are by definition."""

import numpy as np
import pytest
from scipy import ndimage

from plainmask.results import regions
from plainmask.results.regions import least_part, outline, part_at, without_speckles
from plainmask.results.rle import Rle, rles_of


def blots(seed: int, smooth: float, size: tuple[int, int], ids: int = 5) -> np.ndarray:
    """A map of regions with ragged borders; the smoother, the fewer speckles."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(size), smooth)
    noise -= noise.min()
    return (noise / max(noise.max(), 1e-9) * (ids - 0.01)).astype(np.int32)


def large_parts(mask: np.ndarray) -> np.ndarray:
    """A mask without parts that are too small to be drawn; the largest stays."""
    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = [(parts == key).sum() for key in range(1, count + 1)]
    keep = [
        key
        for key, area in enumerate(areas, 1)
        if area >= least_part(mask.shape) or key == 1 + int(np.argmax(areas))
    ]
    return np.isin(parts, keep)


CASES = [
    *((seed, smooth, size) for seed, smooth in enumerate((0.0, 0.5, 1.0, 2.0)) for size in
      ((60, 80), (80, 33), (1, 40), (40, 1), (1, 1)))
]  # fmt: skip


@pytest.mark.parametrize(("seed", "smooth", "size"), CASES)
@pytest.mark.parametrize("share", [6e-5, 0.005])
def test_speckles_get_the_id_of_what_lies_nearest(
    seed: int, smooth: float, size: tuple[int, int], share: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(regions, "_SPECKLE", share)
    region_map = blots(seed, smooth, size)
    before = region_map.copy()
    speckles = ~sum(large_parts(region_map == key) for key in np.unique(region_map)).astype(bool)
    expected = region_map
    if speckles.any():
        rows, columns = ndimage.distance_transform_edt(speckles, return_indices=True)[1]
        expected = region_map[rows, columns]
    assert np.array_equal(without_speckles(region_map), expected)
    assert np.array_equal(region_map, before)


def test_hundreds_of_speckles_are_as_a_few(monkeypatch: pytest.MonkeyPatch):
    region_map = np.full((120, 160), 3, np.int32)
    region_map[::6, ::5] = 1  # 640 of one pixel, of which the first stays
    monkeypatch.setattr(regions, "_MOST_WINDOWS", 10**6)
    one_by_one = without_speckles(region_map)
    monkeypatch.setattr(regions, "_MOST_WINDOWS", 0)
    assert np.array_equal(without_speckles(region_map), one_by_one)
    assert (one_by_one == 1).sum() == 1


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize(("seed", "smooth"), [(0, 0.0), (1, 1.0), (2, 3.0)])
def test_an_outline_is_what_erosion_takes(seed: int, smooth: float, width: int):
    mask = blots(seed, smooth, (50, 70)) == 2
    main = large_parts(mask)
    inner = ndimage.binary_erosion(main, iterations=width, border_value=1)
    assert np.array_equal(outline(mask, width), main & ~inner)


@pytest.mark.parametrize(("seed", "smooth", "size"), CASES)
def test_masks_of_a_map_are_those_of_each_segment(seed: int, smooth: float, size: tuple[int, int]):
    region_map = blots(seed, smooth, size)
    keys = [key for key in np.unique(region_map).tolist() if key]
    assert rles_of(region_map) == {key: Rle.encode(region_map == key) for key in keys}


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (30, 40)])
def test_the_part_around_a_pixel_touches_it_side_by_side(shape: tuple[int, int]):
    rng = np.random.default_rng(0)
    for values in (1, 2, 4):
        region_map = rng.integers(0, values, shape).astype(np.uint8)
        for row, column in rng.integers(0, shape, (9, 2)).tolist():
            parts, _ = ndimage.label(region_map == region_map[row, column])
            assert np.array_equal(part_at(region_map, row, column), parts == parts[row, column])
