"""The masks of K maps in an image, each from the parts of the image that it can reach.

The maps are small and come to the image by bilinear resizing, which never leaves the range of
what it mixes. So a pixel can only be in a mask where one of the cells that it is mixed from is
positive: nothing else is resized, and nothing of the image's size is kept. In strips of columns,
as run lengths go column by column.

For CPUs: on a GPU, which would have to be asked in every strip, whole maps are resized
(queries.py).

Letters: K maps, h w their size, H W image size.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from plainmask.pictures.geometry import Geometry, Size
from plainmask.results.rle import Rle, run_ends
from plainmask.tasks.contest import ROUNDING, SMALL, Area, Resizing, ways_to_image


def cut_out(logits: Tensor, geometry: Geometry) -> tuple[list[Rle], list[float]]:
    """Where each map is positive in the image, and how sure it is of that.

    Args:
        logits: (K, h, w) float32 on the CPU.
        geometry: of an image of one window.

    Returns:
        The K masks, and the mean probability inside each; 0 of an empty one.
    """
    size = geometry.image_size
    resizing = ways_to_image((logits.shape[1], logits.shape[2]), geometry).both
    # Not above 0: what is resized is rounded in another order than what it is mixed from.
    hot = (logits > -ROUNDING * (1 + logits.abs().amax((1, 2), keepdim=True))).numpy()
    rles: list[Rle] = []
    certainties: list[float] = []
    for one, positive in zip(logits, hot, strict=True):
        ends: list[NDArray[np.int64]] = []
        pixels, probs = 0, 0.0
        for area in _reached(positive, resizing, size):
            part = resizing.part(resizing.source(area).of(one)[None], area)[0]
            mask = part > 0
            ends.append(run_ends(mask.numpy(), (area.top, area.left), size))
            pixels += int(mask.sum())
            probs += float(part.sigmoid_().mul_(mask).sum())
        rles.append(Rle.of_ends(ends, size))
        certainties.append(probs / (pixels + 1e-6))
    return rles, certainties


def _reached(hot: NDArray[np.bool_], resizing: Resizing, size: Size) -> Iterator[Area]:
    """Of strips of an image, from left to right, the rows that a mask can reach.

    Args:
        hot: (h, w), cells of the mask.
        resizing: from these cells to the image.
        size: of the image.
    """
    height, width = size
    for left in range(0, width, SMALL):
        strip = Area(0, height, left, min(left + SMALL, width))
        source = resizing.source(strip)
        rows = np.flatnonzero(hot[:, source.left : source.right].any(1))
        if rows.size:
            top, bottom = resizing.rows_from(int(rows[0]), int(rows[-1]) + 1)
            if top < bottom:
                yield strip._replace(top=top, bottom=bottom)
