"""Which pixels a stroke changes, and to what.

Letters: H W size of the picture.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from plainmask.label.config import BACKGROUND
from plainmask.label.planes import PixelBox, Planes, box_of
from plainmask.label.stroke import NO_LABEL, Join, Stroke, StrokeKind
from plainmask.pictures.geometry import Size
from plainmask.results.formats import png_bytes


def draw(labels: Planes, stroke: Stroke) -> tuple[PixelBox, NDArray[np.bool_]] | None:
    """Change labels by a stroke, in place.

    Args:
        labels: (H, W), with objects where the stroke has one.
        stroke: one of this picture.

    Returns:
        the box of the pixels that have changed, and which in it have; None: none.
    """
    found = _covered(labels, stroke)
    if found is None:
        return None
    box, covered = _with_its_object(labels, stroke, *found)
    inside = labels.cut(box)
    if stroke.mask is None:
        new = _uniform(stroke, covered.shape, with_objects=labels.objects is not None)
    else:
        new = _of_mask(stroke).cut(PixelBox(0, 0, *covered.shape))
    changed = covered & (inside.codes() != new.codes())
    if stroke.kind == "accept":
        changed &= ~inside.known
    if stroke.locked:
        changed &= ~np.isin(inside.classes, stroke.locked)
    smaller = box_of(changed)
    if smaller is None:
        return None
    inside.put(new, changed)
    moved = PixelBox(
        box.y0 + smaller.y0, box.x0 + smaller.x0, box.y0 + smaller.y1, box.x0 + smaller.x1
    )
    return moved, changed[smaller.cut]


def join(labels: Planes, classes: Join) -> PixelBox | None:
    """Give the labels (H, W) of a class to another, in place; the box of them, None: none.

    Objects stay what they are, unless they become background.
    """
    its = labels.classes == classes.class_id
    labels.classes[its] = NO_LABEL if classes.into is None else classes.into
    if labels.objects is not None and classes.into in (None, BACKGROUND):
        labels.objects[its] = 0
    return box_of(its)


def masked_stroke(kind: StrokeKind, picture: str, new: Planes) -> Stroke:
    """A stroke that says of each pixel what it becomes.

    Args:
        kind: accept, merge or split.
        picture: its name.
        new: (H, W), with something in it; 255 where nothing changes.
    """
    box = box_of(new.known)
    assert box is not None
    part, objects = new.cut(box), ()
    values = part.classes
    if part.objects is not None:
        codes, places = np.unique(part.where(part.known).codes(), return_inverse=True)
        is_something = codes != NO_LABEL  # the code of no class, and no object
        objects = tuple((code >> 8, code & 255) for code in codes[is_something].tolist())
        values = (np.cumsum(is_something) * is_something)[places].reshape(part.classes.shape)
        values = values.astype(np.uint8 if len(objects) < 256 else np.uint16)
    content = base64.b64encode(png_bytes(Image.fromarray(values))).decode("ascii")
    corner = (float(box.x0), float(box.y0))
    return Stroke(picture=picture, kind=kind, points=(corner,), mask=content, objects=objects)


def _uniform(stroke: Stroke, size: Size, *, with_objects: bool) -> Planes:
    value = NO_LABEL if stroke.class_id is None else stroke.class_id
    objects = np.full(size, stroke.object or 0, np.uint16) if with_objects else None
    return Planes(np.full(size, value, np.uint8), objects)


def _of_mask(stroke: Stroke) -> Planes:
    """What a stroke with a mask says of each of its pixels."""
    assert stroke.mask is not None
    values = np.asarray(Image.open(io.BytesIO(base64.b64decode(stroke.mask))))
    if not stroke.objects:
        return Planes(values.astype(np.uint8), None)
    rows = np.array([(0, NO_LABEL), *stroke.objects])
    return Planes(rows[:, 1].astype(np.uint8)[values], rows[:, 0].astype(np.uint16)[values])


def _with_its_object(
    labels: Planes, stroke: Stroke, box: PixelBox, covered: NDArray[np.bool_]
) -> tuple[PixelBox, NDArray[np.bool_]]:
    """What a stroke covers, with all of its object where that had another class."""
    if not stroke.object or labels.objects is None:
        return box, covered
    others = (labels.objects == stroke.object) & (labels.classes != stroke.class_id)
    further = box_of(others)
    if further is None:
        return box, covered
    others[box.cut] |= covered
    larger = box.around(further)
    return larger, others[larger.cut]


def _covered(labels: Planes, stroke: Stroke) -> tuple[PixelBox, NDArray[np.bool_]] | None:
    """The pixels that a stroke covers, in a box; None: none."""
    height, width = labels.classes.shape
    size = height, width
    match stroke.kind:
        case "fill":
            return labels.region_at(*stroke.points[0])
        case "polygon":
            return _polygon(stroke.points, size)
        case "brush" | "erase":
            assert stroke.radius is not None
            return line(stroke.points, stroke.radius, size)
        case _:
            x, y = (int(value) for value in stroke.points[0])
            known = _of_mask(stroke).known
            box = _clipped(y, x, y + known.shape[0], x + known.shape[1], size)
            if box.is_empty or x < 0 or y < 0:
                return None
            return box, known[: box.y1 - box.y0, : box.x1 - box.x0]


def line(
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


def _clipped(y0: int, x0: int, y1: int, x1: int, size: tuple[int, int]) -> PixelBox:
    return PixelBox(max(0, y0), max(0, x0), min(size[0], y1), min(size[1], x1))
