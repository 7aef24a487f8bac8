"""Label files that say for each pixel of which class it is, by a number or by a colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from plainmask.data.files import shortened
from plainmask.data.record import NO_SEGMENT, Annotation
from plainmask.errors import InputError
from plainmask.pictures.images import image_size, label_form, read_label
from plainmask.vocabulary import Color, Vocabulary


@dataclass(frozen=True)
class LabelTable:
    """What the values, or the colours, of label files stand for: class ids, -1 for ignored ones."""

    values: Mapping[int, int]
    colors: Mapping[int, int] | None = None
    """By R + 256 G + 65536 B. None: two classes have one colour, or colours are not known."""

    @classmethod
    def of(cls, vocabulary: Vocabulary, ignored_colors: tuple[Color, ...] = ()) -> Self:
        """The table of a vocabulary.

        Args:
            vocabulary: its file ids, ignored values and colours.
            ignored_colors: RGB.
        """
        values = vocabulary.by_file_id | dict.fromkeys(vocabulary.ignore_values, NO_SEGMENT)
        colors = {pack(color): NO_SEGMENT for color in ignored_colors}
        colors |= {pack(entry.color): entry.id for entry in vocabulary.classes}
        is_clear = len(colors) == len(vocabulary) + len(set(ignored_colors))
        return cls(values, colors if is_clear else None)


def pack(color: Color) -> int:
    """R + 256 G + 65536 B."""
    red, green, blue = color
    return red + 256 * green + 65536 * blue


def read_semantic_label(
    label_path: Path,
    image_path: Path,
    table: LabelTable | Mapping[int, int],
    *,
    strict: bool = False,
) -> Annotation:
    """Read a label file of classes as segments, one per class that is present.

    The file decides what it holds: three channels are colours, one is numbers. A class is one
    object in all frames of a video: its id is the track id, too.

    Args:
        label_path: the label file.
        image_path: its picture, whose size the segments get.
        table: what may stand in the file; a mapping is of values only.
        strict: whether a label of another size than its picture is an error.

    Raises:
        InputError: a file cannot be read, or the label holds a value or colour without a class.
    """
    classes = class_map(label_path, image_path, table, strict=strict)
    present = np.unique(classes[classes != NO_SEGMENT])
    index_map = np.where(classes == NO_SEGMENT, NO_SEGMENT, np.searchsorted(present, classes))
    return Annotation.of_map(index_map.astype(np.int32), present, track_ids=present)


def class_map(
    label_path: Path,
    image_path: Path,
    table: LabelTable | Mapping[int, int],
    *,
    strict: bool = False,
) -> NDArray[np.int64]:
    """(H, W) class ids of a label file, -1 for ignored pixels; arguments as above.

    Where a palette shows the colours of the table at other numbers than the table has them, an
    editor has sorted it anew, and colours decide. White is 255 in a file of one bit.
    """
    table = table if isinstance(table, LabelTable) else LabelTable(table)
    form = label_form(label_path)
    is_colored = table.colors is not None and form.colors
    size = image_size(image_path)
    label = read_label(label_path, size, colors=is_colored, resize=not strict)
    if table.colors is not None and form.palette is not None:
        palette = np.array(form.palette, np.int32)
        is_colored = _is_sorted_anew(
            label_path, np.unique(label), palette, table.values, table.colors
        )
        label = palette[label] if is_colored else label
    if form.one_bit and 1 not in table.values and 255 in table.values:
        label = label * 255
    class_of = table.values if table.colors is None or not is_colored else table.colors
    values, counts = np.unique(label, return_counts=True)
    unknown = [
        f"{_shown(value, is_colored)} ({count} pixels)"
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        if value not in class_of
    ]
    if unknown:
        raise InputError(
            f"{label_path}: label {'colour' if is_colored else 'value'} "
            f"{shortened(unknown, ', ')} is neither a class nor ignored; add it to the class table "
            f"or what it ignores, or correct the file{_hint(values) if is_colored else ''}"
        )
    classes = np.array([class_of[value] for value in values.tolist()], np.int64)
    return classes[np.searchsorted(values, label)]


def _is_sorted_anew(
    path: Path,
    used: NDArray[np.int32],
    palette: NDArray[np.int32],
    values: Mapping[int, int],
    colors: Mapping[int, int],
) -> bool:
    """Whether the colours of a palette say otherwise than its numbers, so that colours decide.

    Args:
        path: of the label file.
        used: the numbers that occur in it.
        palette: the colour of each number.
        values: class of each number.
        colors: class of each colour.

    Raises:
        InputError: they do, but some of them are no colours of the table.
    """
    if used.max() >= len(palette):
        return False
    told = {number: colors.get(int(palette[number])) for number in used.tolist()}
    # Palettes are filled up with black, which then also stands where its number is that of black.
    agreed = {
        color
        for number, color in enumerate(palette.tolist())
        if color in colors and values.get(number) == colors[color]
    }
    wrong = [
        number
        for number, own in told.items()
        if own not in (None, values.get(number)) and int(palette[number]) not in agreed
    ]
    if not wrong:
        return False
    if None not in told.values():
        return True
    raise InputError(
        f"{path}: its palette gives the number {wrong[0]} the colour "
        f"{_shown(int(palette[wrong[0]]), True)}, which the class table has for another class, so "
        "numbers and colours disagree; save it in the colours of the table, or without a palette"
    )


def _shown(value: int, is_color: bool) -> str:
    return str((value & 255, value >> 8 & 255, value >> 16)) if is_color else str(value)


def _hint(colors: NDArray[np.int32]) -> str:
    """What else may be wrong with a file whose colours are unknown."""
    if all(red == green == blue for red, green, blue in _channels(colors)):
        return ". All its colours are grey: if these are class numbers, save it with one channel"
    return ""


def _channels(colors: NDArray[np.int32]) -> list[Color]:
    return [(color & 255, color >> 8 & 255, color >> 16) for color in colors.tolist()]
