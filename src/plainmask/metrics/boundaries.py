"""Boundaries of masks, and how well they agree within a few pixels.

Letters: H W image size, G objects of the target, D of the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.008
"""How far a boundary may lie off, as a share of the image's diagonal."""


def boundary_f(
    result: NDArray[Any], found: int, target: NDArray[Any], wanted: int
) -> NDArray[np.float64]:
    """Boundary accuracy F of every object of a result with every object of a target.

    Precision is the share of the result's boundary that lies within r pixels of the target's,
    recall the reverse, r = ceil(0.008 * diagonal), F = 2 P R / (P + R). Two empty boundaries have
    F 1, an empty one and another 0.

    Args:
        result: (H, W), objects 1..`found`.
        found: D.
        target: (H, W), objects 1..`wanted`.
        wanted: G.

    Returns:
        (D, G) in 0..1.
    """
    radius = math.ceil(TOLERANCE * math.hypot(*target.shape))
    theirs = [_Boundary.of(target == number, radius) for number in range(1, wanted + 1)]
    values = np.zeros((found, wanted))
    for row in range(found):
        mine = _Boundary.of(result == row + 1, radius)
        values[row] = [_f(mine, other) for other in theirs]
    return values


@dataclass(frozen=True, eq=False)
class _Boundary:
    """The boundary of one mask."""

    points: tuple[NDArray[np.intp], NDArray[np.intp]]
    """Rows and columns."""
    near: NDArray[np.bool_]
    """(H, W): pixels at most the radius away from it."""

    @classmethod
    def of(cls, mask: NDArray[np.bool_], radius: int) -> _Boundary:
        """The boundary of a mask (H, W), which may be empty."""
        rows, columns = np.nonzero(_edges(mask))
        return cls((rows, columns), _within(rows, columns, mask.shape, radius))

    def __len__(self) -> int:
        """Number of its pixels."""
        return len(self.points[0])


def _f(mine: _Boundary, other: _Boundary) -> float:
    if not len(mine) or not len(other):
        return float(len(mine) == len(other))
    precision = np.count_nonzero(other.near[mine.points]) / len(mine)
    recall = np.count_nonzero(mine.near[other.points]) / len(other)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _edges(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W): pixels that differ from the one to the right, below, or below right.

    Outside is background; in the last row only the right one counts, in the last column only the
    one below, and the last corner is never an edge.
    """
    edges = np.zeros_like(mask)
    edges[:, :-1] = mask[:, :-1] ^ mask[:, 1:]
    edges[:-1] |= mask[:-1] ^ mask[1:]
    edges[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edges


def _within(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...], radius: int
) -> NDArray[np.bool_]:
    """(H, W): what lies in a disc around one of the points.

    A disc is a stack of rows: in each, running sums say whether there is a point close enough.
    """
    near = np.zeros(shape, np.bool_)
    if not rows.size:
        return near
    top, left = int(rows.min()) - radius, int(columns.min()) - radius
    height, width = int(rows.max()) - top + radius + 1, int(columns.max()) - left + radius + 1
    # A frame of `radius` around the points, and once more to let sums be read beyond the frame.
    sums = np.zeros((height + 2 * radius, width + 2 * radius + 1), np.int32)
    sums[rows - top + radius, columns - left + radius + 1] = 1
    np.cumsum(sums, axis=1, out=sums)
    disc = np.zeros((height, width), np.bool_)
    for shift in range(-radius, radius + 1):
        reach = math.isqrt(radius**2 - shift**2)
        part = sums[radius + shift : radius + shift + height]
        high = part[:, radius + reach + 1 : radius + reach + 1 + width]
        disc |= high > part[:, radius - reach : radius - reach + width]
    inside = _window(top, height, shape[0]), _window(left, width, shape[1])
    near[tuple(own for own, _ in inside)] = disc[tuple(other for _, other in inside)]
    return near


def _window(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """The part of `start .. start + length` within 0 .. limit, there and in its own counting."""
    low, high = max(start, 0), min(start + length, limit)
    return slice(low, high), slice(low - start, high - start)
