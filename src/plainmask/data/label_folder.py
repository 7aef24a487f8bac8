"""The simplest data set: a folder of images and a folder of label files with equal names.

    ROOT/images/SPLIT/NAME.jpg   any picture that can be read
    ROOT/labels/SPLIT/NAME.png   classes by number or by colour (see `read_semantic_label`)
    ROOT/classes.json            the class table (see `class_table`), unless a vocabulary is given

Without splits the files lie in ROOT/images and ROOT/labels themselves, or in equal folders within
these. A split may also be a list of names (ROOT/SPLIT.txt), or the folder above
(ROOT/SPLIT/images). Labels may lie in `masks` or `annotations`, and their names may end in what
labels are called: NAME_mask.png. Without a class table the values that labels hold are the classes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from plainmask.data.class_table import find_class_table, read_class_table
from plainmask.data.coco_pictures import readings
from plainmask.data.files import (
    composed,
    file_problem,
    pictures_below,
    pictures_by_stem,
    read_lines,
    refuse,
    shortened,
    subfolders,
)
from plainmask.data.labels import LabelTable, read_semantic_label
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.pictures.archive import entries, is_file, is_folder
from plainmask.pictures.images import label_form, read_image, read_label
from plainmask.vocabulary import Vocabulary

_LABEL_FOLDERS = ("labels", "masks", "annotations")
_IMAGE_ENDINGS = ("_leftImg8bit", "_image", "_img")
_LABEL_ENDINGS = (
    *("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation"),
    *("_gtFine_labelIds", "_labelIds", "_gtFine_labelTrainIds", "_labelTrainIds"),
)
_USUAL = ("train", "val", "valid", "test", "trainval")
FOUND = "values found in the labels"
"""What classes are called that no table states."""
_VOID = 255
"""Where labels without a table hold it beside two values or more, it is taken to be no class."""
_MOST = 256
"""Values beyond so many are no classes, but a photograph or blurred colours."""
_LISTS = ("{split}.txt", "splits/{split}.txt", "ImageSets/{split}.txt")


def read_label_folder(
    root: str | Path,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the labelled pictures of a folder, sorted by name; nothing is decoded yet.

    A record's segments are the classes that its label holds, one segment each, by ascending id;
    a label of ignored values only gives none. A label of another size than its picture is
    resized to it.

    Args:
        root: the folder with `images` and `labels`.
        split: the sub-folder of both, or a list; None where the files lie in them directly.
        vocabulary: the classes and the file values, or colours, that they and "ignore" have; None:
            those of the data set. Colours to ignore stand in `classes.json` as `ignore_colors`.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: a folder is missing or empty, or images and labels do not pair up (one error
            for all of them). When a record is read: a label value that the vocabulary does not
            know, with its file and number of pixels.
    """
    root = Path(root)
    images_folder, labels_folder, listed = _places(root, split)
    images = _pictures(images_folder, root / "images")
    labels = _by_image(_pictures(labels_folder, labels_folder), images)
    class_table = find_class_table(root)
    known = None if class_table is None else read_class_table(class_table)
    if vocabulary is None:
        vocabulary = known.vocabulary if known is not None else _found_classes(root)
    table = LabelTable.of(vocabulary, () if known is None else known.ignored_colors)
    found = _strays(root) if split is not None and listed is None else []
    if listed is not None:
        names = [_listed_name(line, images) for line in listed]
        found += [f"listed, but not there: {name}" for name in names if name not in images]
        images = {name: images[name] for name in names if name in images}
        labels = {name: labels[name] for name in names if name in labels}
    found += _pair_problems(root, images, labels)
    rule = "every image needs one label of the same name, and the other way round"
    refuse(root, rule, found, into=problems)
    return [
        Record(
            id=stem,
            load_image=partial(read_image, images[stem][0]),
            load_annotation=partial(
                read_semantic_label,
                labels[stem][0],
                images[stem][0],
                table,
                strict=problems is not None,
            ),
            picture=images[stem][0],
        )
        for stem in sorted(images.keys() & labels.keys())
        if not any(map(file_problem, (*images[stem], *labels[stem])))
    ]


def label_folder_vocabulary(root: str | Path) -> Vocabulary:
    """The classes of the table in the folder; where there is none, the values that labels hold.

    Raises:
        InputError: the table is wrong; or there is none, and labels tell no classes.
    """
    table = find_class_table(Path(root))
    return _found_classes(Path(root)) if table is None else read_class_table(table).vocabulary


def label_folder_splits(root: Path) -> list[str]:
    """The splits that are there; none where the files lie in `images` itself."""
    folders = _split_folders(root)
    folders += [path.name for path in subfolders(root) if is_folder(path / "images")]
    folders += [path.name for path in subfolders(root) if is_folder(root / f"{path.name}annot")]
    lists = {place.rpartition("/")[0] for place in _LISTS}
    texts = [path.stem for place in lists for path in entries(root / place) if _is_list(path)]
    return sorted({*(folders or texts)})


def _split_folders(root: Path) -> list[str]:
    """The folders in `images` that are splits: all, or, if pictures lie beside them, usual ones."""
    folders = [path.name for path in subfolders(root / "images") if pictures_below(path)]
    usual = any(name in _USUAL for name in folders)
    return folders if usual or not pictures_by_stem(root / "images") else []


def _strays(root: Path) -> list[str]:
    """At most one line: pictures that lie beside the folders of splits."""
    beside = [path.name for paths in pictures_by_stem(root / "images").values() for path in paths]
    if not beside or not _split_folders(root):
        return []
    return [
        f"in no split, beside the folders of splits in {root / 'images'}: {shortened(beside, ', ')}"
    ]


def _is_list(path: Path) -> bool:
    return path.suffix == ".txt" and path.stem in _USUAL


def _found_classes(root: Path) -> Vocabulary:
    """The values, or colours, that the labels of all splits hold, as classes."""
    values: set[int] = set()
    colored: set[bool] = set()
    for split in label_folder_splits(root) or [None]:
        for paths in _pictures(_places(root, split)[1], root).values():
            colored.add(label_form(paths[0]).colors)
            label = read_label(paths[0], colors=label_form(paths[0]).colors)
            values |= set(np.unique(label).tolist())
            if len(values) > _MOST or len(colored) > 1:
                raise InputError(
                    f"{root} holds no classes.json, and its labels tell no classes: {paths[0]} and "
                    f"those before it hold {len(values)} values or colours; give a class table"
                )
    is_void = len(values) > 2 and max(values) == _VOID and colored == {False}
    shown = sorted(values - {_VOID} if is_void else values, key=lambda value: (value & 255, value))
    rows: list[dict[str, Any]] = []
    for place, value in enumerate(shown):
        color = (value & 255, value >> 8 & 255, value >> 16)
        if colored == {True}:
            rows.append({"id": place, "name": "color_{}_{}_{}".format(*color), "color": color})
        else:
            rows.append({"id": place, "name": f"class_{value}", "file_id": value})
    ignored = [_VOID] if is_void else []
    table = {"name": FOUND, "classes": rows, "ignore_values": ignored}
    return Vocabulary.load(table)


def _places(root: Path, split: str | None) -> tuple[Path, Path, list[str] | None]:
    """The folders of images and labels, and the lines of the list that chooses among them."""
    if split is None:
        if _split_folders(root):
            raise InputError(f"{root}: name a split; {_available_splits(root / 'images')}")
        return root / "images", _label_folder(root, "{}"), None
    if is_folder(root / "images" / split):
        return root / "images" / split, _label_folder(root, f"{{}}/{split}"), None
    if is_folder(root / split / "images"):
        return root / split / "images", _label_folder(root, f"{split}/{{}}"), None
    if is_folder(root / f"{split}annot"):  # CamVid as SegNet has it
        return root / split, root / f"{split}annot", None
    for place in _LISTS:
        if is_file(listing := root / place.format(split=split)):
            names = read_lines(listing)
            if not names:
                raise InputError(f"{listing} is empty; it should name the images of the split")
            return root / "images", _label_folder(root, "{}"), names
    return root / "images" / split, _label_folder(root, f"{{}}/{split}"), None


def _label_folder(root: Path, place: str) -> Path:
    """The first folder of labels that is there."""
    places = [root / place.format(name) for name in _LABEL_FOLDERS]
    return next((path for path in places if is_folder(path)), places[0])


def _listed_name(line: str, images: Mapping[str, list[Path]]) -> str:
    """The name that a line of a list means: a name, a file, or the files of image and label."""
    ends = [end for text in (line, line.split()[0]) for end in readings(f"/{text}")]
    names = [composed(name) for end in ends for name in (end, posixpath.splitext(end)[0])]
    return next((name for name in names if name in images), names[-1])


def _pictures(place: Path, folder: Path) -> dict[str, list[Path]]:
    """The pictures in a folder or its split and within, by path in it without suffix."""
    pictures = pictures_below(place)
    if not pictures:
        state = "holds no pictures" if is_folder(place) else "is not there"
        raise InputError(f"{place} {state}; {_available_splits(folder)}")
    return pictures


def _available_splits(folder: Path) -> str:
    """What to try instead of a split that is not there."""
    if not is_folder(folder):
        return f"{folder} is expected to be a folder"
    splits = [path.name for path in subfolders(folder)]
    return f"the splits there are {', '.join(splits)}" if splits else "check the path"


def _by_image(
    labels: Mapping[str, list[Path]], images: Mapping[str, list[Path]]
) -> dict[str, list[Path]]:
    """The labels by the names of their images, endings that say "label" or "image" cut off."""
    plain = {_without(name, _IMAGE_ENDINGS): name for name in images}
    found: dict[str, list[Path]] = {}
    for name, paths in labels.items():
        short = _without(name, _LABEL_ENDINGS)
        image = name if name in images or short not in plain else plain[short]
        found.setdefault(image, []).extend(paths)
    return found


def _without(name: str, endings: Sequence[str]) -> str:
    """The name without the longest of the endings that it has."""
    found = [ending for ending in endings if name.endswith(ending) and name != ending]
    return name.removesuffix(max(found, key=len)) if found else name


def _pair_problems(
    root: Path, images: Mapping[str, list[Path]], labels: Mapping[str, list[Path]]
) -> list[str]:
    """One line for every name that has not exactly one image and one label, and for empty files."""
    problems: list[str] = []
    for stem in sorted(images.keys() | labels.keys()):
        paths = [*images.get(stem, []), *labels.get(stem, [])]
        files = ", ".join(path.relative_to(root).as_posix() for path in paths)
        if stem not in labels:
            problems.append(f"image without label: {files}")
        elif stem not in images:
            problems.append(f"label without image: {files}")
        elif len(paths) > 2:
            problems.append(f"more than one file of a name: {files}")
        problems += [problem for path in paths if (problem := file_problem(path))]
    return problems
