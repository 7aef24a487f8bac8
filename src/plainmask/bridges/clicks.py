"""Which of the objects that a head found clicks and a box mean.

Letters: H W image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plainmask.results import Result
from plainmask.results.task import TASKS

_Places = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns."""


class Clicks(NamedTuple):
    """What a person pointed at, in pixels of the picture."""

    inside: Sequence[tuple[float, float]]
    """Points x, y of what is meant."""
    outside: Sequence[tuple[float, float]] = ()
    """Points of what is not."""
    box: Sequence[float] | None = None
    """x0, y0, x1, y1 around it."""


def meant(result: Result, clicks: Clicks) -> tuple[NDArray[np.bool_], float] | None:
    """The mask that points and a box choose, and its score; None: there is none.

    It has all points that are inside and none of the others. Of several the one is meant that fits
    the box best, without a box the surest. Where the task is not of objects, the parts of a class
    are meant on which there are points, within the box.
    """
    inside = _pixels(clicks.inside, result.image_size)
    outside = _pixels(clicks.outside, result.image_size)
    box = None if clicks.box is None else mask_of_box(clicks.box, result.image_size)
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


def mask_of_box(box: Sequence[float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of (H, W) whose centres lie in a box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    rows, columns = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    return np.outer((rows > y0) & (rows < y1), (columns > x0) & (columns < x1))


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
