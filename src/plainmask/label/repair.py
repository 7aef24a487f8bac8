"""What becomes of labels when a person accepts, merges or splits what is seen.

What is seen are labels, and where there are none, what is proposed. Each function gives the labels
that are new, and nothing elsewhere.

Letters: H W size of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plainmask.errors import InputError
from plainmask.label.drawing import line
from plainmask.label.objects import FRESH, parts_of, settled
from plainmask.label.planes import Planes, box_of, free_numbers
from plainmask.pictures.geometry import Size

What: TypeAlias = Literal["all", "class", "region"]
WHATS: tuple[What, ...] = get_args(What)
Repair: TypeAlias = Literal["merge", "split"]
REPAIRS: tuple[Repair, ...] = get_args(Repair)
LinePoints: TypeAlias = Sequence[tuple[float, float]]
THIN = 0.75
"""Pixels to each side of a line that at least belong to it: so none that it passes is missed."""
CRUMB = 0.01
"""Share of an object below which what a cut leaves at its side is no part."""


def accepted(
    labels: Planes,
    proposed: Planes,
    what: What,
    class_id: int | None = None,
    point: tuple[float, float] | None = None,
) -> Planes:
    """What is proposed, where there is no label.

    Args:
        labels, proposed: (H, W).
        what: all of it, the class `class_id`, or the object or the region of one class at `point`.
        class_id, point: see `what`.
    """
    chosen = ~labels.known
    if what == "class":
        chosen &= proposed.classes == class_id
    elif what == "region" and point is not None:
        chosen &= _at(proposed, *point)
    found = proposed.where(chosen)
    return found if found.objects is None else settled(found)


def repaired(do: Repair, labels: Planes, seen: Planes, points: LinePoints, radius: float) -> Planes:
    """What a line makes of objects: `merged` ones, or one that is `split`.

    Raises:
        InputError: objects are not told apart, or see there.
    """
    if labels.objects is None:
        raise InputError(f"this project does not tell objects apart; there is none to {do}")
    if do == "merge":
        return merged(labels, seen, points, radius)
    return split(seen, points, radius)


def merged(labels: Planes, seen: Planes, points: LinePoints, radius: float) -> Planes:
    """The objects that a line crosses as one: the first of them that has labels, else the first.

    Of objects without labels the line itself becomes labels, so that they are proposed with it.

    Args:
        labels, seen: (H, W).
        points, radius: of the line.

    Raises:
        InputError: it crosses fewer than two objects.
    """
    assert labels.objects is not None
    assert seen.objects is not None
    crossed = _crossed(seen.objects, points)
    if len(crossed) < 2:
        raise InputError("the line crosses fewer than two objects; draw from one into the other")
    into = next((number for number in crossed if number < FRESH), crossed[0])
    class_id = seen.classes[seen.objects == into][0]
    joined = np.isin(labels.objects, crossed)
    joined |= _line(points, radius, labels.classes.shape) & np.isin(
        seen.objects, [number for number in crossed if number >= FRESH]
    )
    return _one(joined, class_id, into & (FRESH - 1))


def split(seen: Planes, points: LinePoints, radius: float) -> Planes:
    """The object that a line crosses most as two, wholly labelled; the larger stays what it is.

    Args:
        seen: (H, W).
        points, radius: of the line.

    Raises:
        InputError: it crosses no object, or does not cut it in two.
    """
    assert seen.objects is not None
    line_mask = _line(points, radius, seen.classes.shape)
    counts = np.bincount(seen.objects[line_mask & (seen.objects > 0)])
    if not len(counts):
        raise InputError("the line crosses no object; draw it across one")
    number = int(counts.argmax())
    whole = seen.objects == number
    box = box_of(whole)
    assert box is not None
    inside = _sides(whole[box.cut], line_mask[box.cut])
    sides = np.zeros(whole.shape, np.uint8)
    sides[box.cut] = inside
    class_id = seen.classes[whole][0]
    other = free_numbers(seen.objects & np.uint16(FRESH - 1), 1)[0]
    first = _one(sides == 1, class_id, number & (FRESH - 1))
    return first.over(_one(sides == 2, class_id, other))


def _sides(whole: NDArray[np.bool_], cut: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W): 1 on the larger side of a cut, 2 on the other; 0 for parts that it does not touch.

    The cut itself, and crumbs beside it, go to what lies nearest.
    """
    parts, wider = parts_of(whole & ~cut), np.asarray(ndimage.binary_dilation(whole & cut), bool)
    areas, beside = np.bincount(parts.ravel()), np.unique(parts[wider])
    large = [part for part in beside.tolist() if part and areas[part] >= CRUMB * whole.sum()]
    if len(large) < 2:
        raise InputError("the line does not cut the object in two; draw it from edge to edge")
    side_of = np.zeros(len(areas), np.uint8)
    side_of[large] = 2
    side_of[max(large, key=lambda part: int(areas[part]))] = 1
    sides = side_of[parts]
    nearest: Any = ndimage.distance_transform_edt(sides == 0, return_indices=True)
    rows, columns = nearest[1]
    touched = np.isin(parts, beside[beside > 0]) | (whole & cut)
    return np.where(touched, sides[rows, columns], np.uint8(0))


def _crossed(objects: NDArray[np.uint16], points: LinePoints) -> list[int]:
    """The numbers of the objects that a line crosses, in its order, half a pixel at a time."""
    path = np.array(points, np.float64)
    along = np.concatenate([[0], np.hypot(*np.diff(path, axis=0).T).cumsum()])
    steps = np.linspace(0, along[-1], 2 * int(along[-1]) + 2)
    columns, rows = (np.floor(np.interp(steps, along, path[:, k])).astype(np.int64) for k in (0, 1))
    height, width = objects.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    found = objects[rows[inside], columns[inside]]
    return list(dict.fromkeys(found[found > 0].tolist()))


def _line(points: LinePoints, radius: float, size: Size) -> NDArray[np.bool_]:
    """The pixels (H, W) of a line."""
    mask = np.zeros(size, np.bool_)
    found = line(points, max(radius, THIN), size)
    if found is not None:
        mask[found[0].cut] = found[1]
    return mask


def _at(planes: Planes, x: float, y: float) -> NDArray[np.bool_]:
    """Which pixels (H, W) are of the object at a point, or else of the region; perhaps none."""
    mask = np.zeros(planes.classes.shape, np.bool_)
    found = planes.region_at(x, y)
    if found is not None:
        box, inside = found
        mask[box.cut] = inside
        number = 0 if planes.objects is None else planes.objects[mask][0]
        if number and planes.objects is not None:
            return planes.objects == number
    return mask


def _one(mask: NDArray[np.bool_], class_id: int, number: int) -> Planes:
    """One object on the pixels of a mask (H, W), and nothing elsewhere."""
    nothing = Planes.blank(mask.shape, with_objects=True)
    return Planes(
        np.where(mask, np.uint8(class_id), nothing.classes),
        np.where(mask, np.uint16(number), np.uint16(0)),
    )
