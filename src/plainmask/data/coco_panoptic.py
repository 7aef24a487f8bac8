"""COCO panoptic: every pixel belongs to a thing or to stuff; PNGs of segment ids and a JSON file.

    ROOT/annotations/panoptic_SPLIT.json     {"images", "annotations", "categories"}
    ROOT/annotations/panoptic_SPLIT/*.png    id = R + 256 G + 65536 B, 0 for none
    ROOT/SPLIT/*.jpg

The places that COCO is unpacked to are looked through; see `_JSON`, `_MAPS` and `IMAGE_PLACES`. Its
own archives need not be unpacked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plainmask.data.coco_json import (
    IMAGE_PLACES,
    Category,
    Flag,
    category_problems,
    category_vocabulary,
    class_of_category,
    own_categories,
    read_json,
    repeated,
)
from plainmask.data.coco_pictures import find_pictures, readings
from plainmask.data.files import (
    existing,
    file_problem,
    find_file,
    find_folder,
    find_splits,
    refuse,
)
from plainmask.data.record import NO_SEGMENT, Annotation, Record
from plainmask.errors import InputError
from plainmask.pictures.images import image_size, read_image, read_label
from plainmask.vocabulary import Vocabulary

_JSON = (
    "annotations/panoptic_{split}.json",
    "annotations/panoptic_{split}2017.json",
    "panoptic_{split}.json",
    "panoptic_{split}2017.json",
    "panoptic_annotations_trainval2017.zip/annotations/panoptic_{split}2017.json",
)
_MAPS = (
    "annotations/{name}",
    "{name}",
    "annotations/{name}/{name}",
    "annotations/{name}.zip/{name}",
    "panoptic_annotations_trainval2017.zip/annotations/{name}.zip/{name}",
)


_MAX_ID = 256**3 - 1
"""The largest id that a colour can hold."""


class PanopticRow(NamedTuple):
    """One segment that a file lists for a picture."""

    segment_id: int
    class_id: int
    crowd: bool


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One entry of `segments_info`."""

    id: int
    category_id: int
    iscrowd: Flag = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class PanopticImage:
    """One entry of `images`."""

    id: int | str
    file_name: str


@dataclass(frozen=True, slots=True)
class PanopticAnnotation:
    """One entry of `annotations`: one picture."""

    image_id: int | str
    file_name: str
    segments_info: tuple[SegmentInfo, ...]


@dataclass(frozen=True, slots=True)
class PanopticFile:
    """What is read of the JSON file."""

    images: tuple[PanopticImage, ...]
    annotations: tuple[PanopticAnnotation, ...]
    categories: tuple[Category, ...] = ()

    def own_categories(self) -> tuple[Category, ...]:
        """The categories that are classes."""
        used = {info.category_id for entry in self.annotations for info in entry.segments_info}
        return own_categories(self.categories, used)


def read_coco_panoptic(
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the pictures in the order of the file; nothing is decoded yet.

    Args:
        root: the folder of the data set.
        split: such as train or val; the folders may also be called train2017 and so on.
        vocabulary: the classes; names that the file states decide, not its numbers. None: those
            that the file states.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: the JSON file, pictures, PNGs or something in them is missing or wrong (one
            error for all of it). When a record is read: a PNG that does not belong to its picture.
    """
    root = Path(root)
    path, content = _read(root, split)
    places = [place.format(split=split) for place in IMAGE_PLACES]
    names = [image.file_name for image in content.images]
    images = find_pictures(root, places, names, "pictures")
    places = [place.format(name=path.stem) for place in _MAPS]
    png_names = [annotation.file_name for annotation in content.annotations]
    maps = find_folder(root, places, png_names, "panoptic PNGs")
    pictures = {
        str(image.id): (images.ids[image.file_name], images.paths.get(image.file_name))
        for image in content.images
    }
    found = repeated([image.id for image in content.images], "image id")
    found += repeated([images.ids[name] for name in names], "image name")
    return panoptic_records(
        path,
        content,
        pictures,
        maps,
        category_vocabulary(content.own_categories(), path) if vocabulary is None else vocabulary,
        [*found, *images.problems],
        problems=problems,
    )


def panoptic_records(
    path: Path,
    content: PanopticFile,
    pictures: Mapping[str, tuple[str, Path | None]],
    maps: Path,
    vocabulary: Vocabulary,
    found: Sequence[str] = (),
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the annotated pictures of a JSON file whose files have been found.

    Args:
        path: of the JSON file.
        content: of it.
        pictures: name and file of each picture, by its id as text; None: it cannot be used.
        maps: the folder of the PNGs.
        vocabulary: the classes.
        found: what is known to be wrong.
        problems: as in `read_dataset`.

    Raises:
        InputError: something is wrong.
    """
    categories = content.own_categories()
    class_of = class_of_category(categories, vocabulary)
    used = Counter(
        info.category_id for entry in content.annotations for info in entry.segments_info
    )
    files = [picture for _, picture in pictures.values() if picture is not None]
    pngs = [_png(maps, entry.file_name) for entry in content.annotations]
    broken = {file: problem for file in [*files, *pngs] if (problem := file_problem(file))}
    found = [
        *found,
        *_entry_problems(content, pictures.keys()),
        *category_problems(used, class_of, categories, vocabulary),
        *broken.values(),
    ]
    rule = "these entries are wrong; correct them, or get the files again"
    refuse(path, rule, found, into=problems)
    records: list[Record] = []
    for entry, png in zip(content.annotations, pngs, strict=True):
        name, picture = pictures.get(str(entry.image_id), ("", None))
        if picture is None or picture in broken or png in broken:
            continue
        rows = [
            PanopticRow(info.id, class_of[info.category_id], info.iscrowd)
            for info in entry.segments_info
            if info.category_id in class_of and 0 < info.id <= _MAX_ID
        ]
        load = partial(read_panoptic_map, png, picture, rows, strict=problems is not None)
        records.append(
            Record(
                id=name,
                load_image=partial(read_image, picture),
                load_annotation=load,
                image_id=entry.image_id,
                classes=frozenset(row.class_id for row in rows if not row.crowd),
                picture=picture,
            )
        )
    return records


def coco_panoptic_splits(root: Path) -> list[str]:
    """The splits that annotation files are there for."""
    return find_splits(root, _JSON)


def coco_panoptic_vocabulary(root: str | Path, split: str | None) -> Vocabulary:
    """The classes that the data set states, by ascending category id.

    Raises:
        InputError: the JSON file is missing or wrong.
    """
    path, content = _read(Path(root), split)
    return category_vocabulary(content.own_categories(), path)


def read_panoptic_map(
    png_path: Path,
    image_path: Path,
    rows: Sequence[PanopticRow],
    *,
    strict: bool = False,
) -> Annotation:
    """Read a PNG of segment ids; segment ids are the track ids.

    Ids that are not listed are void; segments without a pixel are left out.

    Args:
        png_path: the PNG.
        image_path: its picture, which must be of the same size.
        rows: the segments that are listed for it.
        strict: whether ids but 0 that are not listed, and listed ones without pixels, are errors.

    Raises:
        InputError: a file cannot be read, sizes differ, or none of the listed ids is in the PNG.
    """
    ids, size = read_color_ids(png_path), image_size(image_path)
    if ids.shape != size:
        raise InputError(
            f"{png_path} is {ids.shape} high and wide, its picture {image_path} {size}; use the "
            "pictures that belong to it, of the same resolution"
        )
    rows = sorted(rows)
    listed = np.array([row.segment_id for row in rows], np.int32)
    place = np.searchsorted(listed, ids).clip(max=max(0, len(listed) - 1))
    found = listed[place] == ids if len(listed) else np.zeros(size, np.bool_)
    present = np.bincount(place[found], minlength=len(listed)) > 0
    if len(listed) and not present.any():
        raise InputError(
            f"{png_path} holds none of the {len(listed)} segment ids that are listed for it, such "
            f"as {listed[0]}; it belongs to another file, or its colours were changed"
        )
    if strict:
        _refuse_strays(png_path, np.unique(ids[~found]), listed[~present])
    numbers = np.append(np.where(present, np.cumsum(present) - 1, NO_SEGMENT), NO_SEGMENT)
    index_map = numbers[np.where(found, place, -1)].astype(np.int32)
    chosen = [row for row, keep in zip(rows, present.tolist(), strict=True) if keep]
    return Annotation.of_map(
        index_map,
        [row.class_id for row in chosen],
        [row.crowd for row in chosen],
        [row.segment_id for row in chosen],
    )


def _refuse_strays(path: Path, unlisted: NDArray[np.int32], unseen: NDArray[np.int32]) -> None:
    """Raise one error for ids of a PNG that are not listed, and for listed ones that it lacks."""
    problems = [f"segment id {stray} is not in segments_info" for stray in unlisted if stray]
    problems += [f"segment id {stray} has no pixels" for stray in unseen]
    refuse(path, "its ids must be those of its segments_info, and 0 for none", problems)


def read_color_ids(path: Path) -> NDArray[np.int32]:
    """(H, W) int32 ids that a PNG holds as colours: R + 256 G + 65536 B.

    Raises:
        InputError: it cannot be read, or its name is not that of a PNG.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: segment ids are kept in PNG files; others change colours")
    return read_label(path, colors=True)


def repeated_segments(name: str, infos: Sequence[SegmentInfo]) -> list[str]:
    """One line per segment id that is listed twice for a picture or is none."""
    return repeated([info.id for info in infos], f"{name}: segment id") + id_problems(name, infos)


def id_problems(name: str, infos: Sequence[SegmentInfo]) -> list[str]:
    """One line per segment of a picture whose id is none."""
    return [
        f"{name}: segment id {info.id} is no id, which are 1..{_MAX_ID}"
        for info in infos
        if not 0 < info.id <= _MAX_ID
    ]


def _png(maps: Path, name: str) -> Path:
    """The PNG of a name, which may not lead out of the folder."""
    return existing(maps, readings(name))


def _read(root: Path, split: str | None) -> tuple[Path, PanopticFile]:
    if split is None:
        raise InputError(f"{root}: name a split, such as train or val")
    candidates = [place.format(split=split) for place in _JSON]
    path = find_file(root, candidates, "panoptic annotations")
    return path, read_panoptic_json(path)


def read_panoptic_json(path: Path) -> PanopticFile:
    """Read the JSON file.

    Raises:
        InputError: it cannot be read or lists nothing.
    """
    content = read_json(path, PanopticFile)
    if not content.annotations:
        raise InputError(f"{path} lists no annotations")
    return content


def _entry_problems(content: PanopticFile, known: Collection[str]) -> list[str]:
    problems = repeated([entry.image_id for entry in content.annotations], "annotation of image")
    problems += [
        f"annotation {entry.file_name} is of image {entry.image_id}, which is unknown"
        for entry in content.annotations
        if str(entry.image_id) not in known
    ]
    for entry in content.annotations:
        problems += repeated_segments(entry.file_name, entry.segments_info)
    return problems
