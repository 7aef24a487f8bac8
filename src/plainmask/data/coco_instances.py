"""COCO instances: objects in pictures, which may overlap, outlined in one JSON file.

    ROOT/annotations/instances_SPLIT.json    {"images", "annotations", "categories"}
    ROOT/SPLIT/*.jpg

The places that COCO, LVIS and common exporters use are looked through; see `_JSON` and `_IMAGES`.
ROOT may also be the JSON file itself, and a file of any name will do where it is the only one.
COCO's own archives need not be unpacked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from plainmask.data.coco_json import (
    IMAGE_PLACES,
    Category,
    Flag,
    ImageSide,
    category_problems,
    category_vocabulary,
    class_of_category,
    own_categories,
    read_json,
    repeated,
)
from plainmask.data.coco_masks import Outline, has_outline, read_outlines
from plainmask.data.coco_pictures import find_pictures, home_of
from plainmask.data.files import find_file, find_splits, refuse, shortened
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.pictures.archive import entries
from plainmask.pictures.geometry import Size
from plainmask.pictures.images import read_image
from plainmask.vocabulary import Vocabulary

_JSON = (
    "annotations/instances_{split}.json",
    "annotations/instances_{split}.json.gz",
    "annotations/instances_{split}2017.json",
    "instances_{split}.json",
    "lvis_v1_{split}.json",
    "annotations/lvis_v1_{split}.json",
    "{split}/_annotations.coco.json",
    "annotations/{split}.json",
    "annotations_trainval2017.zip/annotations/instances_{split}2017.json",
    "{split}.json",
)
_IMAGES = (*IMAGE_PLACES, ".")
_LINE = 2
"""Pixels of the shorter side of a box below which an object may have no outline: COCO holds some
polygons of two points, and these are left out as published."""


@dataclass(frozen=True, slots=True)
class _Image:
    id: int | str
    file_name: str | None = None
    coco_url: str | None = None
    width: ImageSide = 0
    height: ImageSide = 0

    @property
    def name(self) -> str:
        """What the file calls the picture; LVIS states an address only."""
        return self.file_name or self.coco_url or ""

    @property
    def size(self) -> Size | None:
        """(H, W) as stated; None where it is not, or makes no sense."""
        return (self.height, self.width) if min(self.height, self.width) > 0 else None


@dataclass(frozen=True, slots=True)
class _Annotation:
    image_id: int | str
    category_id: int
    segmentation: Any = None
    iscrowd: Flag = False
    area: float | None = None
    id: int | str | None = None
    bbox: Any = None

    @property
    def is_line(self) -> bool:
        """Whether its box says that there is hardly an object."""
        match self.bbox:
            case [_, _, int() | float() as width, int() | float() as height]:
                return min(width, height) < _LINE
            case _:
                return False


@dataclass(frozen=True, slots=True)
class _File:
    images: tuple[_Image, ...]
    annotations: tuple[_Annotation, ...] | None = None
    categories: tuple[Category, ...] = ()

    def own_categories(self) -> tuple[Category, ...]:
        """The categories that are classes."""
        used = {annotation.category_id for annotation in self.annotations or ()}
        return own_categories(self.categories, used)


def read_coco_instances(
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the pictures in the order of the file; nothing is decoded yet.

    Objects keep the order of the file. Pictures without objects are listed, too: they count in
    evaluation. Those of a file without `annotations` are unlabelled. Stated boxes are not looked
    at, except to tell objects without an outline; stated areas are kept for metrics.

    Args:
        root: the folder of the data set, or the JSON file.
        split: such as train or val; the folders may also be called train2017 and so on. None: the
            only file there is.
        vocabulary: the classes; names that the file states decide, not its numbers. None: those
            that the file states.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: the JSON file, pictures or something in them is missing or wrong, or objects
            have no outline (one error for all of it). When a record is read: an outline is
            damaged, or sizes differ.
    """
    root = Path(root)
    path, content = _read(root, split)
    categories = content.own_categories()
    if vocabulary is None:
        vocabulary = category_vocabulary(categories, path)
    names = [image.name for image in content.images if image.name]
    places = [place.format(split=split or _split_of(path)) for place in _IMAGES]
    home, places = home_of(root, places)
    pictures = find_pictures(home, places, names, "pictures")
    class_of = class_of_category(categories, vocabulary)
    annotations = content.annotations or ()
    used = Counter(annotation.category_id for annotation in annotations)
    outlined = [has_outline(annotation.segmentation) for annotation in annotations]
    pairs = list(zip(annotations, outlined, strict=True))
    bare = [a for a, known in pairs if not known and not (a.segmentation and a.is_line)]
    found = [
        *_entry_problems(content),
        *repeated([pictures.ids[name] for name in names], "image name"),
        *category_problems(used, class_of, categories, vocabulary),
        *pictures.problems,
        *_without_outline(bare, content.images),
    ]
    rule = "these entries are wrong; correct them, or get the files again"
    refuse(path, rule, found, into=problems)
    annotations_of: dict[str, list[_Annotation]] = {}
    for annotation, known in pairs:
        if known and annotation.category_id in class_of:
            annotations_of.setdefault(str(annotation.image_id), []).append(annotation)
    strict = problems is not None
    return [
        _record(
            image,
            pictures.ids[image.name],
            pictures.paths[image.name],
            None if content.annotations is None else annotations_of.get(str(image.id), []),
            class_of,
            strict,
        )
        for image in content.images
        if image.name in pictures.paths
    ]


def coco_instances_splits(root: Path) -> list[str]:
    """The splits that annotation files are there for; none where ROOT is such a file."""
    clear = [place for place in _JSON if "instances_" in place or "_v1_" in place]
    clear += [place for place in _JSON if "_annotations" in place]
    usual = ("train", "val", "valid", "test")
    others = [split for split in find_splits(root, _JSON) if split in usual]
    return find_splits(root, clear) or others


def coco_instances_vocabulary(root: str | Path, split: str | None) -> Vocabulary:
    """The classes that the data set states, by ascending category id.

    Raises:
        InputError: the JSON file is missing or wrong.
    """
    path, content = _read(Path(root), split)
    return category_vocabulary(content.own_categories(), path)


def only_json(root: Path) -> list[Path]:
    """The JSON files in a folder or its `annotations`; an only one is the whole data set."""
    found = [
        path
        for folder in (root, root / "annotations")
        for path in entries(folder)
        if path.name.lower().endswith((".json", ".json.gz")) and not path.name.startswith(".")
    ]
    return [path for path in found if path.name != "classes.json"]


def _split_of(path: Path) -> str:
    """The split that the name of a file says."""
    names = [place.rpartition("/")[2] for place in _JSON]
    ways = [re.escape(name).replace(r"\{split\}", "(.+?)(?:2017)?") for name in names]
    found = (re.fullmatch(way, path.name) for way in ways if "(" in way)
    return next((match[1] for match in found if match), "train")


def _read(root: Path, split: str | None) -> tuple[Path, _File]:
    if root.is_file():
        path = root
    elif split is None:
        there = only_json(root)
        if len(there) != 1:
            names = shortened([str(path.relative_to(root)) for path in there], ", ") or "none"
            raise InputError(
                f"{root}: name a split, such as train or val, or give one of the JSON files "
                f"instead of the folder; there are {names}"
            )
        path = there[0]
    else:
        candidates = [place.format(split=split) for place in _JSON]
        path = find_file(root, candidates, "instance annotations")
    content = read_json(path, _File)
    if not content.images:
        raise InputError(f"{path} lists no images")
    return path, content


def _record(
    image: _Image,
    name: str,
    picture: Path,
    annotations: Sequence[_Annotation] | None,
    class_of: Mapping[int, int],
    strict: bool,
) -> Record:
    """The record of a picture; annotations None: it is not annotated."""
    load, classes = None, None
    if annotations is not None:
        outlines = tuple(
            Outline(
                annotation.segmentation,
                class_of[annotation.category_id],
                annotation.iscrowd,
                place,
                annotation.area,
                annotation.id,
            )
            for place, annotation in enumerate(annotations)
        )
        load = partial(read_outlines, outlines, image.size, picture, strict=strict)
        classes = frozenset(outline.class_id for outline in outlines if not outline.crowd)
    return Record(
        id=name,
        load_image=partial(read_image, picture),
        load_annotation=load,
        image_id=image.id,
        classes=classes,
        picture=picture,
    )


def _without_outline(bare: Sequence[_Annotation], images: Sequence[_Image]) -> list[str]:
    """At most one line: objects that nobody outlined would be learnt as background."""
    if not bare:
        return []
    names = {str(image.id): image.name for image in images}
    listed = [
        f"annotation {'without id' if entry.id is None else entry.id} "
        f"of {names.get(str(entry.image_id), entry.image_id)}"
        for entry in bare
    ]
    what = "object has" if len(bare) == 1 else "objects have"
    return [
        f"{len(bare)} {what} no outline in `segmentation`, only a box or nothing, and would be "
        f"learnt as background ({shortened(listed, ', ')}); outline or delete what is named, or go "
        "on without: plainmask data convert … --skip-problems"
    ]


def _entry_problems(content: _File) -> list[str]:
    known = {str(image.id) for image in content.images}
    problems = repeated([image.id for image in content.images], "image id")
    problems += [f"image {image.id} has no file_name" for image in content.images if not image.name]
    annotations = content.annotations or ()
    ids = [annotation.id for annotation in annotations if annotation.id is not None]
    problems += repeated(ids, "annotation id")
    return problems + [
        f"annotation {annotation.id} is of image {annotation.image_id}, which is unknown"
        for annotation in annotations
        if str(annotation.image_id) not in known
    ]
