"""Panoptic maps as metrics take them, and how the segments of two of them lie on each other.

Letters: H W image size, R runs and N segments of a map, G segments of the target, D of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.metrics.runs import Runs

MAX_ID = (1 << 24) - 1
"""The largest segment id: ids are colours in the files, R + 256 G + 65536 B."""

_VOID = -1


@dataclass(frozen=True)
class PanopticSegment:
    """One segment of a panoptic map: a row of its table."""

    id: int
    """1..`MAX_ID`, constant over a video."""
    class_id: int
    """0..C-1."""
    crowd: bool = False
    """Stands for a group of objects: never a target, and forgives what lies on it."""
    area: int | None = None
    """Number of pixels as the annotation file states it; None: as many as the map has."""


@dataclass(frozen=True, eq=False)
class PanopticMap:
    """A picture cut into disjoint segments, of a result or of a target."""

    runs: Runs
    """(H, W) int32: the segment of each pixel, 0..N-1; -1 for void, or nothing."""
    ids: NDArray[np.int64]
    """(N,): no two alike; the same segment has the same id in all frames of a video."""
    class_ids: NDArray[np.int64]
    """(N,) in 0..C-1."""
    crowd: NDArray[np.bool_]
    """(N,): see `PanopticSegment.crowd`."""
    areas: NDArray[np.int64]
    """(N,): pixels, as counted or as stated by the annotation file."""

    @classmethod
    def of(
        cls,
        index_map: NDArray[np.int32],
        ids: NDArray[Any],
        class_ids: NDArray[Any],
        crowd: NDArray[np.bool_] | None = None,
    ) -> Self:
        """The map of segments that are numbered from 0 already; areas are counted.

        Args:
            index_map: (H, W) in -1..N-1.
            ids: (N,) integers, no two alike.
            class_ids: (N,) integers.
            crowd: (N,); None: no segment is a crowd.
        """
        assert len(ids) == len(class_ids) == len(np.unique(ids)), "one row per segment"
        flags = np.zeros(len(ids), np.bool_) if crowd is None else crowd
        runs = Runs.of(index_map)
        areas = _areas(runs, len(ids))
        return cls(runs, ids.astype(np.int64), class_ids.astype(np.int64), flags, areas)

    @classmethod
    def from_ids(
        cls,
        id_map: NDArray[Any],
        segments: Sequence[PanopticSegment],
        *,
        others_are_void: bool = False,
    ) -> Self:
        """The map of a picture of segment ids and its table.

        A segment that is listed and has no pixel stays in the table, with area 0 unless stated.

        Args:
            id_map: (H, W) integers in 0..`MAX_ID`, 0 for void.
            segments: one for each id of the map, in any order.
            others_are_void: whether ids that the table does not list are void, not an error.

        Raises:
            InputError: ids out of range, listed twice, or in the map and not in the table.
        """
        ids = np.array([segment.id for segment in segments], np.int64)
        of_ids = Runs.of(id_map)
        _check_ids(of_ids.values, ids)
        runs = replace(of_ids, values=_numbers(of_ids.values, ids))
        unlisted = of_ids.values[(runs.values == _VOID) & (of_ids.values != 0)]
        if unlisted.size and not others_are_void:
            pixels = of_ids.lengths[of_ids.values == unlisted[0]].sum()
            raise InputError(
                f"the map holds the id {unlisted[0]} ({pixels} pixels), "
                "which its table of segments does not list"
            )
        classes = np.array([segment.class_id for segment in segments], np.int64)
        crowd = np.array([segment.crowd for segment in segments], np.bool_)
        areas = [
            counted if segment.area is None else segment.area
            for segment, counted in zip(segments, _areas(runs, len(ids)).tolist(), strict=True)
        ]
        return cls(runs, ids, classes, crowd, np.array(areas, np.int64))

    def __len__(self) -> int:
        """N, the number of segments."""
        return len(self.ids)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.runs.size
        return height, width


def _areas(runs: Runs, count: int) -> NDArray[np.int64]:
    """(N,) pixels of each segment."""
    areas = _count(runs.values + 1, runs.lengths, count + 1)[1:]
    assert len(areas) == count, "a segment without a row"
    return areas


def _count(places: NDArray[Any], lengths: NDArray[np.intp], count: int) -> NDArray[np.int64]:
    """(count,) pixels of the runs at each place; sums of floats are exact up to 2**53."""
    return np.bincount(places, lengths, minlength=count).astype(np.int64)


def _numbers(held: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """(R,): which of the ids, 0..N-1, each run holds; -1 for none of them."""
    order = np.append(np.argsort(ids), _VOID).astype(np.int32)
    ascending = ids[order[:-1]]
    places = np.searchsorted(ascending, held)
    known = np.append(ascending, _VOID)[places] == held
    return np.where(known, order[places], np.int32(_VOID))


def _check_ids(held: NDArray[Any], ids: NDArray[np.int64]) -> None:
    low, high = int(held.min(initial=0)), int(held.max(initial=0))
    if low < 0 or high > MAX_ID:
        raise InputError(f"segment ids must be in 0..{MAX_ID}, the map holds {low}..{high}")
    if ids.size and (ids.min() < 1 or ids.max() > MAX_ID):
        raise InputError(
            f"segment ids must be in 1..{MAX_ID}, the table lists {ids.min()}..{ids.max()}"
        )
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise InputError(f"the table of segments lists the id {values[counts > 1][0]} twice")


@dataclass(frozen=True, eq=False)
class Side:
    """The segments of one of two maps, in the order in which they are listed."""

    ids: NDArray[np.int64]
    """(N,): no two alike."""
    class_ids: NDArray[np.int64]
    """(N,)."""
    crowd: NDArray[np.bool_]
    """(N,)."""
    areas: NDArray[np.int64]
    """(N,)."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """How the segments of a target and of a result lie on each other; no pixels are kept."""

    target: Side
    result: Side
    pixels: NDArray[np.int64]
    """(G+1, D+1): pixels that segment g-1 of the target and d-1 of the result share; row 0 is the
    target's void, column 0 where the result has nothing."""

    @classmethod
    def between(cls, result: PanopticMap, target: PanopticMap) -> Self:
        """Compare two maps of one picture.

        Raises:
            InputError: they have different sizes.
        """
        if result.size != target.size:
            raise InputError(f"a result of size {result.size} for a target of {target.size}")
        rows, columns = len(target) + 1, len(result) + 1
        wanted, found, lengths = target.runs.on(result.runs)
        pixels = _count((wanted + 1) * columns + (found + 1), lengths, rows * columns)
        return cls(_side(target), _side(result), pixels.reshape(rows, columns))


def _side(value: PanopticMap) -> Side:
    return Side(value.ids, value.class_ids, value.crowd, value.areas)


def join(overlaps: Sequence[Overlap]) -> Overlap:
    """The overlap of several frames as if they were one picture: segments of equal id are one tube.

    Areas and pixels are summed; class and crowd are those of the first frame that lists the id.
    """
    if len(overlaps) == 1:
        return overlaps[0]
    target, rows = _join_sides([overlap.target for overlap in overlaps])
    result, columns = _join_sides([overlap.result for overlap in overlaps])
    pixels = np.zeros((len(target.ids) + 1, len(result.ids) + 1), np.int64)
    for overlap, row, column in zip(overlaps, rows, columns, strict=True):
        pixels[np.ix_(row, column)] += overlap.pixels  # no id occurs twice in one frame
    return Overlap(target, result, pixels)


def _join_sides(sides: Sequence[Side]) -> tuple[Side, list[NDArray[np.int64]]]:
    """The tubes by first appearance, and for each frame where its void and segments went."""
    values, first, inverse = np.unique(
        _concatenate(side.ids for side in sides), return_index=True, return_inverse=True
    )
    rank = np.empty(len(values), np.int64)
    rank[np.argsort(first)] = np.arange(len(values))
    place = rank[inverse]
    kept = np.sort(first)
    joined = Side(
        _concatenate(side.ids for side in sides)[kept],
        _concatenate(side.class_ids for side in sides)[kept],
        _concatenate(side.crowd for side in sides)[kept],
        np.bincount(
            place, _concatenate(side.areas for side in sides), minlength=len(values)
        ).astype(np.int64),
    )
    ends = np.cumsum([len(side.ids) for side in sides])[:-1]
    return joined, [np.append(0, part + 1) for part in np.split(place, ends)]


def _concatenate(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(parts))
