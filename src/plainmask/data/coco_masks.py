"""Objects as files of the COCO family outline them: polygons and run lengths, read as masks.

Letters: H W size of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from plainmask.data.record import Annotation
from plainmask.errors import InputError
from plainmask.pictures.geometry import Size
from plainmask.pictures.images import image_size
from plainmask.results.rle import Rle

_SHORT = 6
"""Characters that a single run length takes at most, for pictures up to 30 bits of pixels."""


class Outline(NamedTuple):
    """One object in one picture, not decoded yet."""

    form: Any
    """The value of `segmentation`; see `decode_mask`."""
    class_id: int
    crowd: bool
    track_id: int
    area: float | None = None
    """Pixels, as the file states them."""
    number: int | str | None = None
    """What the file calls it, for messages; None: nothing."""


def read_outlines(
    outlines: Sequence[Outline],
    stated: Size | None,
    image_path: Path,
    *,
    strict: bool = False,
    what: str = "annotation",
) -> Annotation:
    """Decode the objects of a picture; empty ones are left out, others may overlap.

    Args:
        outlines: the objects.
        stated: (H, W) of the picture as the annotation says; None: it does not.
        image_path: the picture.
        strict: whether objects without pixels and polygons that are none are errors.
        what: what numbers of outlines count.

    Raises:
        InputError: an outline cannot be decoded, or sizes differ.
    """
    size = image_size(image_path)
    if stated is not None and stated != size:
        raise InputError(
            f"{image_path} is {size} high and wide, its annotation was made for {stated}; "
            "use the pictures that belong to it, with their EXIF orientation"
        )
    objects: list[tuple[NDArray[np.bool_], Outline]] = []
    for place, outline in enumerate(outlines, 1):
        name = f"object {place} of it" if outline.number is None else f"{what} {outline.number}"
        try:
            mask = decode_mask(outline.form, size, strict=strict)
        except InputError as cause:
            raise InputError(f"{image_path}, {name}: {cause}") from cause
        if mask.any():
            objects.append((mask, outline))
        elif strict:
            raise InputError(f"{image_path}, {name}: it has no pixels; delete it")
    segments = Annotation.of_masks(
        [mask for mask, _ in objects],
        size,
        [outline.class_id for _, outline in objects],
        [outline.crowd for _, outline in objects],
        [outline.track_id for _, outline in objects],
    )
    areas = np.array([outline.area or np.nan for _, outline in objects], np.float64)
    return segments if np.isnan(areas).all() else replace(segments, areas=areas)


def is_absent(form: Any) -> bool:
    """Whether the value of `segmentation` says that there is no object: null or an empty list."""
    return not form or (isinstance(form, dict) and not cast(dict[str, Any], form).get("counts"))


def has_outline(form: Any) -> bool:
    """Whether the value of `segmentation` says where an object is, as far as it tells undecoded.

    A polygon of less than three points and run lengths of one run do not.
    """
    if is_absent(form):
        return False
    if isinstance(form, list):
        return any(map(_is_polygon, _polygons(cast(list[Any], form))))
    if not isinstance(form, dict):
        return True  # what decoding will refuse
    counts = cast(dict[str, Any], form)["counts"]
    if isinstance(counts, str) and len(counts) <= _SHORT:
        return bool(_runs(counts)[1::2].any())
    return not isinstance(counts, list) or any(cast(list[Any], counts)[1::2])


def rle_size(form: Any) -> Size | None:
    """(H, W) that run lengths state; None for polygons and absent objects."""
    if is_absent(form) or not isinstance(form, dict):
        return None
    match cast(dict[str, Any], form).get("size"):
        case [int(height), int(width)]:
            return height, width
        case other:
            raise InputError(f"run lengths need a size [height, width], not {other!r}")


def decode_mask(form: Any, size: Size, *, strict: bool = False) -> NDArray[np.bool_]:
    """The mask (H, W) bool of one value of `segmentation`, all False for an absent object.

    Arguments and errors are those of `read_rle`.
    """
    rle = read_rle(form, size, strict=strict)
    return np.zeros(size, np.bool_) if rle is None else rle.decode()


def read_rle(form: Any, size: Size, *, strict: bool = False) -> Rle | None:
    """One value of `segmentation`, compressed and checked; None where there is no object.

    Compressed run lengths are kept, never decoded. Polygons of less than three points or an odd
    number of coordinates are left out, as published (COCO itself holds some); several polygons are
    one object.

    Args:
        form: a list of polygons [x0, y0, x1, y1, …], run lengths {"size", "counts"} as a list of
            numbers or COCO's text, or null or an empty list for an absent object.
        size: (H, W) of the picture.
        strict: whether such polygons are errors.

    Raises:
        InputError: it has another form, is damaged, or was made for another size.
    """
    if is_absent(form):
        return None
    if isinstance(form, list):
        return _fill_polygons(cast(list[Any], form), size, strict)
    if not isinstance(form, dict):
        raise InputError(f"a segmentation is polygons or run lengths, not {type(form).__name__}")
    if (stated := rle_size(form)) != size:
        raise InputError(f"its run lengths are for a size of {stated}, the picture's is {size}")
    counts = cast(dict[str, Any], form)["counts"]
    runs = _run_lengths(counts, size)
    return Rle(size, counts) if isinstance(counts, str) else Rle.of_runs(runs, size)


def _run_lengths(counts: Any, size: Size) -> NDArray[np.int64]:
    """The run lengths of `counts`, COCO's text or a list, checked to fill a picture.

    pycocotools reads beyond the end of a damaged text and returns whatever lies there.
    """
    if not isinstance(counts, str | list):
        raise InputError(f"run lengths are a text or a list, not {type(counts).__name__}")
    runs = _runs(counts) if isinstance(counts, str) else _whole_numbers(counts)
    height, width = size
    if runs.ndim != 1 or runs.min(initial=0) < 0 or runs.sum() != height * width:
        raise InputError(
            f"its run lengths are damaged: they cover {runs.sum()} pixels of {height * width}"
        )
    return runs


def _whole_numbers(counts: list[Any]) -> NDArray[np.int64]:
    try:
        return np.array(counts, np.int64)
    except (TypeError, ValueError, OverflowError) as cause:
        raise InputError(f"run lengths must be whole numbers ({cause})") from cause


def _runs(counts: str) -> NDArray[np.int64]:
    """Run lengths of COCO's text form.

    Five bits a character, the lowest first; 0x20 says that more follow, 0x10 in the last one that
    the number is negative. From the fourth on, numbers are differences to the one before last.
    """
    codes = np.frombuffer(counts.encode("utf-32-le", "replace"), np.uint32).astype(np.int64) - 48
    if ((codes < 0) | (codes >= 64)).any():
        strange = next(c for c in counts if not 48 <= ord(c) < 112)
        raise InputError(f"its run lengths hold the character {strange!r}")
    last = codes & 0x20 == 0
    if not last[-1]:
        raise InputError("its run lengths end in the middle of a number")
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    if (ends - starts).max() > 6:
        raise InputError("its run lengths hold a number that is too large")
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((codes & 0x1F) << 5 * place, starts)
    numbers -= np.where(codes[ends] & 0x10, 1 << 5 * (ends - starts + 1), 0)
    runs = numbers.copy()
    runs[1::2], runs[2::2] = np.cumsum(numbers[1::2]), np.cumsum(numbers[2::2])
    return runs


def _polygons(form: list[Any]) -> list[Any]:
    """The polygons of a list, each a flat list of numbers.

    Some tools leave the outer list out where there is one polygon, or write points as pairs.
    """
    if not isinstance(form[0], list):
        return [form]
    if len(form) >= 3 and all(isinstance(part, list) and len(part) == 2 for part in form):
        return [[number for point in form for number in point]]
    return [
        [number for point in cast(list[list[Any]], polygon) for number in point]
        if isinstance(polygon, list)
        and all(isinstance(point, list) for point in cast(list[Any], polygon))
        else polygon
        for polygon in form
    ]


def _is_polygon(points: Any) -> bool:
    """Whether a list of numbers has three points or more, of two numbers each."""
    return isinstance(points, list) and len(points) >= 6 and len(points) % 2 == 0  # pyright: ignore


def _fill_polygons(form: list[Any], size: Size, strict: bool) -> Rle:
    """The union of polygons, rasterised as COCO's own tool does."""
    height, width = size
    sound: list[list[float]] = []
    for polygon in _polygons(form):
        try:
            points = np.array(polygon, np.float64)
        except (TypeError, ValueError, OverflowError) as cause:
            raise InputError(f"a polygon is a list of numbers ({cause})") from cause
        if points.ndim != 1 or not np.isfinite(points).all():
            raise InputError("a polygon is a flat list of finite numbers [x0, y0, x1, y1, …]")
        if _is_polygon(polygon):
            # Far points would only cost memory.
            limits = np.tile([width, height], len(points) // 2)
            sound.append(np.clip(points, -limits, 2 * limits).tolist())
        elif strict:
            raise InputError(
                f"a polygon of {len(points)} numbers is none: it takes three points or more, of "
                "two numbers each"
            )
    if not sound:
        return Rle.encode(np.zeros(size, np.bool_))
    union = coco.merge(coco.frPyObjects(cast(Any, sound), height, width))
    return Rle(size, cast(bytes, union["counts"]).decode("ascii"))
