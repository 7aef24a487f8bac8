"""Pictures for people: segments painted over an image, with outlines, names and a legend.

The same input always gives the same picture. No torch here.

Letters: H W image size.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy import ndimage

from plainmask.errors import InputError
from plainmask.results.regions import outlines_of
from plainmask.vocabulary import Color

_Rectangle = tuple[int, int, int, int]

_OPACITY = 0.45
_OUTLINE_OPACITY = 0.9
_LABEL_OPACITY = 0.75
_MAP_SIDE = 256
"""Label places are found on a map reduced to about this side: exact enough, and fast."""
_TEXT = (9, 32)
"""Least and largest size of names, in pixels."""
_LEGEND_LINES = 4
_BAND = 32
"""Rows that are painted at a time."""
_SPARSE = 0.25
"""Share of the pixels up to which it is faster to paint them one by one."""
_SHARE = 0.6
"""Most of an object's height that its name may cover."""


@dataclass(frozen=True)
class Region:
    """One thing to paint."""

    id: int
    """Its number in the region map; at least 1."""
    color: Color
    """RGB, 0..255."""
    text: str
    """Written on it where there is room; empty for none."""


def outline_width(size: tuple[int, ...]) -> int:
    """How wide the outlines are in a picture of (H, W): a pixel, in very large ones more."""
    return max(1, round(min(size) / 900))


def overlay(
    image: Image.Image | NDArray[np.uint8],
    region_map: NDArray[np.int32],
    regions: Sequence[Region],
    outlines: NDArray[np.int32] | None = None,
) -> Image.Image:
    """Paint regions over an image.

    Args:
        image: a PIL image or (H, W, 3) uint8 RGB.
        region_map: (H, W), the id of each pixel's region; 0 leaves the pixel as it is.
        regions: what to paint; every id of the map but 0.
        outlines: (H, W), the id of the region whose outline goes through a pixel, 0 for none;
            None: the borders in the map.

    Returns:
        An RGB picture of the image's size.

    Raises:
        InputError: the image has another size than the map, or is no 8-bit RGB.
    """
    pixels = _pixels(image, region_map.shape)
    if outlines is None:
        outlines = outlines_of(
            region_map, outline_width((region_map.shape[0], region_map.shape[1]))
        )
    highest = int(max(region_map.max(initial=0), outlines.max(initial=0)))
    palette = np.zeros((highest + 1, 3), np.uint8)
    for region in regions:
        if region.id <= highest:
            palette[region.id] = region.color
    painted = _blended(pixels, region_map, palette)
    _line(painted, pixels, region_map, outlines, palette)
    picture = Image.fromarray(painted)
    _write_labels(picture, region_map, regions)
    return picture


def _blended(
    pixels: NDArray[np.uint8], region_map: NDArray[np.int32], palette: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The picture (H, W, 3) with the colours of regions mixed in."""
    # A channel has 256 values and is mixed with one of 256, or with none: one table has it all.
    values = np.arange(256, dtype=np.float32)
    mixed = values + np.float32(_OPACITY) * (values[:, None] - values)
    table = np.concatenate([mixed, values[None]]).round().astype(np.uint8)
    rows = palette.astype(np.int32)
    rows[0] = 256
    rows *= 256

    def mixed_in(ids: NDArray[np.int32], below: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # "clip" leaves out the check of places, which are right.
        places = np.take(rows, ids, axis=0, mode="clip")
        places += below
        return np.take(table, places, mode="clip")

    blended = pixels.copy()
    for top in range(0, len(pixels), _BAND):  # what is between stays in the processor's cache
        ids, band = region_map[top : top + _BAND].ravel(), blended[top : top + _BAND].reshape(-1, 3)
        painted = np.flatnonzero(ids != 0)
        if len(painted) < _SPARSE * len(ids):
            new = mixed_in(ids[painted], np.take(band, painted, axis=0))
            band.view("V3")[painted] = new.view("V3")  # three bytes as one: twice as fast
        else:
            band[:] = mixed_in(ids, band)
    return blended


def _line(
    painted: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    region_map: NDArray[np.int32],
    outlines: NDArray[np.int32],
    palette: NDArray[np.uint8],
) -> None:
    """Draw the outlines: a mix of their bright colours with what lies below, not yet rounded."""
    edges = np.flatnonzero(outlines != 0)  # of booleans: ten times as fast as of numbers
    below = pixels.reshape(-1, 3)[edges].astype(np.float32)
    inside = region_map.ravel()[edges]
    colors = palette[inside].astype(np.float32)
    below += np.float32(_OPACITY) * (colors - below) * (inside > 0)[:, None]
    bright = np.float32(0.5) * palette[outlines.ravel()[edges]] + np.float32(0.5 * 255)
    below += np.float32(_OUTLINE_OPACITY) * (bright - below)
    painted.reshape(-1, 3)[edges] = below.round().astype(np.uint8)


def add_legend(picture: Image.Image, entries: Sequence[tuple[Color, str]]) -> Image.Image:
    """The picture with a strip below it that names colours; without room for it as it is.

    Args:
        picture: RGB.
        entries: colour and name; those that do not fit into four lines are counted.
    """
    size = min(28, max(11, round(min(picture.size) / 34)))
    font = ImageFont.load_default(size)
    gap, line = size // 2, round(1.6 * size)
    rows: list[list[tuple[int, Color | None, str]]] = [[]]
    x = gap
    for place, (color, text) in enumerate(entries):
        width = round(font.getlength(text)) + size + 2 * gap
        if rows[-1] and x + width + gap > picture.width:
            if len(rows) == _LEGEND_LINES:
                rows[-1][-1] = (rows[-1][-1][0], None, f"and {len(entries) - place + 1} more")
                break
            rows.append([])
            x = gap
        if x + width > picture.width:
            return picture
        rows[-1].append((x, color, text))
        x += width + gap
    if not rows[0]:
        return picture
    grown = Image.new("RGB", (picture.width, picture.height + len(rows) * line + gap), "white")
    grown.paste(picture)
    canvas = ImageDraw.Draw(grown)
    for number, row in enumerate(rows):
        middle = picture.height + gap // 2 + number * line + line // 2
        for left, color, text in row:
            if color is not None:
                box = (left, middle - size // 2, left + size - 1, middle + size // 2)
                canvas.rectangle(box, color, (90, 90, 90))
            canvas.text((left + size + gap // 2, middle), text, (20, 20, 20), font, anchor="lm")
    return grown


def shade(color: Color, index: int) -> Color:
    """Colour of the `index`-th object of a class: the class colour, then values around it."""
    if index == 0:
        return color
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in color))
    # Golden-ratio steps in a band around the class: neighbours differ, the class stays readable.
    turn = index * 0.6180339887 % 1 - 0.5
    hue = (hue + 0.22 * turn) % 1
    saturation = min(1.0, max(0.35, saturation + 0.5 * turn))
    value = min(1.0, max(0.45, value + (0.25 if index % 2 else -0.2)))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _pixels(image: Image.Image | NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8, once it fits."""
    if isinstance(image, Image.Image):
        image = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))  # as it was segmented
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.shape != (*size, 3):
        raise InputError(
            f"to draw on, give the picture that was segmented: a PIL image or a uint8 array of "
            f"shape {(*size, 3)}, not {pixels.dtype} of shape {pixels.shape}"
        )
    return pixels


def _write_labels(
    picture: Image.Image, region_map: NDArray[np.int32], regions: Sequence[Region]
) -> None:
    """Write the names on a picture, each on the thickest part of its region, as large as fits.

    Names come from the largest region to the smallest; one without room in its region is left out.
    """
    largest = min(_TEXT[1], max(11, round(min(picture.size) / 34)))
    tags = Image.new("RGBA", picture.size)
    canvas = ImageDraw.Draw(tags)
    taken: list[_Rectangle] = []
    for region, center, room in _label_places(region_map, regions):
        fitting = _fitting(region.text, room, largest)
        if fitting is None:
            continue
        font, size = fitting
        box = _box_around(center, size, picture.size)
        if box is None or any(_overlap(box, other) for other in taken):
            continue
        taken.append(box)
        shade_of_tag = (*_dark(region.color), round(255 * _LABEL_OPACITY))
        canvas.rounded_rectangle(box, max(2, size[1] // 5), shade_of_tag)
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        canvas.text(middle, region.text, (255, 255, 255, 255), font, anchor="mm")
    for left, top, right, bottom in taken:
        tag = tags.crop((left, top, right + 1, bottom + 1))
        picture.paste(tag, (left, top), tag)


def _fitting(
    text: str, room: tuple[float, float], largest: int
) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, tuple[int, int]] | None:
    """The largest font by which a text and its tag fit into (width, height), and the tag's size."""
    if not text:
        return None
    size = min(largest, int(_SHARE * room[1] / 1.3))
    while size >= _TEXT[0]:
        font = ImageFont.load_default(size)
        width = font.getlength(text) + 0.6 * size
        if width <= room[0]:
            return font, (round(width), round(1.3 * size))
        size = min(size - 1, int(size * room[0] / width))
    return None


def _label_places(
    region_map: NDArray[np.int32], regions: Sequence[Region]
) -> Iterator[tuple[Region, tuple[int, int], tuple[float, float]]]:
    """Each region that is in the map, largest first: its innermost (x, y), and the room there.

    The room is how far the region goes without a gap to both sides of that place: (width, height).
    """
    step = max(1, max(region_map.shape) // _MAP_SIDE)
    # The middle of each step, or of a side that is shorter than one.
    first_row, first_column = (min(step // 2, side - 1) for side in region_map.shape)
    reduced = region_map[first_row::step, first_column::step]
    areas = np.bincount(reduced.ravel())
    boxes = ndimage.find_objects(reduced)
    present = [region for region in regions if region.id < len(areas) and areas[region.id]]
    for region in sorted(present, key=lambda region: (-areas[region.id], region.id)):
        rows, columns = boxes[region.id - 1]
        # One ring of nothing, so that the distance to the border of the box counts, too.
        inside = np.pad(reduced[rows, columns] == region.id, 1)
        depth = np.asarray(ndimage.distance_transform_edt(inside))
        y, x = (int(place) for place in np.unravel_index(int(np.argmax(depth)), depth.shape))
        center = ((columns.start + x - 1) * step, (rows.start + y - 1) * step)
        room = (step * _reach(inside[y], x), 2.0 * step * float(depth.max()))
        yield region, (center[0] + step // 2, center[1] + step // 2), room


def _reach(line: NDArray[np.bool_], place: int) -> float:
    """The width of what lies evenly around a place of a line, which begins and ends with False."""
    outside = np.flatnonzero(~line)
    right = outside[np.searchsorted(outside, place)]
    left = outside[np.searchsorted(outside, place) - 1]
    return 2.0 * min(right - place, place - left) - 1


def _box_around(
    center: tuple[int, int], size: tuple[int, int], within: tuple[int, int]
) -> _Rectangle | None:
    """A box of this (width, height) around (x, y), moved into the picture; None if too large."""
    if size[0] > within[0] or size[1] > within[1]:
        return None
    x, y = (
        min(max(0, middle - side // 2), limit - side)
        for middle, side, limit in zip(center, size, within, strict=True)
    )
    return x, y, x + size[0] - 1, y + size[1] - 1


def _overlap(a: _Rectangle, b: _Rectangle) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def _dark(color: Color) -> Color:
    """The colour, dark enough for white text."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in color))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, min(value, 0.38))
    return round(red * 255), round(green * 255), round(blue * 255)
