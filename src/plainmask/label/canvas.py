"""The labels of one picture, as its strokes make them, and what they say of each patch.

Letters: H W size of the picture, h w patch grid, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from plainmask.label.drawing import draw, join
from plainmask.label.planes import PixelBox, Planes
from plainmask.label.stroke import Join, Stroke
from plainmask.pictures.geometry import Geometry


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

    def __init__(self, geometry: Geometry, patch: int, *, with_objects: bool = False):
        self.size, self.grid = size, grid = geometry.image_size, geometry.grid(patch)
        self.planes = Planes.blank(size, with_objects=with_objects)
        self._newest = np.zeros(grid, np.int64)
        self._rows, self._columns = (
            _patches_of(*sides, patch) for sides in zip(size, geometry.content_size, strict=True)
        )

    @classmethod
    def of(
        cls,
        geometry: Geometry,
        patch: int,
        strokes: Iterable[tuple[int, Stroke | Join]],
        *,
        with_objects: bool = False,
    ) -> Self:
        """The canvas of a picture that is seen in one piece, after numbered strokes and joins."""
        canvas = cls(geometry, patch, with_objects=with_objects)
        for number, stroke in strokes:
            if isinstance(stroke, Join):
                join(canvas.planes, stroke)  # nothing new is told of patches
            else:
                canvas.draw(number, stroke)
        return canvas

    def draw(self, number: int, stroke: Stroke) -> PixelBox | None:
        """Add a stroke; the box of what has changed, None where nothing has."""
        found = draw(self.planes, stroke)
        if found is None:
            return None
        box, changed = found
        rows, columns = self._rows[box.y0 : box.y1], self._columns[box.x0 : box.x1]
        counts, cells = _pixels_of_each(changed, rows, columns)
        self._newest[cells] = np.where(counts, number, self._newest[cells])
        return box

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(H, W), class ids, 255 for none; what is written here is kept."""
        return self.planes.classes

    @property
    def labelled_share(self) -> float:
        """Of all pixels, 0..1."""
        return float(np.count_nonzero(self.planes.known)) / self.labels.size

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
        labels, rows, columns = self.labels[y0:y1, x0:x1], self._rows[y0:y1], self._columns[x0:x1]
        shape = bottom - top, right - left
        counts = np.zeros((*shape, classes), np.int64)
        for class_id in np.flatnonzero(np.bincount(labels.ravel(), minlength=classes)[:classes]):
            found, cells = _pixels_of_each(labels == class_id, rows - top, columns - left)
            counts[(*cells, class_id)] = found
        sums = np.outer(
            np.bincount(rows - top, minlength=shape[0]),
            np.bincount(columns - left, minlength=shape[1]),
        ).ravel()
        counts = counts.reshape(-1, classes)
        labelled = counts.sum(1)
        shares = counts / np.maximum(1, labelled)[:, None]
        patches = (np.arange(top, bottom)[:, None] * self.grid[1] + np.arange(left, right)).ravel()
        return PatchLabels(
            patches,
            shares.astype(np.float32),
            (labelled / np.maximum(1, sums)).astype(np.float32),
            self._newest.ravel()[patches],
        )


def _patches_of(pixels: int, content: int, patch: int) -> NDArray[np.int64]:
    """In which patch the middle of each pixel of a side lies, as the encoder sees it."""
    return (2 * np.arange(pixels) + 1) * content // (2 * pixels * patch)


def _pixels_of_each(
    mask: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int32], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """How many pixels of a mask (H, W) each patch has.

    Args:
        mask: which pixels count.
        rows, columns: (H,) and (W,) of the grid, ascending: where each pixel belongs.

    Returns:
        the counts of the patches that have pixels, (h, w), and what to index a grid by for them.
    """
    tops, lefts = (np.flatnonzero(np.diff(places, prepend=-1)) for places in (rows, columns))
    sums = np.add.reduceat(mask, tops, axis=0, dtype=np.int32)
    sums = np.add.reduceat(sums, lefts, axis=1)
    down, across = np.ix_(rows[tops], columns[lefts])
    return sums, (down, across)
