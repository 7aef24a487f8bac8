"""ADE20K as the SceneParse150 benchmark has it: 150 classes, 100 of them things.

    ADEChallengeData2016/images/training/ADE_train_00000001.jpg
    ADEChallengeData2016/annotations/training/ADE_train_00000001.png    0 ignored, 1..150 = class
    annotations_instance/training/ADE_train_00000001.png      R = number of the class, G = object

The last is needed for things only. The root is the folder that holds these two, or the first of
them; each may still be a zip archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from plainmask.data.files import file_problem, pictures_by_stem, refuse
from plainmask.data.labels import LabelTable, class_map, read_semantic_label
from plainmask.data.record import NO_SEGMENT, Annotation, Record
from plainmask.errors import InputError
from plainmask.pictures.archive import is_folder
from plainmask.pictures.images import image_size, read_image, read_label
from plainmask.vocabulary import Vocabulary, ade20k_instance_ids

_PLACES = (".", "ADEChallengeData2016", "ADEChallengeData2016.zip/ADEChallengeData2016")
_OBJECT_PLACES = ("annotations_instance", "annotations_instance.zip/annotations_instance")
_SPLITS = {"train": "training", "val": "validation"}
_SHIFTED = "annotations_detectron2"


def read_ade20k(
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    objects: bool = False,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the pictures by name; nothing is decoded yet.

    Args:
        root: see the top.
        split: train or val; training or validation are the same.
        vocabulary: the classes, with label values as file ids. None: the built-in ones.
        objects: read panoptic data: stuff from the labels, things from the instance files, which
            lie on top. Things without an object are void.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: a folder is missing, or files do not pair up (one error for all of them). When
            a record is read: a value without a class, such as those of labels that were shifted
            for another tool.
    """
    root = Path(root)
    name = _SPLITS.get(split or "", split)
    if name is None or name not in _SPLITS.values():
        raise InputError(f"{root}: name a split, train or val, not {split!r}")
    home = _home(root)
    if vocabulary is None:
        vocabulary = Vocabulary.load("ade20k_panoptic" if objects else "ade20k_semantic")
    images = pictures_by_stem(home / "images" / name)
    labels = pictures_by_stem(home / "annotations" / name)
    others = pictures_by_stem(_object_folder(root, home) / name) if objects else labels
    whole = images.keys() & labels.keys() & others.keys()
    found = [f"{name}/{stem} has no label" for stem in images if stem not in labels]
    found += [f"{name}/{stem} has no image" for stem in labels if stem not in images]
    if objects:
        found += [f"{name}/{stem} has no instance file" for stem in images if stem not in others]
    files = [files[stem][0] for stem in sorted(whole) for files in (images, labels, others)]
    broken = {path: problem for path in dict.fromkeys(files) if (problem := file_problem(path))}
    found += broken.values() if images or labels else [f"there are no files in {name}"]
    refuse(home, "every image needs its label; get the files again", found, into=problems)
    table = LabelTable.of(vocabulary)
    class_of_number = {
        number: table.values[value]
        for number, value in ade20k_instance_ids().items()
        if value in table.values
    }
    things = frozenset(class_of_number.values())
    records: list[Record] = []
    for stem in sorted(whole):
        image, label, other = images[stem][0], labels[stem][0], others[stem][0]
        if not broken.keys().isdisjoint((image, label, other)):
            continue
        load = partial(_read_label, label, image, table, strict=problems is not None)
        if objects:
            load = partial(read_ade20k_objects, label, other, image, table, class_of_number, things)
        load_image = partial(read_image, image)
        records.append(Record(id=stem, load_image=load_image, load_annotation=load, picture=image))
    return records


def ade20k_splits(root: Path) -> list[str]:
    """The splits that are there."""
    home = _home(root)
    return [split for split, name in _SPLITS.items() if is_folder(home / "images" / name)]


def looks_like_ade20k(root: Path) -> bool:
    """Whether its folders are there, be it with labels shifted for another tool."""
    return any(
        is_folder(root / place / labels / "training")
        for place in _PLACES
        for labels in ("annotations", _SHIFTED)
    )


def has_ade20k_objects(root: Path) -> bool:
    """Whether the instance files are there."""
    return any(is_folder(root / place) for place in _OBJECT_PLACES)


def read_ade20k_objects(
    label_path: Path,
    object_path: Path,
    image_path: Path,
    table: LabelTable,
    class_of_number: Mapping[int, int],
    things: frozenset[int],
) -> Annotation:
    """Panoptic segments from a label file and an instance file; things lie on top.

    Args:
        label_path: of classes.
        object_path: of objects: R is the class, G the number of the object.
        image_path: the picture, whose size the segments get.
        table: of the label file.
        class_of_number: class of each number that R may be.
        things: classes that are void where there is no object.

    Raises:
        InputError: a file cannot be read or holds what it should not.
    """
    classes = class_map(label_path, image_path, table)
    stuff = (classes != NO_SEGMENT) & ~np.isin(classes, list(things))
    packed = read_label(object_path, image_size(image_path), colors=True)
    red, green = packed & 255, packed >> 8 & 255
    # Things are called R + 256 G, stuff, above them, by its class.
    ids = np.where(stuff, (1 << 16) + classes, NO_SEGMENT)
    ids = np.where(green > 0, packed & 0xFFFF, ids)
    numbers, index_map = np.unique(ids, return_inverse=True)
    index_map = index_map.reshape(ids.shape).astype(np.int32) - int(NO_SEGMENT in numbers)
    numbers = numbers[numbers != NO_SEGMENT]
    unknown = sorted({int(value) for value in np.unique(red[green > 0])} - class_of_number.keys())
    if unknown:
        raise InputError(
            f"{object_path}: its red channel holds {unknown}, which is no class of ADE20K's "
            "instance files (1..100); get the file again"
        )
    found = [
        number - (1 << 16) if number >= 1 << 16 else class_of_number[number & 255]
        for number in numbers.tolist()
    ]
    return Annotation.of_map(index_map, found, track_ids=numbers)


def _read_label(
    label_path: Path, image_path: Path, table: LabelTable | Mapping[int, int], *, strict: bool
) -> Annotation:
    """A label; with a hint where it was shifted for another tool."""
    try:
        return read_semantic_label(label_path, image_path, table, strict=strict)
    except InputError as cause:
        if "label value" not in str(cause) or "255 (" not in str(cause):
            raise
        raise InputError(
            f"{cause}. ADE20K's own labels hold 0..150 and no 255: this one was shifted for "
            f"another tool (as in {_SHIFTED}); use the files of ADEChallengeData2016/annotations"
        ) from cause


def _home(root: Path) -> Path:
    """The folder of images and annotations."""
    for place in _PLACES:
        if is_folder(root / place / "images") and is_folder(root / place / "annotations"):
            return root / place
        if is_folder(root / place / _SHIFTED):
            raise InputError(
                f"{root / place} holds {_SHIFTED} without annotations: labels that were shifted "
                "for another tool (0..149, 255 for void). Use the annotations as published"
            )
    raise InputError(
        f"{root} holds no folders images and annotations of ADE20K, looked for in "
        f"{', '.join(_PLACES)}; get ADEChallengeData2016.zip, which need not be unpacked"
    )


def _object_folder(root: Path, home: Path) -> Path:
    for folder in (root, home, home.parent):
        for place in _OBJECT_PLACES:
            if is_folder(folder / place):
                return folder / place
    hint = (
        " (unpack annotations_instance.tar)" if (root / "annotations_instance.tar").exists() else ""
    )
    raise InputError(
        f"{root} holds no annotations_instance, which says where ADE20K's objects are{hint}; "
        "without it the format ade20k reads classes"
    )
