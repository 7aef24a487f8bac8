"""Results of images in the official forms: written while a head is evaluated, and read again.

FOLDER/instances.json                    COCO: a list of {image_id, category_id, segmentation,
                                         score}; no boxes, which would decide on sizes
FOLDER/panoptic.json, FOLDER/panoptic/   COCO: segments of each picture, and PNGs of their ids
FOLDER/labels/NAME.png                   one channel: the classes' numbers in the data set
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from plainmask import __version__
from plainmask.atomic import LIST_MARK, check_replaceable, write_result
from plainmask.data.coco_json import read_json, repeated
from plainmask.data.coco_masks import read_rle
from plainmask.data.coco_panoptic import PanopticAnnotation
from plainmask.data.files import natural_key, refuse
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.metrics.instance_ap import Instance
from plainmask.pictures.geometry import Size
from plainmask.pictures.images import read_label
from plainmask.result_files.panoptic_maps import PanopticFrame, panoptic_segments
from plainmask.result_files.scored import entry_problems
from plainmask.results import IGNORE, InstanceResult, Result, SemanticResult
from plainmask.results.formats import png_bytes
from plainmask.results.rle import Rle
from plainmask.vocabulary import Vocabulary


@dataclass(frozen=True)
class ResultWriter:
    """Writes the results of a data set into a folder; JSON rows come back and go in at the end.

    Raises:
        InputError: a file in the folder that is no result of plainmask would be lost.
    """

    folder: Path

    def __post_init__(self) -> None:
        for name in ("instances.json", "panoptic.json"):  # refused before the work
            check_replaceable(self.folder / name)

    def write(self, record: Record, result: Result) -> list[dict[str, Any]]:
        """Write what belongs to one picture; the rows that it adds to the JSON file.

        Raises:
            InputError: the folder cannot be written, or holds another file of this name.
        """
        name = f"{record.id}.png"
        if isinstance(result, SemanticResult):
            picture = label_picture(result)
            write_result(self.folder / "labels" / name, png_bytes(picture))
            return []
        if isinstance(result, InstanceResult):
            rows = result.candidates.to_coco(image_name(record))
            return [{key: row[key] for key in row if key != "bbox"} for row in rows]
        colors, infos = result.to_panoptic()
        flat_name = name.replace("/", "%2F")  # the official script takes no folders
        write_result(self.folder / "panoptic" / flat_name, png_bytes(Image.fromarray(colors)))
        segments = [{"id": info["id"], "category_id": info["category_id"]} for info in infos]
        return [{"image_id": image_name(record), "file_name": flat_name, "segments_info": segments}]

    def finish(self, task: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write the JSON file of a task that has one."""
        if task == "instance":
            write_result(self.folder / "instances.json", LIST_MARK + json.dumps(rows).encode()[1:])
        elif task == "panoptic":
            content = json.dumps({"plainmask": __version__, "annotations": rows})
            write_result(self.folder / "panoptic.json", content.encode())


def in_official_order(records: Sequence[Record]) -> list[Record]:
    """By ascending names in JSON files: of equal scores the first counts in the official tools."""
    return sorted(records, key=lambda record: natural_key(str(image_name(record))))


def image_name(record: Record) -> int | str:
    """What JSON files call a picture."""
    return record.id if record.image_id is None else record.image_id


def label_picture(result: SemanticResult) -> Image.Image:
    """The classes' numbers in the data set's files, 8 bits a pixel where that is enough.

    No class becomes 255, or 65535 in 16 bits.

    Raises:
        InputError: a number is larger.
    """
    numbers = [entry.file_id for entry in result.vocabulary.classes]
    for kind in (np.uint8, np.uint16):
        nothing = int(np.iinfo(kind).max)
        if max(numbers) < nothing:
            return Image.fromarray(np.array([*numbers, nothing], kind)[result.label_map])
    raise InputError(
        f"a class has the number {max(numbers)} in its data set; label PNGs hold up to 65534"
    )


@dataclass(frozen=True, slots=True)
class _Detection:
    image_id: int | str
    category_id: int
    score: float
    segmentation: Any


@dataclass(frozen=True, slots=True)
class _PanopticFile:
    annotations: tuple[PanopticAnnotation, ...]


def read_instance_results(
    paths: Sequence[Path], records: Sequence[Record], vocabulary: Vocabulary
) -> dict[str, list[_Detection]]:
    """Read COCO result files, which together are one result.

    Returns:
        the entries of each picture that has any, by its name in JSON files.

    Raises:
        InputError: a file is no such result, or does not fit the data set.
    """
    known = {str(image_name(record)) for record in records}
    found: dict[str, list[_Detection]] = {}
    for path in paths:
        problems: list[str] = []
        for place, entry in enumerate(read_json(path, list[_Detection])):
            if str(entry.image_id) not in known:
                problems.append(f"entry {place} is of image {entry.image_id}, which is unknown")
            problems += entry_problems(place, entry.category_id, entry.score, vocabulary)
            found.setdefault(str(entry.image_id), []).append(entry)
        refuse(path, "these results do not fit the annotation", problems)
    return found


def instances_of(
    entries: Sequence[_Detection], size: Size, vocabulary: Vocabulary
) -> list[Instance]:
    """The entries of one picture as the metric takes them.

    Raises:
        InputError: a mask is damaged or of another size.
    """
    empty = Rle.encode(np.zeros(size, np.bool_))
    return [
        Instance(
            vocabulary.by_file_id[entry.category_id],
            read_rle(entry.segmentation, size) or empty,
            entry.score,
        )
        for entry in entries
    ]


def read_panoptic_images(
    path: Path, folder: Path, records: Sequence[Record], vocabulary: Vocabulary
) -> Mapping[str, PanopticFrame]:
    """Read a COCO panoptic result: of each picture its PNG in the folder, and its table.

    Raises:
        InputError: the file is no such result, lacks pictures, or does not fit the data set.
    """
    known = {str(image_name(record)) for record in records}
    content = read_json(path, _PanopticFile).annotations
    listed = {str(entry.image_id) for entry in content}
    problems = repeated([entry.image_id for entry in content], "annotation of image")
    problems += [f"image {name} has no entry" for name in sorted(known - listed)]
    problems += [f"image {name} is unknown" for name in sorted(listed - known)]
    found: dict[str, PanopticFrame] = {}
    for entry in content:
        png = folder / entry.file_name
        if not png.is_file():
            problems.append(f"{png} is not there")
        what = f"image {entry.image_id}"
        segments, wrong = panoptic_segments(entry.segments_info, what, vocabulary)
        problems += wrong
        found[str(entry.image_id)] = PanopticFrame(png, segments)
    refuse(path, "these results do not fit the annotation", problems)
    return found


def read_label_picture(path: Path, size: Size, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """(H, W) class ids of a semantic result, `IGNORE` where a value is no class.

    Raises:
        InputError: it cannot be read or has another size.
    """
    values = read_label(path)
    if values.shape != size:
        raise InputError(f"{path} is {values.shape} high and wide, its picture {size}")
    table = np.full(int(max(values.max(initial=0), *vocabulary.by_file_id)) + 1, IGNORE, np.int64)
    for number, class_id in vocabulary.by_file_id.items():
        table[number] = class_id
    return table[values]
