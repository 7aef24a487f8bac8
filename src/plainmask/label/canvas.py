"""The labels of one picture, as its strokes make them, and what they say of each patch.

Letters: H W size of the picture, h w patch grid, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from plainmask.label.stroke import NO_LABEL, PixelBox, Stroke, draw
from plainmask.pictures.geometry import Size


class PatchLabels(NamedTuple):
    """What labels say of N patches."""

    patches: NDArray[np.int64]
    """(N,) places in the grid, row by row."""
    shares: NDArray[np.float32]
    """(N, C): the share of each class of a patch's labelled pixels; all 0 where there are none."""
    covered: NDArray[np.float32]
    """(N,): the share of a patch's pixels that is labelled."""
    newest: NDArray[np.int64]
    """(N,): the number of the last stroke that changed something in it; 0: none."""


class Canvas:
    """Labels that strokes change one after the other."""

    def __init__(self, size: Size, grid: Size):
        self.size, self.grid = size, grid
        self.labels: NDArray[np.uint8] = np.full(size, NO_LABEL, np.uint8)
        """(H, W), class ids, 255 for none."""
        self._newest = np.zeros(grid, np.int64)
        self._rows = np.arange(size[0]) * grid[0] // size[0]
        self._columns = np.arange(size[1]) * grid[1] // size[1]

    @classmethod
    def of(cls, size: Size, grid: Size, strokes: Iterable[tuple[int, Stroke]]) -> Self:
        """The canvas of a picture (H, W) with a patch grid (h, w), after numbered strokes."""
        canvas = cls(size, grid)
        for number, stroke in strokes:
            canvas.draw(number, stroke)
        return canvas

    def draw(self, number: int, stroke: Stroke) -> PixelBox | None:
        """Add a stroke; the box of what has changed, None where nothing has."""
        found = draw(self.labels, stroke)
        if found is None:
            return None
        box, changed = found
        rows, columns = np.nonzero(changed)
        self._newest[self._rows[box.y0 + rows], self._columns[box.x0 + columns]] = number
        return box

    @property
    def labelled_share(self) -> float:
        """Of all pixels, 0..1."""
        return float(np.count_nonzero(self.labels != NO_LABEL)) / self.labels.size

    def patch_labels(self, box: PixelBox, classes: int) -> PatchLabels:
        """What the labels say of the patches that a box touches.

        Args:
            box: in pixels; not empty.
            classes: C.
        """
        top, bottom = self._rows[box.y0], self._rows[box.y1 - 1] + 1
        left, right = self._columns[box.x0], self._columns[box.x1 - 1] + 1
        y0, y1 = np.searchsorted(self._rows, [top, bottom])
        x0, x1 = np.searchsorted(self._columns, [left, right])
        labels = self.labels[y0:y1, x0:x1]
        height, width = bottom - top, right - left
        place = (self._rows[y0:y1, None] - top) * width + (self._columns[None, x0:x1] - left)
        sums = np.bincount(place.ravel(), minlength=height * width)
        known = labels < classes
        keys = place[known] * classes + labels[known]
        counts = np.bincount(keys, minlength=height * width * classes).reshape(-1, classes)
        labelled = counts.sum(1)
        shares = counts / np.maximum(1, labelled)[:, None]
        patches = (np.arange(top, bottom)[:, None] * self.grid[1] + np.arange(left, right)).ravel()
        return PatchLabels(
            patches,
            shares.astype(np.float32),
            (labelled / np.maximum(1, sums)).astype(np.float32),
            self._newest.ravel()[patches],
        )
