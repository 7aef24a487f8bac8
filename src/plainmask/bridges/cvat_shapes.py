"""Shapes as CVAT has them, and which of a head's objects clicks and a box mean.

Letters: H W image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plainmask.bridges.extra import need
from plainmask.data.coco_masks import decode_mask
from plainmask.results import Result
from plainmask.results.task import TASKS
from plainmask.results.trace import trace_polygon

SHAPES = ("mask", "polygon", "rectangle")
"""Types of shapes that can be made from a mask, and made a mask."""

_Places = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns."""


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
    return _mask_of_box(points, size)


def as_drawn(kind: str, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask; for a rectangle its whole box, so that boxes are compared with boxes."""
    if kind != "rectangle":
        return mask
    filled = np.zeros_like(mask)
    for place in ndimage.find_objects(mask.astype(np.int8)):
        filled[place] = True
    return filled


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """_Places of both masks as a share of those of either."""
    either = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / either if either else 0.0


def meant(result: Result, prompts: Any) -> tuple[NDArray[np.bool_], float] | None:
    """The mask that points and a box choose, and its score; None: there is none.

    It has all positive points and no negative one. Of several the one is meant that fits the box
    best, without a box the surest. Where the task is not of objects, the parts of a class are
    meant on which there are points, within the box.
    """
    inside = _pixels(prompts.pos_points, result.image_size)
    outside = _pixels(prompts.neg_points, result.image_size)
    corners = prompts.bounding_box
    box = corners and _mask_of_box([*corners[0], *corners[1]], result.image_size)
    if box is None and not inside[0].size:
        return None
    choices: list[tuple[float, float, int, NDArray[np.bool_]]] = []
    for segment in result.segments:
        mask = result.mask_of(segment)
        if not TASKS[result.kind].objects:
            mask = _near(mask, inside, box)
        fit = 1.0 if box is None else overlap(as_drawn("rectangle", mask), box)
        if fit and mask[inside].all() and not mask[outside].any():
            choices.append((fit, segment.score, -segment.id, mask))
    if not choices:
        return None
    _, score, _, mask = max(choices, key=lambda choice: choice[:3])
    return mask, score


def _near(
    mask: NDArray[np.bool_], inside: _Places, box: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Of a mask what lies in the box, and of that the parts with points, if there are any."""
    mask = mask if box is None else mask & box
    if not inside[0].size:
        return mask
    labelled: Any = ndimage.label(mask)
    parts: NDArray[np.int32] = labelled[0]
    return np.isin(parts, parts[inside]) & mask


def _pixels(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> _Places:
    """The pixels in which points x, y lie; those at the far borders are in the last ones."""
    places = np.floor(np.asarray(points, float).reshape(-1, 2)).astype(np.intp)
    return places[:, 1].clip(0, size[0] - 1), places[:, 0].clip(0, size[1] - 1)


def _mask_of_box(box: Sequence[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of (H, W) whose centres lie in a box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    return np.outer((rows > y0) & (rows < y1), (columns > x0) & (columns < x1))
