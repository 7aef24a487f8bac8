"""The curves of a run as a picture, drawn from its tables: a resumed run shows all steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

from plainmask.atomic import write_atomically
from plainmask.training.table import Table

Points: TypeAlias = Sequence[tuple[int, float]]
"""Steps and values."""

SIZE = (900, 300)
"""Width and height of a panel."""
MARGIN = 46
COLORS = ("#1f77b4", "#d95f02", "#2a9d4a", "#9467bd", "#8c564b", "#e377c2", "#555555", "#b8a000")


def write_curves(path: Path, panels: Mapping[str, Path], *, last: int) -> None:
    """Draw tables, a panel for each, into a PNG.

    Args:
        path: of the picture.
        panels: CSV files with a column `step`, by title; one that is not there has no panel, and
            times, rates and norms no curves.
        last: the step at which the run ends.
    """
    found = {title: read_curves(table) for title, table in panels.items() if table.is_file()}
    found = {title: curves for title, curves in found.items() if curves}
    if not found:
        return
    width, height = SIZE
    picture = Image.new("RGB", (width, height * len(found)), "white")
    for place, (title, curves) in enumerate(found.items()):
        picture.paste(draw_panel(title, curves, last), (0, height * place))
    content = BytesIO()
    picture.save(content, "png")
    write_atomically(path, content.getvalue())


def read_curves(path: Path) -> dict[str, Points]:
    """The columns of a table that belong in a picture, where they are finite."""
    names, rows = Table(path).read()
    curves = {
        name: [(int(row[0]), float(row[column])) for row in rows if isfinite(float(row[column]))]
        for column, name in enumerate(names)
        if name not in _LEFT_OUT
    }
    return {name: points for name, points in curves.items() if points}


_LEFT_OUT = ("step", "seconds", "lr", "gradient_norm")


def draw_panel(title: str, curves: Mapping[str, Points], last: int) -> Image.Image:
    """One panel: axes with their ends, a curve for each name, and the names in its colours."""
    width, height = SIZE
    picture = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    values = [value for points in curves.values() for _, value in points]
    low, high = min(0.0, *values), max(values)
    span = high - low or 1.0

    def at(step: int, value: float) -> tuple[float, float]:
        across = MARGIN + (width - 2 * MARGIN) * step / last
        return across, height - MARGIN - (height - 2 * MARGIN) * (value - low) / span

    draw.line([at(0, high), at(0, low), at(last, low)], fill="#999999")
    for value in (low, high):
        draw.text((MARGIN - 4, at(0, value)[1]), f"{value:.3g}", "black", font, anchor="rm")
    for step in (0, last):
        draw.text((at(step, low)[0], height - MARGIN + 4), str(step), "black", font, anchor="mt")
    draw.text((MARGIN, 8), title, "black", font)
    across = MARGIN + draw.textlength(title, font) + 20
    for name, points, color in zip(curves, curves.values(), COLORS * len(curves), strict=False):
        places = [at(step, value) for step, value in points]
        draw.line(places, fill=color, width=2)
        for x, y in places if len(places) < 60 else ():
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=color)
        draw.text((across, 8), name, color, font)
        across += draw.textlength(name, font) + 14
    return picture
