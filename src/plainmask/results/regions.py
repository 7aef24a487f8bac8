"""Shapes of regions in maps of ids: their outlines, and what is too small to be looked at.

Letters: H W image size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plainmask.results.rle import Box

_Window = tuple[slice, slice]

_SPECKLE = 6e-5
"""Share of a picture below which a separate part of a region is not drawn."""


def window_of(box: Box, size: tuple[int, int]) -> _Window | None:
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
    main = _main_parts(mask, least_part(mask.shape))
    inner = np.asarray(ndimage.binary_erosion(main, iterations=width, border_value=1), bool)
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
    least = least_part(region_map.shape)
    speckles = np.zeros(region_map.shape, bool)
    # Counted from 1, nothing is a region, too: its holes are filled.
    for key, place in enumerate(ndimage.find_objects(region_map + 1)):
        if place is not None:
            mask = region_map[place] == key
            speckles[place] |= mask & ~_main_parts(mask, least)
    if not speckles.any():
        return region_map
    found: Any = ndimage.distance_transform_edt(speckles, return_indices=True)
    rows, columns = found[1]
    return region_map[rows, columns]


def least_part(size: tuple[int, ...]) -> int:
    """Pixels that a separate part of a region needs in order to be drawn."""
    return max(2, round(_SPECKLE * size[0] * size[1]))


def _main_parts(mask: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """A mask without its parts of fewer pixels; the largest part stays."""
    found: Any = ndimage.label(mask, structure=np.ones((3, 3)))
    parts: NDArray[np.int32] = found[0]
    if found[1] < 2:
        return mask
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    large = areas >= least
    if large[1:].all():
        return mask
    large[int(areas.argmax())] = True
    return large[parts]
