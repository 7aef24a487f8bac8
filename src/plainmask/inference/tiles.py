"""Images larger than the network's input, cut into overlapping tiles; `mosaic` joins results.

No torch here.

Letters: H W image size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value", bound=np.generic)


class Span(NamedTuple):
    """Pixels first..last-1 along an axis."""

    first: int
    last: int

    @property
    def slice(self) -> slice:
        """For indexing."""
        return slice(self.first, self.last)

    def within(self, outer: Span) -> Span:
        """The same pixels, counted from the beginning of another span."""
        return Span(self.first - outer.first, self.last - outer.first)

    def meet(self, other: Span) -> Span:
        """The pixels of both; empty if `first` is not less than `last`."""
        return Span(max(self.first, other.first), min(self.last, other.last))


@dataclass(frozen=True)
class Tile:
    """A cut-out of an image."""

    row: int
    rows: Span
    columns: Span
    own_rows: Span
    own_columns: Span
    """The part that no other tile decides: up to the middle of each overlap."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows.last - self.rows.first, self.columns.last - self.columns.first

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Its pixels of the image (H, W, 3)."""
        return image[self.rows.slice, self.columns.slice]

    def own(self, part: NDArray[Value]) -> NDArray[Value]:
        """Of a map of the tile, what it decides."""
        rows, columns = self.own_rows.within(self.rows), self.own_columns.within(self.columns)
        return part[rows.slice, columns.slice]


def plan_tiles(size: tuple[int, int], tile: tuple[int, int], overlap: float) -> list[Tile]:
    """Tiles that cover an image, row by row, spread evenly.

    Args:
        size: (H, W).
        tile: height and width of every tile, in pixels of the image; of a smaller image, its own.
        overlap: least share of a tile that its neighbour shows, too.
    """
    tall, wide = (
        _spans(length, min(length, side), overlap) for length, side in zip(size, tile, strict=True)
    )
    return [
        Tile(row, rows, columns, own_rows, own_columns)
        for row, (rows, own_rows) in enumerate(tall)
        for columns, own_columns in wide
    ]


def _spans(length: int, side: int, overlap: float) -> list[tuple[Span, Span]]:
    """The tiles along one axis, and what each of them decides."""
    step = max(1, int(side * (1 - overlap)))
    count = 1 + math.ceil((length - side) / step)
    firsts = [round(k * (length - side) / max(1, count - 1)) for k in range(count)]
    middles = [(before + side + first) // 2 for before, first in pairwise(firsts)]
    borders = [0, *middles, length]
    return [
        (Span(first, first + side), Span(borders[k], borders[k + 1]))
        for k, first in enumerate(firsts)
    ]
