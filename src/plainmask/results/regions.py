"""Shapes of regions in maps of ids: their outlines, and what is too small to be looked at.

Letters: H W image size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plainmask.results.rle import Box

Window: TypeAlias = tuple[slice, slice]
"""Rows and columns of a map."""

_SPECKLE = 6e-5
"""Share of a picture below which a separate part of a region is not drawn."""
_MOST_WINDOWS = 400
"""Clusters of speckles from which on the whole picture is one window: sooner than one by one."""


def window_of(box: Box, size: tuple[int, int]) -> Window | None:
    """The rows and columns of a box and one pixel around it, within (H, W); None if it is empty."""
    x0, y0, x1, y1 = (round(value) for value in box)
    if x1 <= x0 or y1 <= y0:
        return None
    return (
        slice(max(0, y0 - 1), min(size[0], y1 + 1)),
        slice(max(0, x0 - 1), min(size[1], x1 + 1)),
    )


def outline(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The pixels of a mask at its border; the border of the array is none.

    Parts of a few pixels have none, see `without_speckles`.
    """
    main = mask & ~_speckles(mask)
    inner = main
    for _ in range(width):
        eroded = inner.copy()
        eroded[1:] &= inner[:-1]
        eroded[:-1] &= inner[1:]
        eroded[:, 1:] &= inner[:, :-1]
        eroded[:, :-1] &= inner[:, 1:]
        inner = eroded
    return main & ~inner


def outlines_of(region_map: NDArray[np.int32], width: int) -> NDArray[np.int32]:
    """The border pixels of each region of a map, towards another or towards nothing: (H, W) ids.

    The line lies on both sides of a border.
    """
    edges = np.zeros(region_map.shape, bool)
    down = region_map[1:] != region_map[:-1]
    right = region_map[:, 1:] != region_map[:, :-1]
    edges[1:] |= down
    edges[:, 1:] |= right
    edges[:-1] |= down
    edges[:, :-1] |= right
    if width > 1:
        edges = np.asarray(ndimage.binary_dilation(edges, iterations=width - 1), bool)
    return np.where(edges, region_map, np.int32(0))


def without_speckles(region_map: NDArray[np.int32]) -> NDArray[np.int32]:
    """The map with parts of a few pixels given to what lies nearest.

    The largest part of a region stays, however small, so that every region can be seen.
    """
    speckles = _speckles(region_map)
    if not speckles.any():
        return region_map
    shown = region_map.copy()
    for window, own in _clusters(speckles):
        found: Any = ndimage.distance_transform_edt(speckles[window], return_indices=True)
        rows, columns = found[1][:, own]
        shown[window][own] = region_map[window][rows, columns]
    return shown


def least_part(size: tuple[int, ...]) -> int:
    """Pixels that a separate part of a region needs in order to be drawn."""
    return max(2, round(_SPECKLE * size[0] * size[1]))


def _speckles(region_map: NDArray[Any]) -> NDArray[np.bool_]:
    """Where parts of a region of fewer than `least_part` pixels are; its largest part is none."""
    parts = _parts(region_map)
    areas = np.bincount(parts.number, parts.lengths)
    ids = np.empty(len(areas), region_map.dtype)
    ids[parts.number] = region_map.ravel()[parts.starts]
    small = areas < least_part(region_map.shape)
    by_id = np.lexsort((-areas, ids))  # of each id the largest part comes first
    small[by_id[np.flatnonzero(np.diff(ids[by_id], prepend=-1))]] = False
    return np.repeat(small[parts.number], parts.lengths).reshape(region_map.shape)


def _clusters(speckles: NDArray[np.bool_]) -> Iterator[tuple[Window, NDArray[np.bool_]]]:
    """Speckles that touch: a window with a pixel around them, and which of its pixels are theirs.

    What lies nearest to one of them is within this window.
    """
    height, width = speckles.shape
    parts = _parts(speckles)
    theirs = speckles.ravel()[parts.starts]
    starts, lengths, number = (value[theirs] for value in parts)
    if len(np.unique(number)) > _MOST_WINDOWS:
        yield (slice(0, height), slice(0, width)), speckles
        return
    rows, first = np.divmod(starts, width)
    for key in np.unique(number):
        runs = np.flatnonzero(number == key)
        ends = first[runs] + lengths[runs]
        top, left = max(0, rows[runs].min() - 1), max(0, first[runs].min() - 1)
        bottom, right = rows[runs].max() + 2, ends.max() + 1
        own = np.zeros((min(bottom, height) - top, min(right, width) - left), bool)
        for row, begin, end in zip(rows[runs], first[runs], ends, strict=True):
            own[row - top, begin - left : end - left] = True
        yield (slice(top, bottom), slice(left, right)), own


class _Runs(NamedTuple):
    """Pixels of one value side by side, row by row."""

    starts: NDArray[np.int64]
    """Their first pixels, counted along the rows."""
    lengths: NDArray[np.int64]
    number: NDArray[np.int32]
    """Of the part that they belong to, in the order of first pixels."""


def part_at(region_map: NDArray[Any], row: int, column: int) -> NDArray[np.bool_]:
    """Which pixels (H, W) of a map are of one value with a pixel and touch it, side by side."""
    parts = _parts(region_map, corners=False)
    run = int(np.searchsorted(parts.starts, row * region_map.shape[1] + column, "right")) - 1
    own = parts.number == parts.number[run]
    return np.repeat(own, parts.lengths).reshape(region_map.shape)


def _parts(region_map: NDArray[Any], *, corners: bool = True) -> _Runs:
    """The parts of a map: pixels of one value that touch, at corners too or at sides alone.

    Rows are cut into runs, of which there are few, and runs that touch are joined.
    """
    height, width = region_map.shape
    flat = region_map.ravel()
    begins = np.ones(height * width, bool)
    np.not_equal(flat[1:], flat[:-1], out=begins[1:])
    begins[::width] = True
    starts = np.flatnonzero(begins)
    lengths = np.diff(starts, append=flat.size)
    # In the next row those that a run touches are side by side: from the one that has the pixel
    # below its first to the one that has the pixel below its last, or, with corners, from before
    # the first to behind the last.
    upper = np.flatnonzero(starts < flat.size - width)
    columns = starts[upper] % width
    below = starts[upper] + width
    left = below - (corners & (columns > 0))
    right = below + lengths[upper] - 1 + (corners & (columns + lengths[upper] < width))
    first = np.searchsorted(starts, left, "right") - 1
    counts = np.searchsorted(starts, right, "right") - first
    upper = np.repeat(upper, counts)
    lower = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(len(upper))
    alike = flat[starts[upper]] == flat[starts[lower]]
    pairs = (np.ones(int(alike.sum()), bool), (upper[alike], lower[alike]))
    graph = coo_array(pairs, shape=(len(starts), len(starts)))
    number: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return _Runs(starts, lengths, number)
