"""PASCAL VOC, segmentation, and own data in its form: files of classes and of objects.

    ROOT/JPEGImages/NAME.jpg
    ROOT/SegmentationClass/NAME.png      class: 0 background, 1..20, 255 border; or colours
    ROOT/SegmentationObject/NAME.png     number of the object, or its colour
    ROOT/ImageSets/Segmentation/SPLIT.txt    one name a line; without lists all are one
    ROOT/labelmap.txt                    own classes; see `class_table` for other forms

ROOT may also be the folder that holds VOCdevkit or VOC2012. The list trainaug is read with
SegmentationClassAug (SBD). Without a table of its own classes are those of VOC.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainmask.data.class_table import (
    BORDER,
    BORDER_COLOR,
    find_class_table,
    read_class_table,
)
from plainmask.data.files import (
    composed,
    existing,
    file_problem,
    find_file,
    find_splits,
    pictures_below,
    read_lines,
    refuse,
)
from plainmask.data.labels import LabelTable, class_map, pack, read_semantic_label
from plainmask.data.record import NO_SEGMENT, Annotation, Record
from plainmask.errors import InputError
from plainmask.pictures.archive import is_file
from plainmask.pictures.images import image_size, label_form, read_image, read_label
from plainmask.vocabulary import Vocabulary

_PLACES = (".", "VOC2012", "VOCdevkit/VOC2012", "VOC2007", "VOCdevkit/VOC2007")
_BACKGROUND, _BLACK = 0, (0, 0, 0)


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
        split: the name of a list, such as train, val or trainaug; pictures of test may be
            unlabelled. None: all pictures, where there are no lists.
        vocabulary: the classes, with palette indices as file ids. None: those of the data set's
            own table, or the built-in ones.
        objects: read objects instead of classes: of the class that most of their pixels have in
            SegmentationClass. Borders then are background.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: the list or files are missing (one error for all of them). When a record is
            read: an index or colour without a class.
    """
    home = _home(Path(root))
    splits = voc_splits(home)
    if split is None and splits:
        raise InputError(f"{root}: name a split: {', '.join(splits)}")
    pictures = pictures_below(home / "JPEGImages")
    listing = home if split is None else find_file(home, [_list_of(split)], "list of the split")
    names = [*pictures] if split is None else read_lines(listing)
    if vocabulary is None:
        vocabulary = voc_vocabulary(root, objects=objects)
    is_augmented = split in ("trainaug", "train_aug")
    classes = home / ("SegmentationClassAug" if is_augmented else "SegmentationClass")
    found = [] if names else ["it names no pictures"]
    records: list[Record] = []
    for name in dict.fromkeys(_picture_name(name, pictures) for name in names):
        found += _repeated(name, pictures)
        image = pictures.get(name, [home / f"JPEGImages/{name}.jpg"])[0]
        label = existing(classes, [f"{name}.png"])
        files = [image, label]
        if objects:
            files.append(existing(home / "SegmentationObject", [f"{name}.png"]))
        labelled = split != "test" or is_file(label)
        wanted = files if labelled else files[:1]
        problems_here = [problem for path in wanted if (problem := file_problem(path))]
        found += problems_here
        if problems_here:
            continue
        load = None
        if labelled and objects:
            load = partial(read_voc_objects, files[2], label, image, vocabulary)
        elif labelled:
            table = _table(vocabulary)
            load = partial(read_semantic_label, label, image, table, strict=problems is not None)
        load_image = partial(read_image, image)
        records.append(Record(id=name, load_image=load_image, load_annotation=load, picture=image))
    rule = "these files are wrong; get them again, or take them out of the list"
    refuse(listing, rule, found, into=problems)
    return records


def read_voc_objects(
    object_path: Path, label_path: Path, image_path: Path, vocabulary: Vocabulary
) -> Annotation:
    """The objects of a picture, numbered as in their file.

    Args:
        object_path: of numbers, or colours, of objects.
        label_path: of classes.
        image_path: the picture, whose size the segments get.
        vocabulary: the classes; background need not be one.

    Raises:
        InputError: a file cannot be read, or an object has no class.
    """
    table = _table(vocabulary)
    values = {_BACKGROUND: NO_SEGMENT, BORDER: NO_SEGMENT} | dict(table.values)
    colors = None if table.colors is None else {pack(_BLACK): NO_SEGMENT} | dict(table.colors)
    classes = class_map(label_path, image_path, LabelTable(values, colors))
    numbers, nothing = _object_numbers(object_path, image_size(image_path))
    objects = np.setdiff1d(numbers, nothing)
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
    return Annotation.of_map(index_map, class_ids, track_ids=objects)


def voc_vocabulary(root: str | Path, *, objects: bool = False) -> Vocabulary:
    """The classes of the table in the folder, or the built-in ones; of objects: those that have.

    Raises:
        InputError: the table is wrong, or no class has objects.
    """
    home = _home(Path(root))
    table = find_class_table(home) or find_class_table(Path(root))
    whole = Vocabulary.load("voc") if table is None else read_class_table(table).vocabulary
    if not objects:
        return whole
    things = [entry for entry in whole.classes if entry.thing]
    if not things:
        raise InputError(f"{table}: no class has objects; say thing: true in a classes.json")
    rows = [entry.model_copy(update={"id": place}) for place, entry in enumerate(things)]
    return whole.model_copy(update={"name": f"{whole.name}_objects", "classes": tuple(rows)})


def looks_like_voc(root: Path) -> bool:
    """Whether its folders are there."""
    return any((root / place / "SegmentationClass").is_dir() for place in _PLACES)


def voc_splits(root: Path) -> list[str]:
    """The lists that are there: train and val, or, without these, others."""
    found = find_splits(_home(root), [_list_of("{split}")])
    plain = [split for split in found if split in ("train", "val")]
    return plain or [split for split in found if split != "test"]


def _table(vocabulary: Vocabulary) -> LabelTable:
    """The table of a vocabulary; borders do not count, unless their colour is that of a class."""
    is_class = any(entry.color == BORDER_COLOR for entry in vocabulary.classes)
    return LabelTable.of(vocabulary, () if is_class else (BORDER_COLOR,))


def _picture_name(line: str, pictures: Mapping[str, Sequence[Path]]) -> str:
    """The picture that a line of a list names: all of it, without a suffix, or its first word."""
    line = composed(line)
    first = line.split()[0]
    ways = [line, posixpath.splitext(line)[0], first, posixpath.splitext(first)[0]]
    return next((way for way in ways if way in pictures), line)


def _repeated(name: str, pictures: Mapping[str, Sequence[Path]]) -> list[str]:
    files = pictures.get(name, [])
    names = ", ".join(path.name for path in files)
    return [f"more than one picture of a name: {names}"] if len(files) > 1 else []


def _object_numbers(path: Path, size: tuple[int, int]) -> tuple[NDArray[np.int32], list[int]]:
    """(H, W): the object of each pixel; and the numbers of those that are none.

    Colours count where the file has no numbers, or its palette was sorted anew: 0 is not black.
    """
    form = label_form(path)
    label = read_label(path, size, colors=form.colors)
    black, border = pack(_BLACK), pack(BORDER_COLOR)
    if form.palette is not None and form.palette[0] != black and black in form.palette:
        label = np.array(form.palette, np.int32)[label]
    elif not form.colors:
        return label, [_BACKGROUND, BORDER]
    return label, [black, border]


def _list_of(split: str) -> str:
    return f"ImageSets/Segmentation/{split}.txt"


def _home(root: Path) -> Path:
    for place in _PLACES:
        if (root / place / "JPEGImages").is_dir():
            return root / place
    raise InputError(
        f"{root} holds no JPEGImages of PASCAL VOC, looked for in {', '.join(_PLACES)}"
    )
