"""One stroke: what a person drew on a picture, and which pixels that means.

Points are (x, y) in pixels of the upright picture; the pixel in column c covers c..c+1, so its
middle is c + 0.5. What a stroke means depends on nothing but the stroke and the labels before it.

Letters: H W size of the picture.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plainmask.errors import InputError
from plainmask.results.formats import png_bytes
from plainmask.results.regions import part_at

NO_LABEL = 255
"""The label of pixels that nobody has labelled."""
MOST_CLASSES = 255
MOST_POINTS = 100_000
FARTHEST = 1e6
"""Largest coordinate."""

StrokeKind: TypeAlias = Literal["brush", "erase", "fill", "polygon", "accept"]
Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST)]
ClassId = Annotated[int, Field(ge=0, lt=MOST_CLASSES)]


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


class Stroke(BaseModel):
    """What a person did to the labels of one picture.

    - `brush`: a line of round ends along the points, `radius` wide to each side.
    - `erase`: the same, which takes labels away.
    - `fill`: the region of equal labels around the first point.
    - `polygon`: what lies between three points or more, by the even-odd rule.
    - `accept`: a proposal that was found right: a PNG in base64, whose top-left corner is the
      first point, gives the class of each pixel, 255 for none. It labels what has no label.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    picture: str
    kind: StrokeKind
    class_id: ClassId | None = Field(default=None, alias="class")
    """None for `erase`, and for `accept` of several classes."""
    points: tuple[tuple[Coordinate, Coordinate], ...] = Field(min_length=1, max_length=MOST_POINTS)
    radius: float | None = Field(default=None, gt=0, le=10_000)
    locked: tuple[ClassId, ...] = ()
    """Classes whose labels stay as they are."""
    mask: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.class_id is None) != (self.kind in ("erase", "accept")):
            wants = "no class" if self.kind in ("erase", "accept") else "a class"
            raise ValueError(f"{self.kind} takes {wants}")
        if (self.radius is None) == (self.kind in ("brush", "erase")):
            wants = "no radius" if self.radius is not None else "a radius"
            raise ValueError(f"{self.kind} takes {wants}")
        if (self.mask is None) == (self.kind == "accept"):
            raise ValueError("a mask belongs to accept, and to nothing else")
        if self.kind == "polygon" and len(self.points) < 3:
            raise ValueError("a polygon has three points or more")
        return self

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """A stroke as a client sends it.

        Raises:
            InputError: something is missing or of another form; names the first such thing.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            reason = first["msg"].removeprefix("Value error, ")
            raise InputError(
                f"the stroke cannot be used: {f'{where}: ' if where else ''}{reason}"
            ) from error

    @classmethod
    def accepting(cls, picture: str, classes: NDArray[np.uint8]) -> Self:
        """An accept of the classes (H, W) of a picture, 255 for none; some pixel has one."""
        box = box_of(classes != NO_LABEL)
        assert box is not None
        content = base64.b64encode(png_bytes(Image.fromarray(classes[box.cut]))).decode("ascii")
        corner = (float(box.x0), float(box.y0))
        return cls(picture=picture, kind="accept", points=(corner,), mask=content)


def draw(labels: NDArray[np.uint8], stroke: Stroke) -> tuple[PixelBox, NDArray[np.bool_]] | None:
    """Change labels by a stroke, in place.

    Args:
        labels: (H, W), class ids, 255 for none.
        stroke: one of this picture.

    Returns:
        the box of the pixels that have changed, and which in it have; None: none.
    """
    found = _covered(labels, stroke)
    if found is None:
        return None
    box, covered = found
    inside = labels[box.cut]
    if stroke.kind == "accept":
        new = _accepted(stroke)[: box.y1 - box.y0, : box.x1 - box.x0]
        changed = (inside == NO_LABEL) & (new != NO_LABEL)
    else:
        value = NO_LABEL if stroke.class_id is None else stroke.class_id
        new = np.full(inside.shape, value, np.uint8)
        changed = covered & (inside != new)
    if stroke.locked:
        changed &= ~np.isin(inside, stroke.locked)
    inside[changed] = new[changed]
    smaller = box_of(changed)
    if smaller is None:
        return None
    moved = PixelBox(
        box.y0 + smaller.y0, box.x0 + smaller.x0, box.y0 + smaller.y1, box.x0 + smaller.x1
    )
    return moved, changed[smaller.cut]


def box_of(mask: NDArray[np.bool_]) -> PixelBox | None:
    """The box of the true pixels of a mask (H, W); None: there are none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return PixelBox(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def _covered(
    labels: NDArray[np.uint8], stroke: Stroke
) -> tuple[PixelBox, NDArray[np.bool_]] | None:
    """The pixels that a stroke covers, in a box; None: none."""
    height, width = labels.shape
    size = height, width
    match stroke.kind:
        case "fill":
            return region_at(labels, *stroke.points[0])
        case "polygon":
            return _polygon(stroke.points, size)
        case "accept":
            x, y = (int(value) for value in stroke.points[0])
            rows, columns = _accepted(stroke).shape
            box = _clipped(y, x, y + rows, x + columns, size)
            if box.is_empty or x < 0 or y < 0:
                return None
            return box, np.ones((box.y1 - box.y0, box.x1 - box.x0), np.bool_)
        case "brush" | "erase":
            assert stroke.radius is not None
            return _line(stroke.points, stroke.radius, size)


def region_at(
    classes: NDArray[np.uint8], x: float, y: float
) -> tuple[PixelBox, NDArray[np.bool_]] | None:
    """The connected region of equal values around a point; None: the point lies outside."""
    row, column = int(np.floor(y)), int(np.floor(x))
    if not (0 <= row < classes.shape[0] and 0 <= column < classes.shape[1]):
        return None
    mask = part_at(classes, row, column)
    box = box_of(mask)
    assert box is not None
    return box, mask[box.cut]


def _line(
    points: Sequence[tuple[float, float]], radius: float, size: tuple[int, int]
) -> tuple[PixelBox, NDArray[np.bool_]] | None:
    """Pixels whose middle is at most `radius` away from the line through the points."""
    path = _thinned(np.array(points, np.float64), radius / 8)
    (left, top), (right, bottom) = path.min(0) - radius, path.max(0) + radius
    box = _clipped(int(top), int(left), int(bottom) + 2, int(right) + 2, size)
    if box.is_empty:
        return None
    mask = np.zeros((box.y1 - box.y0, box.x1 - box.x0), np.bool_)
    starts = path[:-1] if len(path) > 1 else path
    for start, end in zip(starts, path[1:] if len(path) > 1 else path, strict=True):
        (x0, y0), (x1, y1) = np.minimum(start, end) - radius, np.maximum(start, end) + radius
        part = _clipped(int(y0), int(x0), int(y1) + 2, int(x1) + 2, size)
        if part.is_empty:
            continue
        xs = np.arange(part.x0, part.x1) + 0.5 - start[0]
        ys = np.arange(part.y0, part.y1)[:, None] + 0.5 - start[1]
        dx, dy = end - start
        length = dx * dx + dy * dy
        along = np.clip((xs * dx + ys * dy) / length, 0, 1) if length else 0.0
        near = (xs - along * dx) ** 2 + (ys - along * dy) ** 2 <= radius * radius
        mask[part.y0 - box.y0 : part.y1 - box.y0, part.x0 - box.x0 : part.x1 - box.x0] |= near
    return box, mask


def _thinned(path: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """A path without the points that lie nearer than a step to the one before; ends stay."""
    kept = [path[0]]
    for point in path[1:-1]:
        if np.hypot(*(point - kept[-1])) >= step:
            kept.append(point)
    return np.stack([*kept, path[-1]] if len(path) > 1 else kept)


def _polygon(
    points: Sequence[tuple[float, float]], size: tuple[int, int]
) -> tuple[PixelBox, NDArray[np.bool_]] | None:
    """Pixels in a polygon, its edge with them."""
    corners = np.array(points, np.float64)
    (left, top), (right, bottom) = np.floor(corners.min(0)), np.ceil(corners.max(0))
    box = _clipped(int(top), int(left), int(bottom) + 1, int(right) + 1, size)
    if box.is_empty:
        return None
    canvas = Image.new("L", (box.x1 - box.x0, box.y1 - box.y0))
    moved = corners - (box.x0 + 0.5, box.y0 + 0.5)
    ImageDraw.Draw(canvas).polygon([(x, y) for x, y in moved.tolist()], fill=1, outline=1)
    return box, np.asarray(canvas) > 0


def _accepted(stroke: Stroke) -> NDArray[np.uint8]:
    assert stroke.mask is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(stroke.mask))))


def _clipped(y0: int, x0: int, y1: int, x1: int, size: tuple[int, int]) -> PixelBox:
    return PixelBox(max(0, y0), max(0, x0), min(size[0], y1), min(size[1], x1))
