"""Segments: the rows of a result's table, and how a map of segment ids becomes such a table.

Letters: H W image size, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plainmask.results.rle import Box
from plainmask.vocabulary import Vocabulary


@dataclass(frozen=True)
class Segment:
    """One segment of a result: a row of its table."""

    id: int
    """Number within the image, at least 1."""
    class_id: int
    """Class by its id in the vocabulary, 0..C-1."""
    label: str
    """Name of the class."""
    thing: bool
    score: float
    """How sure the model is, 0..1."""
    area: int
    """Number of pixels."""
    box: Box
    """x0, y0, x1, y1 in pixels; x1 - x0 is the width."""


def segment_of(
    key: int, class_id: int, score: float, area: int, box: Box, vocabulary: Vocabulary
) -> Segment:
    """A segment with the name and kind that the vocabulary gives its class."""
    entry = vocabulary.classes[class_id]
    return Segment(key, class_id, entry.name, entry.thing, score, area, box)


def segments_of(
    flat_map: NDArray[np.int32],
    describe: Callable[[int], tuple[int, float]],
    vocabulary: Vocabulary,
) -> list[Segment]:
    """The table of a map (H, W) of segment ids, 0 for none: in ascending order of the ids.

    `describe` gives the class id and the score of a segment id.
    """
    return [
        segment_of(key, *describe(key), area, box, vocabulary)
        for key, area, box in extents(flat_map)
    ]


def ids_of(flat_map: NDArray[np.int32]) -> list[int]:
    """The ids in a map of segment ids, ascending, with 0 if it is there."""
    if flat_map.min(initial=0) < 0 or flat_map.max(initial=0) >= 2**20:
        return np.unique(flat_map).tolist()
    seen = np.zeros(flat_map.max(initial=0) + 1, np.bool_)
    seen[flat_map] = True  # a third of the time of sorting
    return np.flatnonzero(seen).tolist()


def extents(flat_map: NDArray[np.int32]) -> Iterator[tuple[int, int, Box]]:
    """Id, area and box of every segment of a map, ascending, without 0."""
    areas = np.bincount(flat_map.ravel())
    # One pass for all: comparing the map with every id takes minutes where there are thousands.
    for key, place in enumerate(ndimage.find_objects(flat_map), 1):
        if place is not None:
            rows, columns = place
            box = (columns.start, rows.start, columns.stop, rows.stop)
            x0, y0, x1, y1 = map(float, box)
            yield key, int(areas[key]), (x0, y0, x1, y1)
