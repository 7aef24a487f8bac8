"""Pictures for people: segments painted over an image, with contours and names. No torch here.

The same input always gives the same picture.

Letters: H W image size.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps
from scipy import ndimage

from plainmask.errors import InputError

Color = tuple[int, int, int]
_Rectangle = tuple[int, int, int, int]

_OPACITY = 0.5
_CONTOUR_OPACITY = 0.9
_LABEL_OPACITY = 0.82
_MAP_SIDE = 256
"""Label places are found on a map reduced to about this side: exact enough, and fast."""


@dataclass(frozen=True)
class Region:
    """One thing to paint."""

    id: int
    """Its number in the region map; at least 1."""
    color: Color
    """RGB, 0..255."""
    text: str
    """Written on it where there is room; empty for none."""


def overlay(
    image: Image.Image | NDArray[np.uint8],
    region_map: NDArray[np.int32],
    regions: Sequence[Region],
) -> Image.Image:
    """Paint regions over an image.

    Args:
        image: a PIL image or (H, W, 3) uint8 RGB.
        region_map: (H, W), the id of each pixel's region; 0 leaves the pixel as it is.
        regions: what to paint; every id of the map but 0.

    Returns:
        An RGB picture of the image's size.

    Raises:
        InputError: the image has another size than the map, or is no 8-bit RGB.
    """
    pixels = _pixels(image, region_map.shape)
    palette = np.zeros((int(region_map.max(initial=0)) + 1, 3), np.float32)
    for region in regions:
        if region.id < len(palette):
            palette[region.id] = region.color
    thickness = max(1, round(min(region_map.shape) / 360))
    opacity = np.where(region_map > 0, np.float32(_OPACITY), np.float32(0))
    paint = palette[region_map]
    edges = _contours(region_map, thickness)
    paint[edges] = 0.45 * paint[edges] + 0.55 * 255
    opacity[edges] = _CONTOUR_OPACITY
    mixed = pixels + opacity[..., None] * (paint - pixels)
    picture = Image.fromarray(mixed.round().astype(np.uint8))
    _write_labels(picture, region_map, regions)
    return picture


def shade(color: Color, index: int) -> Color:
    """Colour of the `index`-th object of a class: the class colour, then shades around it."""
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


def _pixels(image: Image.Image | NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.float32]:
    """The image as (H, W, 3) float32 0..255, once it fits."""
    if isinstance(image, Image.Image):
        image = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))  # as it was segmented
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.shape != (*size, 3):
        raise InputError(
            f"to draw on, give the picture that was segmented: a PIL image or a uint8 array of "
            f"shape {(*size, 3)}, not {pixels.dtype} of shape {pixels.shape}"
        )
    return pixels.astype(np.float32)


def _contours(region_map: NDArray[np.int32], thickness: int) -> NDArray[np.bool_]:
    """Pixels of regions at the border to another region or to nothing: (H, W) bool."""
    edges = np.zeros(region_map.shape, bool)
    down = region_map[1:] != region_map[:-1]
    right = region_map[:, 1:] != region_map[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= right
    edges[:, :-1] |= right
    if thickness > 1:
        grown = Image.fromarray(edges.astype(np.uint8)).filter(
            ImageFilter.MaxFilter(2 * (thickness // 2) + 1)
        )
        edges = np.asarray(grown).astype(bool)
    return edges & (region_map > 0)


def _write_labels(
    picture: Image.Image, region_map: NDArray[np.int32], regions: Sequence[Region]
) -> None:
    """Write the names on a picture, each on the thickest part of its region.

    Names come from the largest region to the smallest; one without room is left out.
    """
    font = ImageFont.load_default(size=min(48, max(11, round(min(picture.size) / 30))))
    tags = Image.new("RGBA", picture.size)
    canvas = ImageDraw.Draw(tags)
    _, top, _, bottom = canvas.textbbox((0, 0), "Ag", font)
    height, padding = round(bottom - top), max(2, round((bottom - top) / 4))
    taken: list[_Rectangle] = []
    for region, center, radius in _label_places(region_map, regions):
        if not region.text or 2 * radius < height + 2 * padding:
            continue
        width = round(canvas.textlength(region.text, font))
        box = _box_around(center, (width + 2 * padding, height + 2 * padding), picture.size)
        if box is None or any(_overlap(box, other) for other in taken):
            continue
        taken.append(box)
        canvas.rounded_rectangle(box, padding, (*_dark(region.color), round(255 * _LABEL_OPACITY)))
        place = (box[0] + padding, box[1] + padding - top)
        canvas.text(place, region.text, (255, 255, 255, 255), font)
    picture.paste(tags, mask=tags.getchannel("A"))


def _label_places(
    region_map: NDArray[np.int32], regions: Sequence[Region]
) -> Iterator[tuple[Region, tuple[int, int], float]]:
    """Each region that is in the map, largest first: its innermost (x, y) and the room there."""
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
        y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
        center = ((columns.start + int(x) - 1) * step, (rows.start + int(y) - 1) * step)
        yield region, (center[0] + step // 2, center[1] + step // 2), float(depth.max()) * step


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
