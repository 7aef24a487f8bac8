"""Objects where only the class of each pixel is known: connected regions, and whose they are.

A region that holds strokes of one object is that object's; one that holds strokes of several is
divided among them, so that two animals that touch come apart; one without strokes is an object that
nobody has named yet.

Letters: H W size of the labels, h w of what is proposed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plainmask.label.config import BACKGROUND
from plainmask.label.division import Ground
from plainmask.label.planes import Planes, free_numbers

FRESH = 0x8000
"""Added to the number of an object that is proposed, and has no label yet."""
MOST_FRESH = 255
"""Of a picture; the largest."""
SPECK = 5e-4
"""Share of a picture below which a region without labels is no object."""


def told_apart(proposed: NDArray[np.uint8], labels: Planes, ground: Ground) -> Planes:
    """The objects of a picture.

    Args:
        proposed: (h, w) class ids, for all pixels.
        labels: (H, W) with objects, of the same picture; what they say stands.
        ground: how patches differ, seen at (h, w).

    Returns:
        (h, w): the classes, without specks, and objects; those without labels have numbers from
        `FRESH` + 1 that are free without it, too.
    """
    assert labels.objects is not None
    known = shrunk(labels, proposed.shape)
    assert known.objects is not None
    classes = np.where(known.known, known.classes, proposed)
    regions, marked = _regions(classes), known.objects > 0
    of_region: dict[int, list[int]] = {}
    pairs = np.unique(regions[marked].astype(np.int64) << 16 | known.objects[marked])
    for pair in pairs.tolist():
        of_region.setdefault(pair >> 16, []).append(pair & 0xFFFF)
    owner = _fresh(regions, of_region, labels.objects)
    for region, numbers in of_region.items():
        owner[region] = numbers[0]
    objects = np.where(marked, known.objects, owner[regions])
    classes[(regions > 0) & (objects == 0)] = BACKGROUND
    boxes = ndimage.find_objects(regions)
    for region, numbers in of_region.items():
        if len(numbers) > 1:
            box = boxes[region - 1]
            inside = regions[box] == region
            strokes = np.where(inside, known.objects[box], np.uint16(0))
            rest = inside & (strokes == 0)
            objects[box][rest] = ground.divided(strokes, box)[rest]
    return Planes(classes, objects)


def settled(planes: Planes) -> Planes:
    """The same, with all objects as labels number them."""
    assert planes.objects is not None
    return planes._replace(objects=planes.objects & np.uint16(FRESH - 1))


def shrunk(planes: Planes, size: tuple[int, ...]) -> Planes:
    """Planes at another size (h, w), by the nearest pixel."""
    rows, columns = (
        (2 * np.arange(to) + 1) * side // (2 * to)
        for to, side in zip(size, planes.classes.shape, strict=True)
    )
    at = np.ix_(rows, columns)
    objects = None if planes.objects is None else planes.objects[at]
    return Planes(planes.classes[at], objects)


def parts_of(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(H, W): numbers from 1 of the parts of a mask whose pixels touch side by side; 0: none."""
    found: Any = ndimage.label(mask)
    return found[0]


def _fresh(
    regions: NDArray[np.int32], of_region: Mapping[int, Sequence[int]], used: NDArray[np.uint16]
) -> NDArray[np.uint16]:
    """By region: the number of an object that nobody has named yet; 0 for specks, and others."""
    areas = np.bincount(regions.ravel())
    areas[[0, *of_region]] = 0
    largest = np.argsort(-areas, kind="stable")[:MOST_FRESH]
    chosen = np.sort(largest[areas[largest] >= max(1, SPECK * regions.size)])
    numbers = free_numbers(used, len(chosen))
    owner = np.zeros(len(areas), np.uint16)
    owner[chosen[: len(numbers)]] = numbers | np.uint16(FRESH)
    return owner


def _regions(classes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(h, w): numbers of the connected regions of things, from 1; 0: background."""
    regions, count = np.zeros(classes.shape, np.int32), 0
    for class_id in np.flatnonzero(np.bincount(classes.ravel())).tolist():
        if class_id != BACKGROUND:
            found = parts_of(classes == class_id)
            regions += np.where(found, found + np.int32(count), np.int32(0))
            count = int(regions.max())
    return regions
