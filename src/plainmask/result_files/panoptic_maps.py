"""Pictures of segment ids with their tables, of COCO's panoptic form, as metrics take them.

NAME.png    id = R + 256 G + 65536 B, 0 for none
table       "segments_info": [{"id", "category_id"}]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plainmask.data.coco_panoptic import SegmentInfo, id_problems, read_color_ids
from plainmask.errors import InputError
from plainmask.metrics.panoptic_map import PanopticMap, PanopticSegment
from plainmask.vocabulary import Vocabulary


class PanopticFrame(NamedTuple):
    """One picture, not decoded yet."""

    png_path: Path
    segments: tuple[PanopticSegment, ...]
    """In the order of the file."""


def panoptic_segments(
    infos: Sequence[SegmentInfo], where: str, vocabulary: Vocabulary, *, annotation: bool = False
) -> tuple[tuple[PanopticSegment, ...], list[str]]:
    """The segments that a file lists for a picture, and one line for each that is wrong.

    An id may be listed several times for one class, as some tools do for stuff.

    Args:
        infos: as the file lists them.
        where: names the picture.
        vocabulary: the classes, with categories as file ids.
        annotation: whether stated areas and crowds count. A result is measured by its pixels, and
            knows no crowds.
    """
    class_of = vocabulary.by_file_id
    segments: dict[int, PanopticSegment] = {}
    problems = id_problems(where, infos)
    for info in infos:
        class_id = class_of.get(info.category_id)
        if class_id is None:
            problems.append(f"{where}: category {info.category_id} of segment {info.id} is unknown")
            continue
        area = int(info.area) if annotation and info.area is not None else None
        before = segments.get(info.id)
        if before is not None:
            area = None if area is None or before.area is None else before.area + area
            if before.class_id != class_id:
                problems.append(f"{where}: segment {info.id} is listed for two categories")
        segments[info.id] = PanopticSegment(info.id, class_id, annotation and info.iscrowd, area)
    return tuple(segments.values()), problems


def read_target_map(frame: PanopticFrame) -> PanopticMap:
    """Decode a frame of the annotation; ids that are not listed are void.

    Raises:
        InputError: the PNG cannot be read.
    """
    return PanopticMap.from_ids(
        read_color_ids(frame.png_path), frame.segments, others_are_void=True
    )


def read_result_map(frame: PanopticFrame, size: tuple[int, int]) -> PanopticMap:
    """Decode a frame of a result.

    Args:
        frame: the frame.
        size: (H, W) of the annotation.

    Raises:
        InputError: the PNG cannot be read, has another size, or does not hold the very ids that
            are listed for it.
    """
    ids = read_color_ids(frame.png_path)
    if ids.shape != size:
        raise InputError(
            f"{frame.png_path} is {ids.shape} high and wide, the annotation {size}; save results "
            "in the size of the annotation"
        )
    try:
        found = PanopticMap.from_ids(ids, frame.segments)
    except InputError as cause:
        raise InputError(f"{frame.png_path}: {cause}") from cause
    absent = found.ids[found.areas == 0]
    if absent.size:
        raise InputError(
            f"{frame.png_path}: the JSON file lists the id {absent[0]} for it, which no pixel has; "
            "list only segments that can be seen in the frame"
        )
    return found
