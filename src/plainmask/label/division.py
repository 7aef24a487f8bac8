"""A region that is divided among the objects that have strokes in it.

Each pixel goes to the object from whose strokes the way is shortest. A step from a patch to the
next is as long as their features differ, and a little longer, so that where nothing differs the
nearest stroke decides.

Letters: h w size of the picture as it is divided, N patches of a grid, D numbers of a patch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra

from plainmask.pictures.geometry import Geometry

STEP = 0.1
"""Length of a step between equal patches; between patches that differ as neighbours mostly do, 1
more. See benchmarks/label_objects.py."""
NEAR = 0.1
"""Length of the way of a patch's side within patches: it decides where strokes share a patch."""


class Ground(NamedTuple):
    """How far it is from each patch of a picture to others, and where its pixels lie."""

    ways: csr_array
    """(N, N): the length of steps between neighbours."""
    grid: tuple[int, int]
    scale: tuple[float, float]
    """Patches to a pixel of (h, w), downwards and across."""

    @classmethod
    def of(cls, features: NDArray[np.float16], geometry: Geometry, patch: int) -> Self:
        """The ground of a picture.

        Args:
            features: (N, D), of the last tap: the others tell objects apart less well.
            geometry: of the picture in one piece; its image size is (h, w).
            patch: side of a patch, as the encoder sees it.
        """
        grid = geometry.grid(patch)
        down, across = (
            content / (side * patch)
            for side, content in zip(geometry.image_size, geometry.content_size, strict=True)
        )
        return cls(_ways(features.astype(np.float32), grid), grid, (down, across))

    def divided(self, strokes: NDArray[np.uint16], box: tuple[slice, slice]) -> NDArray[np.uint16]:
        """Whose each pixel of a box is.

        Args:
            strokes: (bh, bw) numbers of objects where they have strokes, 0 elsewhere.
            box: rows and columns in (h, w).

        Returns:
            (bh, bw) numbers of objects; the lowest where ways are of one length.
        """
        # Whole numbers are the middles of patches.
        rows, columns = (
            np.clip((np.arange(part.start, part.stop) + 0.5) * scale - 0.5, 0, side - 1)
            for part, scale, side in zip(box, self.scale, self.grid, strict=True)
        )
        down, across = _between(rows, self.grid[0]), _between(columns, self.grid[1])
        patches = np.rint(rows)[:, None] * self.grid[1] + np.rint(columns)
        shortest = np.full(strokes.shape, np.inf)
        owner = np.zeros(strokes.shape, np.uint16)
        for number in np.unique(strokes[strokes > 0]):
            its = strokes == number
            starts = np.unique(patches[its].astype(np.int64))
            far = dijkstra(self.ways, directed=False, indices=starts, min_only=True)
            ways = down @ far.reshape(self.grid) @ across.T
            apart: Any = ndimage.distance_transform_edt(~its, sampling=self.scale)
            ways += NEAR * apart
            nearer = ways < shortest
            shortest[nearer], owner[nearer] = ways[nearer], number
        return owner


def _ways(features: NDArray[np.float32], grid: tuple[int, int]) -> csr_array:
    """The length of a step between any two patches (N, N) that are neighbours, at corners too."""
    at = np.arange(len(features)).reshape(grid)
    pairs = [
        (at[:, :-1], at[:, 1:], 1.0),
        (at[:-1], at[1:], 1.0),
        (at[:-1, :-1], at[1:, 1:], 2**0.5),
        (at[:-1, 1:], at[1:, :-1], 2**0.5),
    ]
    first = np.concatenate([pair[0].ravel() for pair in pairs])
    second = np.concatenate([pair[1].ravel() for pair in pairs])
    steps = np.concatenate([np.full(pair[0].size, pair[2]) for pair in pairs])
    differ = np.linalg.norm(features[first] - features[second], axis=1)
    usual = float(differ.mean()) if len(differ) else 0.0
    lengths = steps * (STEP + differ / (usual or 1.0))
    return coo_array((lengths, (first, second)), shape=(at.size, at.size)).tocsr()


def _between(places: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """(n, side): what n places take from each of the patches of a side (linear interpolation)."""
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(side)))
