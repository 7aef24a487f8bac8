"""Some pictures of a data set with their segments painted over them, on one sheet.

Letters: H W image size, h w size on the sheet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from plainmask.data.record import NO_SEGMENT, Annotation
from plainmask.results.draw import Region, overlay, shade
from plainmask.vocabulary import Vocabulary

SIDE = 420
"""Longer side of a picture on the sheet."""
_GAP = 12
_TITLE = 24
_PAPER = (250, 250, 250)
_INK = (30, 30, 30)


def paint_segments(
    image: NDArray[np.uint8], segments: Annotation, vocabulary: Vocabulary, side: int = SIDE
) -> Image.Image:
    """A small picture with its segments: in the colours of their classes, shades for further ones.

    Args:
        image: (H, W, 3) uint8 RGB.
        segments: of the same size; where they overlap, later layers lie on top.
        vocabulary: their classes.
        side: longer side of what is returned; small pictures are enlarged.
    """
    height, width = segments.size
    factor = side / max(height, width)
    new = max(1, round(height * factor)), max(1, round(width * factor))
    rows, columns = (
        np.arange(now) * old // now for now, old in zip(new, segments.size, strict=True)
    )
    region_map = np.zeros(new, np.int32)
    for layer in segments.layers:
        small = layer[rows[:, None], columns]
        region_map = np.where(small == NO_SEGMENT, region_map, small + 1)
    seen: Counter[int] = Counter()
    regions: list[Region] = []
    for index, class_id in enumerate(segments.class_ids.tolist()):
        entry = vocabulary.classes[class_id]
        text = entry.name if len(vocabulary) > 1 else ""  # names would hide small objects
        text = f"{entry.name} (crowd)" if segments.crowd[index] else text
        regions.append(Region(index + 1, shade(entry.color, seen[class_id]), text))
        seen[class_id] += 1
    resample = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST
    small_image = Image.fromarray(image).resize((new[1], new[0]), resample)
    return overlay(small_image, region_map, regions)


def contact_sheet(pictures: Sequence[tuple[str, Image.Image]], columns: int = 4) -> Image.Image:
    """Pictures with titles, in rows.

    Args:
        pictures: title and picture of each; one at least.
        columns: how many stand side by side.
    """
    columns = min(columns, len(pictures))
    cell_width = max(picture.width for _, picture in pictures) + _GAP
    rows = [pictures[first : first + columns] for first in range(0, len(pictures), columns)]
    heights = [max(picture.height for _, picture in row) + _TITLE + _GAP for row in rows]
    sheet = Image.new("RGB", (columns * cell_width + _GAP, sum(heights) + _GAP), _PAPER)
    canvas = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for place, (title, picture) in enumerate(row):
            left = _GAP + place * cell_width
            canvas.text((left, top), _fitting(title, cell_width - _GAP, font), _INK, font)
            sheet.paste(picture, (left, top + _TITLE))
        top += height
    return sheet


def _fitting(title: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a title that fits into a width; names differ at their ends."""
    shown = title
    while len(shown) > 1 and font.getlength(shown) > width:
        shown = "…" + shown[2:]
    return shown
