"""From a mask to polygons around it, exactly: parts and holes are joined by bridges of no width.

Filled by the even-odd rule, as COCO's own tool does, the polygons give the same mask again.

Letters: H W size of the mask, P points.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def trace_polygon(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The border of a mask, along the edges of its pixels.

    Args:
        mask: (H, W).

    Returns:
        (P, 2): x and y of the corners, not closed; no points for an empty mask.
    """
    loops = _loops(mask)
    if len(loops) < 2:
        return loops[0] if loops else np.zeros((0, 2), np.int64)
    # From border to border, around each, and the same way back: what is drawn twice fills nothing.
    there = [np.concatenate([loop, loop[:1]]) for loop in loops]
    back = [loop[:1] for loop in loops[-2:0:-1]]
    return np.concatenate([*there, *back])


def trace_parts(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The border of each part of a mask by itself; pixels that touch at a corner are two parts.

    Args:
        mask: (H, W).

    Returns:
        A polygon (P, 2) as of `trace_polygon` for each part; none for an empty mask.
    """
    labelled: Any = ndimage.label(mask)
    parts: NDArray[np.int32] = labelled[0]
    found: list[NDArray[np.int64]] = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
        corner = np.array([columns.start, rows.start])
        found.append(trace_polygon(parts[rows, columns] == number) + corner)
    return found


def _loops(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Closed borders, (P, 2) each: clockwise around parts, the other way round in holes."""
    width = mask.shape[1] + 1  # corners are numbered row by row
    padded = np.pad(mask, 1).astype(np.int8)
    down = np.diff(padded, axis=0)[:, 1:-1]  # (H + 1, W): 1 where the mask begins below
    right = np.diff(padded, axis=1)[1:-1]  # (H, W + 1): 1 where it begins to the right
    ends: dict[int, list[int]] = {}
    for steps, sign, first, step in (
        (down, 1, 0, 1),  # above the mask, to the right
        (down, -1, 1, -1),  # below it, to the left
        (right, -1, 0, width),  # right of it, down
        (right, 1, width, -width),  # left of it, up
    ):
        rows, columns = np.nonzero(steps == sign)
        for start in (rows * width + columns + first).tolist():
            ends.setdefault(start, []).append(start + step)
    loops: list[NDArray[np.int64]] = []
    while ends:
        loops.append(_walk(ends, width))
    return loops


def _walk(ends: dict[int, list[int]], width: int) -> NDArray[np.int64]:
    """Follow one border to its beginning, and take it out of the edges."""
    start = place = next(iter(ends))
    heading = 0
    corners: list[int] = []
    while True:
        choices = ends[place]
        # Where two parts touch at a corner, any choice gives the same filling.
        target = choices.pop()
        if not choices:
            del ends[place]
        if target - place != heading:
            corners.append(place)
            heading = target - place
        place = target
        if place == start:
            break
    numbers = np.array(corners)
    return np.stack([numbers % width, numbers // width], axis=1)
