"""Objects of a picture, and whose they are.

Where only the class of each pixel is known, they are connected regions; a head that knows objects
says which they are. One that holds strokes of one object is that object; one that holds strokes of
several is divided among them, so that two animals that touch come apart; one without strokes is an
object that nobody has named yet.

Letters: H W size of the labels, h w of what is proposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
"""Share of a picture below which a region of a class without labels is no object."""
HOLDS = 0.25
"""Share that an object with labels and one that a head knows have in common to be one, of either's
pixels: heads draw the edges of neighbours a little differently from people."""


def told_apart(proposed: Planes, labels: Planes, ground: Ground) -> Planes:
    """The objects of a picture.

    Args:
        proposed: (h, w) class ids, for all pixels; and where objects are known, which of them each
            pixel belongs to. Otherwise, and for what a person begins where none is known, connected
            regions of one class are objects.
        labels: (H, W) with objects, of the same picture; what they say stands.
        ground: how patches differ, seen at (h, w).

    Returns:
        (h, w): the classes, without specks, and objects; those without labels have numbers from
        `FRESH` + 1 that are free without it, too.
    """
    assert labels.objects is not None
    known = shrunk(labels, proposed.classes.shape)
    assert known.objects is not None
    classes, marked = np.where(known.known, known.classes, proposed.classes), known.objects > 0
    regions, nameless, least = _candidates(classes, proposed.objects)
    of_region = _holders(regions, known.objects, HOLDS if proposed.objects is not None else 0)
    owner = _fresh(regions, nameless - of_region.keys(), least, labels.objects)
    for region, numbers in of_region.items():
        owner[region] = numbers[0]
    objects = np.where(marked, known.objects, owner[regions])
    _divide(objects, regions, of_region, known.objects, ground)
    # An object is of one class: what a person says of a part of it, goes for all.
    class_of = np.zeros(FRESH, np.uint8)
    class_of[known.objects[marked]] = known.classes[marked]
    named = (objects > 0) & (objects < FRESH)
    classes[named] = class_of[objects[named]]
    classes[(regions > 0) & (objects == 0)] = BACKGROUND
    return Planes(classes, objects)


def _divide(
    objects: NDArray[np.uint16],
    regions: NDArray[np.int32],
    of_region: Mapping[int, Sequence[int]],
    labelled: NDArray[np.uint16],
    ground: Ground,
) -> None:
    """Divide regions that hold several objects among these, in place.

    Args:
        objects: (h, w) whose each pixel is, with what is labelled.
        regions: (h, w).
        of_region: by region the numbers of the objects that it holds.
        labelled: (h, w) the numbers of objects that are labelled, 0 for none.
        ground: see `told_apart`.
    """
    boxes = ndimage.find_objects(regions)
    for region, numbers in of_region.items():
        if len(numbers) > 1:
            box = boxes[region - 1]
            inside = regions[box] == region
            strokes = np.where(inside, labelled[box], np.uint16(0))
            rest = inside & (strokes == 0)
            strokes[~np.isin(strokes, numbers)] = 0
            objects[box][rest] = ground.divided(strokes, box)[rest]


def _candidates(
    classes: NDArray[np.uint8], objects: NDArray[np.uint16] | None
) -> tuple[NDArray[np.int32], set[int], float]:
    """What may be objects: (h, w) numbers of regions from 1, and 0 for background.

    Args:
        classes: (h, w), with what a person said.
        objects: (h, w) that a head knows, if it does.

    Returns:
        the regions; which of them are objects, too, if nobody has drawn there; and the least share
        of a picture that such a one has.
    """
    if objects is None:
        regions = _regions(classes)
        return regions, {*range(1, int(regions.max()) + 1)}, SPECK
    told = np.where(classes != BACKGROUND, objects, np.uint16(0)).astype(np.int32)
    rest, count = _regions(np.where(told > 0, np.uint8(BACKGROUND), classes)), int(told.max())
    nameless = {*np.unique(told).tolist()} - {0}
    return np.where(rest > 0, rest + np.int32(count), told), nameless, 0.0


def _holders(
    regions: NDArray[np.int32], objects: NDArray[np.uint16], least: float
) -> dict[int, list[int]]:
    """By region the objects that are labelled in it.

    Args:
        regions: (h, w) numbers of regions, 0 for none.
        objects: (h, w) numbers of objects, 0 for none.
        least: share of the region, or of the object's labels, that they have in common at least.
    """
    inside = (regions > 0) & (objects > 0)
    pairs = regions[inside].astype(np.int64) << 16 | objects[inside]
    areas, labelled = np.bincount(regions.ravel()), np.bincount(objects.ravel())
    holders: dict[int, list[int]] = {}
    for pair, count in zip(*np.unique(pairs, return_counts=True), strict=True):
        region, number = int(pair) >> 16, int(pair) & 0xFFFF
        if count >= least * min(areas[region], labelled[number]):
            holders.setdefault(region, []).append(number)
    return holders


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
    regions: NDArray[np.int32], nameless: Iterable[int], least: float, used: NDArray[np.uint16]
) -> NDArray[np.uint16]:
    """By region: the number of an object that nobody has named yet; 0 for specks, and others."""
    all_areas = np.bincount(regions.ravel())
    areas = np.zeros_like(all_areas)
    its = [*nameless]
    areas[its] = all_areas[its]
    largest = np.argsort(-areas, kind="stable")[:MOST_FRESH]
    chosen = np.sort(largest[areas[largest] >= max(1, least * regions.size)])
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
