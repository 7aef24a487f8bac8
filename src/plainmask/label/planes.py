"""What each pixel of a picture is: of which class, and part of which object.

Letters: H W size of the picture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainmask.label.stroke import MOST_OBJECTS, NO_LABEL
from plainmask.pictures.geometry import Size
from plainmask.results.regions import part_at


class PixelBox(NamedTuple):
    """Rows y0..y1 and columns x0..x1 of a picture, the last ones left out."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def cut(self) -> tuple[slice, slice]:
        """What to index an (H, W) array by."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it."""
        return self.y0 >= self.y1 or self.x0 >= self.x1

    def around(self, other: PixelBox) -> PixelBox:
        """The smallest box that holds both."""
        (y0, x0, y1, x1), (top, left, bottom, right) = self, other
        return PixelBox(min(y0, top), min(x0, left), max(y1, bottom), max(x1, right))


class Planes(NamedTuple):
    """Labels of a picture, or what is proposed for it."""

    classes: NDArray[np.uint8]
    """(H, W) class ids, 255 for none."""
    objects: NDArray[np.uint16] | None
    """(H, W) numbers of objects, 0 for none; None: objects are not told apart."""

    @classmethod
    def blank(cls, size: Size, *, with_objects: bool) -> Planes:
        """Planes on which nothing is."""
        objects = np.zeros(size, np.uint16) if with_objects else None
        return cls(np.full(size, NO_LABEL, np.uint8), objects)

    @property
    def known(self) -> NDArray[np.bool_]:
        """(H, W): where there is a class."""
        return self.classes != NO_LABEL

    def copy(self) -> Planes:
        """Planes of their own."""
        return Planes(self.classes.copy(), None if self.objects is None else self.objects.copy())

    def cut(self, box: PixelBox) -> Planes:
        """A part, which changes with the whole."""
        objects = None if self.objects is None else self.objects[box.cut]
        return Planes(self.classes[box.cut], objects)

    def where(self, mask: NDArray[np.bool_]) -> Planes:
        """What the pixels of a mask (H, W) are; of the others nothing is known."""
        objects = None if self.objects is None else np.where(mask, self.objects, np.uint16(0))
        return Planes(np.where(mask, self.classes, np.uint8(NO_LABEL)), objects)

    def over(self, below: Planes) -> Planes:
        """These, and what is below where here is nothing."""
        objects = None
        if self.objects is not None and below.objects is not None:
            objects = np.where(self.known, self.objects, below.objects)
        return Planes(np.where(self.known, self.classes, below.classes), objects)

    def put(self, new: Planes, mask: NDArray[np.bool_]) -> None:
        """Take over the pixels of a mask (H, W)."""
        self.classes[mask] = new.classes[mask]
        if self.objects is not None and new.objects is not None:
            self.objects[mask] = new.objects[mask]

    def codes(self) -> NDArray[np.int32]:
        """(H, W): one number for class and object of each pixel, 256 times the object's more."""
        codes = self.classes.astype(np.int32)
        if self.objects is not None:
            codes += self.objects.astype(np.int32) << 8
        return codes

    def region_at(self, x: float, y: float) -> tuple[PixelBox, NDArray[np.bool_]] | None:
        """The connected region of equal pixels around a point; None: the point lies outside."""
        row, column = int(np.floor(y)), int(np.floor(x))
        height, width = self.classes.shape
        if not (0 <= row < height and 0 <= column < width):
            return None
        mask = part_at(self.codes(), row, column)
        box = box_of(mask)
        assert box is not None
        return box, mask[box.cut]


def box_of(mask: NDArray[np.bool_]) -> PixelBox | None:
    """The box of the true pixels of a mask (H, W); None: there are none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return PixelBox(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def free_numbers(used: NDArray[np.uint16], count: int) -> NDArray[np.uint16]:
    """The lowest numbers, from 1, that no object has.

    Args:
        used: numbers, of any shape.
        count: how many are wanted; fewer come where there are no more.
    """
    taken = np.zeros(MOST_OBJECTS + 1, np.bool_)
    taken[np.unique(used)] = True
    return (np.flatnonzero(~taken[1:])[:count] + 1).astype(np.uint16)
