"""Maps as runs of equal pixels: metrics count a map's runs, which are few, not its pixels.

Letters: H W map size, R runs, row by row; a run may go on in the next row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Runs:
    """A map of integers."""

    size: tuple[int, ...]
    """(H, W)."""
    starts: NDArray[np.intp]
    """(R,): pixels, counted row by row, at which runs begin; ascending from 0."""
    values: NDArray[Any]
    """(R,)."""

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """The runs of a map (H, W)."""
        flat = values.ravel()
        starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)[: flat.size]
        return cls(values.shape, starts, flat[starts])

    @property
    def lengths(self) -> NDArray[np.intp]:
        """(R,) pixels."""
        return np.diff(self.starts, append=math.prod(self.size))

    def to_map(self) -> NDArray[Any]:
        """The map (H, W)."""
        return np.repeat(self.values, self.lengths).reshape(self.size)

    def on(self, other: Runs) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
        """The runs in which neither this map nor another one of its size changes.

        Returns:
            values of this map, values of the other, and pixels; some have no pixel.
        """
        starts = np.concatenate([self.starts, other.starts])
        order = np.argsort(starts, kind="stable")  # a place that both have comes twice
        mine = np.cumsum(order < len(self.starts)) - 1
        others = np.arange(-1, len(order) - 1) - mine  # first -1, of a run without a pixel
        lengths = np.diff(starts[order], append=math.prod(self.size))
        return self.values[mine], other.values[others], lengths
