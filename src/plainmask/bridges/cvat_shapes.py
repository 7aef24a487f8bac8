"""Shapes as CVAT has them: from masks and back.

Letters: H W image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.bridges.clicks import mask_of_box
from plainmask.data.coco_masks import decode_mask
from plainmask.extra import need
from plainmask.results.trace import trace_polygon

SHAPES = ("mask", "polygon", "rectangle")
"""Types of shapes that can be made from a mask, and made a mask."""


def cvat_sdk(module: str) -> Any:
    """A module of CVAT's package.

    Raises:
        InputError: it is not installed.
    """
    return need(f"cvat_sdk.{module}", "CVAT", 'pip install "plainmask[cvat]"')


def shape_points(kind: str, mask: NDArray[np.bool_]) -> list[float]:
    """A mask (H, W) as the points of one shape of a type.

    A polygon joins parts and holes by bridges of no width; a rectangle is the box.
    """
    if kind == "mask":
        return cvat_sdk("masks").encode_mask(mask)
    if kind == "polygon":
        return trace_polygon(mask).ravel().astype(float).tolist()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return [float(value) for value in box]


def mask_of_shape(kind: str, points: Sequence[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a shape in a picture of (H, W)."""
    if kind == "mask":
        decode = cvat_sdk("masks").decode_mask
        return decode(points, image_width=size[1], image_height=size[0])
    if kind == "polygon":
        return decode_mask([list(points)], size)
    return mask_of_box(points, size)
