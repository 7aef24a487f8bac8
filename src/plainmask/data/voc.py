"""PASCAL VOC, segmentation: 20 classes and background; palette files of classes and of objects.

    ROOT/JPEGImages/NAME.jpg
    ROOT/SegmentationClass/NAME.png      class: 0 background, 1..20, 255 border
    ROOT/SegmentationObject/NAME.png     number of the object
    ROOT/ImageSets/Segmentation/SPLIT.txt    one name a line

ROOT may also be the folder that holds VOCdevkit or VOC2012. The list trainaug is read with
SegmentationClassAug (SBD).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from plainmask.data.files import file_problem, find_file, find_splits, refuse
from plainmask.data.labels import LabelTable, class_map, read_semantic_label
from plainmask.data.record import NO_SEGMENT, Record, Segments
from plainmask.errors import InputError
from plainmask.pictures.images import image_size, read_image, read_label
from plainmask.vocabulary import Vocabulary

_PLACES = (".", "VOC2012", "VOCdevkit/VOC2012", "VOC2007", "VOCdevkit/VOC2007")
_BACKGROUND, _BORDER = 0, 255
_BORDER_COLOR = (224, 224, 192)


def read_voc(
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    objects: bool = False,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the pictures of a split in the order of its file; nothing is decoded yet.

    Args:
        root: see the top.
        split: the name of a list, such as train, val or trainaug; test is unlabelled.
        vocabulary: the classes, with palette indices as file ids. None: the built-in ones.
        objects: read objects instead of classes: of the class that most of their pixels have in
            SegmentationClass. Borders then are background.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: the list or files are missing (one error for all of them). When a record is
            read: an index or colour without a class.
    """
    home = _home(Path(root))
    if split is None:
        raise InputError(f"{root}: name a split: {', '.join(voc_splits(home)) or 'train or val'}")
    listing = find_file(home, [_list_of(split)], "list of the split")
    if vocabulary is None:
        vocabulary = voc_objects_vocabulary() if objects else Vocabulary.load("voc")
    is_augmented = split in ("trainaug", "train_aug")
    classes = home / ("SegmentationClassAug" if is_augmented else "SegmentationClass")
    names = listing.read_text("utf-8-sig").split()
    found = [] if names else ["it names no pictures"]
    records: list[Record] = []
    for name in dict.fromkeys(names):
        image, label = home / f"JPEGImages/{name}.jpg", classes / f"{name}.png"
        files = [image, label, *([home / f"SegmentationObject/{name}.png"] if objects else [])]
        wanted = files[:1] if split == "test" else files
        problems_here = [problem for path in wanted if (problem := file_problem(path))]
        found += problems_here
        if problems_here:
            continue
        load = None
        if split != "test" and objects:
            load = partial(read_voc_objects, files[2], label, image, vocabulary)
        elif split != "test":
            table = LabelTable.of(vocabulary, (_BORDER_COLOR,))
            load = partial(read_semantic_label, label, image, table, strict=problems is not None)
        load_image = partial(read_image, image)
        records.append(Record(id=name, load_image=load_image, load_segments=load, picture=image))
    rule = "these files are wrong; get them again, or take them out of the list"
    refuse(listing, rule, found, into=problems)
    return records


def read_voc_objects(
    object_path: Path, label_path: Path, image_path: Path, vocabulary: Vocabulary
) -> Segments:
    """The objects of a picture, numbered as in their file.

    Args:
        object_path: of numbers of objects.
        label_path: of classes.
        image_path: the picture, whose size the segments get.
        vocabulary: the classes; background need not be one.

    Raises:
        InputError: a file cannot be read, or an object has no class.
    """
    table = LabelTable.of(vocabulary, (_BORDER_COLOR,))
    values = {_BACKGROUND: NO_SEGMENT, _BORDER: NO_SEGMENT}
    classes = class_map(label_path, image_path, LabelTable(values | dict(table.values)))
    numbers = read_label(object_path, image_size(image_path))
    objects = np.setdiff1d(numbers, [_BACKGROUND, _BORDER])
    index_map = np.full(numbers.shape, NO_SEGMENT, np.int32)
    class_ids: list[int] = []
    for place, number in enumerate(objects.tolist()):
        mask = numbers == number
        votes = np.bincount(classes[mask] + 1, minlength=1)[1:]
        if not votes.any():
            raise InputError(
                f"{object_path}: object {number} lies where {label_path} has no class; get both "
                "files again"
            )
        class_ids.append(int(votes.argmax()))
        index_map[mask] = place
    return Segments.of_map(index_map, class_ids, track_ids=objects)


def voc_objects_vocabulary() -> Vocabulary:
    """The 20 classes that have objects."""
    whole = Vocabulary.load("voc")
    things = [entry for entry in whole.classes if entry.thing]
    rows = [entry.model_copy(update={"id": place}) for place, entry in enumerate(things)]
    return whole.model_copy(update={"name": "voc_objects", "classes": tuple(rows)})


def looks_like_voc(root: Path) -> bool:
    """Whether its folders are there."""
    return any((root / place / "SegmentationClass").is_dir() for place in _PLACES)


def voc_splits(root: Path) -> list[str]:
    """The lists that are there: train and val, or, without these, others."""
    found = find_splits(_home(root), [_list_of("{split}")])
    plain = [split for split in found if split in ("train", "val")]
    return plain or [split for split in found if split != "test"]


def _list_of(split: str) -> str:
    return f"ImageSets/Segmentation/{split}.txt"


def _home(root: Path) -> Path:
    for place in _PLACES:
        if (root / place / "JPEGImages").is_dir():
            return root / place
    raise InputError(
        f"{root} holds no JPEGImages of PASCAL VOC, looked for in {', '.join(_PLACES)}"
    )
