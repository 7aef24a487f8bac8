"""A sheet of several results of one picture, side by side, each with its legend. No torch here.

The same input always gives the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageOps

from plainmask.results.base import Result
from plainmask.results.regions import without_speckles
from plainmask.vocabulary import Color

_SIDE = 640
"""Longer side of the pictures on a sheet."""
_GAP = 14
_PAPER, _INK, _FAINT = (255, 255, 255), (25, 25, 25), (110, 110, 110)
_TITLE, _TEXT = 19, 14
_LINE = 21
"""Height of a line of a legend."""


class _Panel(NamedTuple):
    title: str
    note: str
    picture: Image.Image
    legend: list[tuple[str, Color]]


def sheet(
    image: Image.Image | NDArray[np.uint8],
    results: Mapping[str, Result],
    notes: Mapping[str, str] | None = None,
) -> Image.Image:
    """The picture, and what each head found in it, two or three in a row.

    Args:
        image: what was segmented: a PIL image or (H, W, 3) uint8 RGB.
        results: by the name of the head; instance results as far as they are confident.
        notes: written beside the names, such as times; under "picture" that of the picture.

    Returns:
        An RGB picture; legends name the classes that occur.

    Raises:
        InputError: a result is of another size than the image.
    """
    notes = notes or {}
    if isinstance(image, Image.Image):
        image = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))  # as it was segmented
    panels = [_Panel("picture", notes.get("picture", ""), _small(Image.fromarray(image)), [])]
    for name, result in results.items():
        drawn = _small(result.draw(image))
        panels.append(_Panel(name, notes.get(name, ""), drawn, _legend(result)))
    return _laid_out(panels)


def _legend(result: Result) -> list[tuple[str, Color]]:
    """Name and colour of the classes that are drawn, by their area."""
    flat = np.bincount(without_speckles(result.flat_map()).ravel(), minlength=1)
    areas: dict[int, int] = {}
    for segment in result.segments:
        if segment.id < len(flat) and flat[segment.id]:
            areas[segment.class_id] = areas.get(segment.class_id, 0) + int(flat[segment.id])
    classes = result.vocabulary.classes
    order = sorted(areas, key=lambda class_id: (-areas[class_id], class_id))
    return [(classes[class_id].name, classes[class_id].color) for class_id in order]


def _small(picture: Image.Image) -> Image.Image:
    factor = _SIDE / max(picture.size)
    if factor >= 1:
        return picture
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _laid_out(panels: list[_Panel]) -> Image.Image:
    """Panels in rows, each as high as its longest legend needs."""
    width, height = panels[0].picture.size
    width = max(width, 160)
    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    title = _TITLE + _GAP
    rows = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    legends = [[_lines(panel.legend, width) for panel in row] for row in rows]
    heights = [title + height + _LINE * max(len(lines) for lines in row) + _GAP for row in legends]
    size = (columns * (width + _GAP) + _GAP, sum(heights) + _GAP)
    page = Image.new("RGB", size, _PAPER)
    canvas = ImageDraw.Draw(page)
    top = _GAP
    for row, lines_of, used in zip(rows, legends, heights, strict=True):
        for place, (panel, lines) in enumerate(zip(row, lines_of, strict=True)):
            left = _GAP + place * (width + _GAP)
            _write_title(canvas, (left, top), panel)
            page.paste(panel.picture, (left, top + title))
            _write_legend(canvas, (left, top + title + height + 6), lines)
        top += used
    return page


def _write_title(canvas: ImageDraw.ImageDraw, corner: tuple[int, int], panel: _Panel) -> None:
    font = ImageFont.load_default(size=_TITLE)
    canvas.text(corner, panel.title, _INK, font)
    beside = (corner[0] + round(font.getlength(panel.title)) + 10, corner[1] + _TITLE - _TEXT)
    canvas.text(beside, panel.note, _FAINT, ImageFont.load_default(size=_TEXT))


def _lines(legend: list[tuple[str, Color]], width: int) -> list[list[tuple[int, str, Color]]]:
    """The entries in lines that fit the width, each with the x at which it begins."""
    font = ImageFont.load_default(size=_TEXT)
    lines: list[list[tuple[int, str, Color]]] = []
    x = width + 1
    for name, color in legend:
        needed = round(font.getlength(name)) + 36
        if x + needed > width:
            lines.append([])
            x = 0
        lines[-1].append((x, name, color))
        x += needed
    return lines


def _write_legend(
    canvas: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    lines: list[list[tuple[int, str, Color]]],
) -> None:
    font = ImageFont.load_default(size=_TEXT)
    for number, line in enumerate(lines):
        y = corner[1] + number * _LINE
        for x, name, color in line:
            left = corner[0] + x
            canvas.rounded_rectangle((left, y + 2, left + 14, y + 15), 3, color, outline=_FAINT)
            canvas.text((left + 20, y), name, _INK, font)
