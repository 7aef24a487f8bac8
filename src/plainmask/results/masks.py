"""Areas and overlaps of compressed masks, many at a time; none is ever decoded.

Letters: N M masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from plainmask.errors import InputError
from plainmask.results.rle import Rle


def areas_of(masks: Sequence[Rle | None]) -> NDArray[np.int64]:
    """(N,) pixels of each mask; 0 for None."""
    areas = np.zeros(len(masks), np.int64)
    present = _present(masks)
    if present:
        areas[present] = _areas(_encoded(masks, present))
    return areas


def intersections_of(
    masks: Sequence[Rle | None], others: Sequence[Rle | None]
) -> NDArray[np.int64]:
    """(N, M) pixels that each mask shares with each of the others; 0 for None.

    Raises:
        InputError: the masks have different sizes.
    """
    shared = np.zeros((len(masks), len(others)), np.int64)
    rows, columns = _present(masks), _present(others)
    if not rows or not columns:
        return shared
    sizes = {mask.size for mask in (*masks, *others) if mask is not None}
    if len(sizes) > 1:
        first, second = sorted(sizes)[:2]
        raise InputError(
            f"masks of size {first} and {second} (height, width) cannot be compared; results and "
            "targets need the size of their image"
        )
    encoded = _encoded(masks, rows)
    # With "crowd" the tool divides the intersection by the area of the first mask only.
    shares = coco.iou(encoded, _encoded(others, columns), [1] * len(columns))
    shared[np.ix_(rows, columns)] = np.rint(np.asarray(shares) * _areas(encoded)[:, None])
    return shared


def _areas(encoded: Any) -> NDArray[np.int64]:
    """(N,) pixels of masks as the tool takes them; it fails on more than 255 (with NumPy 2)."""
    parts = [coco.area(encoded[first : first + 255]) for first in range(0, len(encoded), 255)]
    return np.concatenate(parts).astype(np.int64)


def _present(masks: Sequence[Rle | None]) -> list[int]:
    return [index for index, mask in enumerate(masks) if mask is not None]


def _encoded(masks: Sequence[Rle | None], places: Sequence[int]) -> Any:
    """As the tool takes them, whose own types are too narrow."""
    return [mask.to_coco() for place in places if (mask := masks[place]) is not None]
