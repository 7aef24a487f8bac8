"""COCO instances: objects in pictures, which may overlap, outlined in one JSON file.

    ROOT/annotations/instances_SPLIT.json    {"images", "annotations", "categories"}
    ROOT/SPLIT/*.jpg

The places that COCO and common exporters use are looked through; see `_JSON` and `_IMAGES`. COCO's
own archives need not be unpacked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from plainmask.data.coco_json import (
    IMAGE_PLACES,
    Category,
    category_problems,
    category_vocabulary,
    class_of_category,
    file_path,
    read_json,
    repeated,
)
from plainmask.data.coco_masks import Outline, Size, is_absent, read_outlines
from plainmask.data.files import file_problem, find_file, find_folder, find_splits, refuse
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.pictures.images import read_image
from plainmask.vocabulary import Vocabulary

_JSON = (
    "annotations/instances_{split}.json",
    "annotations/instances_{split}.json.gz",
    "annotations/instances_{split}2017.json",
    "instances_{split}.json",
    "{split}/_annotations.coco.json",
    "annotations/{split}.json",
    "annotations_trainval2017.zip/annotations/instances_{split}2017.json",
    "{split}.json",
)
_IMAGES = (*IMAGE_PLACES, ".")


@dataclass(frozen=True, slots=True)
class _Image:
    id: int | str
    file_name: str
    width: int = 0
    height: int = 0

    @property
    def size(self) -> Size | None:
        """(H, W) as stated; None where it is not, or makes no sense."""
        return (self.height, self.width) if min(self.height, self.width) > 0 else None


@dataclass(frozen=True, slots=True)
class _Annotation:
    image_id: int | str
    category_id: int
    segmentation: Any = None
    iscrowd: bool = False
    area: float | None = None
    id: int | str | None = None


@dataclass(frozen=True, slots=True)
class _File:
    images: tuple[_Image, ...]
    annotations: tuple[_Annotation, ...]
    categories: tuple[Category, ...] = ()


def read_coco_instances(
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the pictures in the order of the file; nothing is decoded yet.

    Objects keep the order of the file. Pictures without objects are listed, too: they count in
    evaluation. Stated boxes are not looked at, stated areas kept
    for metrics.

    Args:
        root: the folder of the data set.
        split: such as train or val; the folders may also be called train2017 and so on.
        vocabulary: the classes; names that the file states decide, not its numbers. None: those
            that the file states.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: the JSON file, pictures or something in them is missing or wrong (one error
            for all of it). When a record is read: an outline is damaged, or sizes differ.
    """
    root = Path(root)
    path, content = _read(root, split)
    if vocabulary is None:
        vocabulary = category_vocabulary(content.categories, path)
    names = [file_path(image.file_name) for image in content.images]
    places = [place.format(split=split) for place in _IMAGES]
    folder = find_folder(root, places, names, "pictures")
    class_of = class_of_category(content.categories, vocabulary)
    used = Counter(annotation.category_id for annotation in content.annotations)
    broken = {name: problem for name in names if (problem := file_problem(folder / name))}
    found = [
        *_entry_problems(content),
        *category_problems(used, class_of, content.categories, vocabulary),
        *broken.values(),
    ]
    rule = "these entries are wrong; correct them, or get the files again"
    refuse(path, rule, found, into=problems)
    annotations_of: dict[str, list[_Annotation]] = {}
    for annotation in content.annotations:
        if annotation.category_id in class_of:
            annotations_of.setdefault(str(annotation.image_id), []).append(annotation)
    strict = problems is not None
    return [
        _record(image, folder, annotations_of.get(str(image.id), []), class_of, strict)
        for image, name in zip(content.images, names, strict=True)
        if name not in broken
    ]


def coco_instances_splits(root: Path) -> list[str]:
    """The splits that annotation files are there for."""
    clear = [place for place in _JSON if "instances_" in place or "_annotations" in place]
    usual = ("train", "val", "valid", "test")
    others = [split for split in find_splits(root, _JSON) if split in usual]
    return find_splits(root, clear) or others


def coco_instances_vocabulary(root: str | Path, split: str | None) -> Vocabulary:
    """The classes that the data set states, by ascending category id.

    Raises:
        InputError: the JSON file is missing or wrong.
    """
    path, content = _read(Path(root), split)
    return category_vocabulary(content.categories, path)


def _read(root: Path, split: str | None) -> tuple[Path, _File]:
    if split is None:
        raise InputError(f"{root}: name a split, such as train or val")
    candidates = [place.format(split=split) for place in _JSON]
    path = find_file(root, candidates, "instance annotations")
    content = read_json(path, _File)
    if not content.images:
        raise InputError(f"{path} lists no images")
    return path, content


def _record(
    image: _Image,
    folder: Path,
    annotations: Sequence[_Annotation],
    class_of: Mapping[int, int],
    strict: bool,
) -> Record:
    name = file_path(image.file_name)
    outlines = tuple(
        Outline(
            annotation.segmentation,
            class_of[annotation.category_id],
            annotation.iscrowd,
            place,
            annotation.area,
        )
        for place, annotation in enumerate(annotations)
        if not is_absent(annotation.segmentation)
    )
    return Record(
        id=PurePosixPath(name).with_suffix("").as_posix(),
        load_image=partial(read_image, folder / name),
        load_segments=partial(read_outlines, outlines, image.size, folder / name, strict=strict),
        image_id=image.id,
        classes=frozenset(outline.class_id for outline in outlines if not outline.crowd),
        picture=folder / name,
    )


def _entry_problems(content: _File) -> list[str]:
    known = {str(image.id) for image in content.images}
    problems = repeated([image.id for image in content.images], "image id")
    stems = [file_path(image.file_name).rpartition(".")[0] for image in content.images]
    problems += repeated(stems, "image name")
    ids = [annotation.id for annotation in content.annotations if annotation.id is not None]
    problems += repeated(ids, "annotation id")
    return problems + [
        f"annotation {annotation.id} is of image {annotation.image_id}, which is unknown"
        for annotation in content.annotations
        if str(annotation.image_id) not in known
    ]
