"""The table of a folder that says what numbers or colours of label files mean, as people have it.

classes.json       see `Vocabulary.load`; `ignore_colors` lists colours that do not count
labelmap.txt       "NAME:R,G,B:…" a line, as CVAT and Datumaro write it
class_names.txt    a name a line, as labelme writes it
classes.txt        a name a line, or "NUMBER NAME"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from plainmask.data.files import read_lines
from plainmask.errors import InputError
from plainmask.vocabulary import Color, Vocabulary, color_of, read_table

BORDER, BORDER_COLOR = 255, (224, 224, 192)
"""What does not count in PASCAL VOC and what has its form."""

_PLACES = ("classes.json", "labelmap.txt", "class_names.txt", "classes.txt")
_BACKGROUND = ("background", "_background_", "__background__")
_NUMBERED = re.compile(r"(\d{1,18})\s*[:,;\s]\s*(\S.*)")


@dataclass(frozen=True)
class ClassTable:
    """The classes of label files, and colours that do not count."""

    vocabulary: Vocabulary
    ignored_colors: tuple[Color, ...] = ()


def find_class_table(root: Path) -> Path | None:
    """The class table in a folder, if there is one."""
    return next((root / name for name in _PLACES if (root / name).is_file()), None)


def read_class_table(path: Path) -> ClassTable:
    """Read a class table of any of the forms above, told by its name.

    Raises:
        InputError: it cannot be read or holds something else.
    """
    if path.suffix.lower() == ".json":
        return ClassTable(Vocabulary.load(path), _ignored_colors(path))
    lines = [line for line in read_lines(path) if not line.startswith("#")]
    if path.name == "labelmap.txt":
        return _voc_table(path, [line.split(":") for line in lines])
    if path.name == "class_names.txt":
        # labelme counts from -1, which it calls __ignore__ and writes as 255.
        return _voc_table(path, [[line] for line in lines if line != "__ignore__"])
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    classes: Any = lines
    if all(numbered):
        classes = {match[1]: match[2] for match in numbered if match is not None}
    return ClassTable(_loaded(path, {"classes": classes}))


def voc_color(index: int) -> Color:
    """Colour number `index` of the palette of PASCAL VOC, which labelme and others use."""
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    red, green, blue = channels
    return red, green, blue


def _voc_table(path: Path, fields: list[list[str]]) -> ClassTable:
    """Classes by their order, with the colour that stands behind the name, or that of VOC."""
    rows: list[dict[str, Any]] = []
    for index, (name, *more) in enumerate(fields):
        text = more[0].strip() if more else ""
        parts = [int(part) for part in text.split(",") if part.strip().isdecimal()]
        color = color_of(parts) if text else voc_color(index)
        if color is None:
            raise InputError(f"{path}: the colour of {name!r} should be R,G,B, not {text!r}")
        thing = name.strip().casefold() not in _BACKGROUND
        rows.append({"id": index, "name": name.strip(), "thing": thing, "color": color})
    ignored = [BORDER] if len(rows) <= BORDER else []
    table = {"classes": rows, "ignore_values": ignored}
    colors = {row["color"] for row in rows}
    return ClassTable(_loaded(path, table), () if BORDER_COLOR in colors else (BORDER_COLOR,))


def _loaded(path: Path, table: dict[str, Any]) -> Vocabulary:
    try:
        return Vocabulary.load({"name": path.name, **table})
    except InputError as cause:
        raise InputError(f"{path}: {cause}") from cause


def _ignored_colors(path: Path) -> tuple[Color, ...]:
    """`ignore_colors` of a JSON table; none where it states none."""
    stated = read_table(path).get("ignore_colors")
    if stated is not None and not isinstance(stated, list):
        raise InputError(f"{path}: ignore_colors is a list of colours, not {stated!r}")
    colors: list[Color] = []
    for value in cast(list[Any], stated or []):
        if (color := color_of(value)) is None:
            raise InputError(f"{path}: ignore_colors lists [R, G, B] each, not {value!r}")
        colors.append(color)
    return tuple(colors)
