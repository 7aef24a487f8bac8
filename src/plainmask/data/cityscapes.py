"""Cityscapes, fine annotations: 19 classes of street scenes, 8 of them things.

    ROOT/leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png
    ROOT/gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png       semantic
    ROOT/gtFine/cityscapes_panoptic_SPLIT.json and folder     panoptic, made by the official tool

The published archives, leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, need not be
unpacked. Labels of the test split hold nothing to learn or evaluate: its pictures are unlabelled.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from plainmask.data.coco_json import category_vocabulary
from plainmask.data.coco_panoptic import panoptic_records, read_panoptic_json
from plainmask.data.files import (
    file_problem,
    find_file,
    find_splits,
    pictures_by_stem,
    refuse,
    subfolders,
)
from plainmask.data.labels import read_semantic_label
from plainmask.data.record import NO_SEGMENT, Record
from plainmask.errors import InputError
from plainmask.pictures.archive import is_folder
from plainmask.pictures.images import read_image
from plainmask.vocabulary import Vocabulary

_IMAGES = ("leftImg8bit", "leftImg8bit_trainvaltest.zip/leftImg8bit")
_LABELS = ("gtFine", "gtFine_trainvaltest.zip/gtFine")
_JSON = (
    "gtFine/cityscapes_panoptic_{split}.json",
    "cityscapes_panoptic_{split}.json",
    "gtFine/cityscapes_panoptic_{split}_trainId.json",
)
_SUFFIX = "_leftImg8bit"
_LABEL_KINDS = ("labelIds", "labelTrainIds")
_VOID_TRAIN_ID = 255


def read_cityscapes(
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the pictures by city and name, with their classes; nothing is decoded yet.

    Args:
        root: the folder that holds `leftImg8bit` and `gtFine`.
        split: train or val; test is unlabelled.
        vocabulary: the classes, with label ids as file ids; other label ids are ignored. None: the
            built-in 19.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: a folder is missing, or files do not pair up (one error for all of them). When
            a record is read: a value that is no label id.
    """
    root = Path(root)
    vocabulary = Vocabulary.load("cityscapes") if vocabulary is None else vocabulary
    pictures = _pictures(root, split)
    labels = _labels(root, split) if split != "test" else {}
    found = [f"{name} has no label" for name in pictures if name not in labels and split != "test"]
    found += [f"{name} has no image" for name in labels if name not in pictures]
    files = [*pictures.values(), *(path for path, _ in labels.values())]
    broken = {path: problem for path in files if (problem := file_problem(path))}
    found += broken.values()
    refuse(root, "every image needs its label; get the files again", found, into=problems)
    tables = _tables(vocabulary)
    records: list[Record] = []
    for name, picture in pictures.items():
        label, is_train_id = labels.get(name, (None, False))
        if picture in broken or label in broken or (label is None and split != "test"):
            continue
        load = None
        if label is not None:
            table = tables[is_train_id]
            load = partial(read_semantic_label, label, picture, table, strict=problems is not None)
        load_image = partial(read_image, picture)
        records.append(
            Record(id=name, load_image=load_image, load_annotation=load, picture=picture)
        )
    return records


def read_cityscapes_panoptic(
    root: str | Path,
    split: str | None,
    vocabulary: Vocabulary | None = None,
    *,
    problems: list[str] | None = None,
) -> list[Record]:
    """List the pictures in the order of the panoptic file; nothing is decoded yet.

    Pictures are found by their ids, since the file states wrong names for them.

    Args:
        root: the folder that holds `leftImg8bit` and `gtFine`.
        split: train or val.
        vocabulary: the classes; names that the file states decide. None: the built-in 19.
        problems: takes what is wrong instead of an error; see `read_dataset`.

    Raises:
        InputError: a file is missing or wrong (one error for all of it).
    """
    root = Path(root)
    candidates = [place.format(split=split) for place in _JSON]
    path = find_file(root, candidates, "panoptic annotations (made by the official converter)")
    content = read_panoptic_json(path)
    if content.categories:
        category_vocabulary(content.own_categories(), path)  # two of one name or id are refused
    files = _pictures(root, split)
    return panoptic_records(
        path,
        content,
        {name: (name, file) for name, file in files.items()},
        path.with_suffix(""),
        Vocabulary.load("cityscapes") if vocabulary is None else vocabulary,
        problems=problems,
    )


def looks_like_cityscapes(root: Path) -> bool:
    """Whether its labels are there."""
    return any(is_folder(root / place) for place in _LABELS)


def cityscapes_splits(root: Path) -> list[str]:
    """The splits with labels that are there."""
    home = next((root / place for place in _LABELS if is_folder(root / place)), root)
    return [path.name for path in subfolders(home) if path.name in ("train", "val")]


def cityscapes_panoptic_splits(root: Path) -> list[str]:
    """The splits that panoptic files are there for."""
    return [split for split in find_splits(root, _JSON[:2]) if not split.endswith("_trainId")]


def _pictures(root: Path, split: str | None) -> dict[str, Path]:
    """The pictures of a split, by names such as aachen_000000_000019."""
    if split is None:
        raise InputError(f"{root}: name a split: train, val or test")
    home = next((root / place for place in _IMAGES if is_folder(root / place)), None)
    if home is None:
        raise InputError(f"{root} holds no {' or '.join(_IMAGES)}, where Cityscapes' pictures lie")
    found = {
        stem.removesuffix(_SUFFIX): paths[0]
        for city in subfolders(home / split)
        for stem, paths in pictures_by_stem(city).items()
        if stem.endswith(_SUFFIX)
    }
    if not found:
        raise InputError(f"{home / split} holds no pictures CITY/NAME{_SUFFIX}.png")
    return found


def _labels(root: Path, split: str | None) -> dict[str, tuple[Path, bool]]:
    """The label of each picture, and whether it holds train ids; label ids where there are both."""
    home = next((root / place for place in _LABELS if is_folder(root / place)), root / _LABELS[0])
    found: dict[str, tuple[Path, bool]] = {}
    for city in subfolders(home / str(split)):
        for stem, paths in pictures_by_stem(city).items():
            name, _, kind = stem.partition("_gtFine_")
            if kind in _LABEL_KINDS and (kind == _LABEL_KINDS[0] or name not in found):
                found[name] = (paths[0], kind != _LABEL_KINDS[0])
    return found


def _tables(vocabulary: Vocabulary) -> tuple[dict[int, int], dict[int, int]]:
    """Class of each label id, and of each train id; -1 for those that are ignored."""
    class_of = vocabulary.by_file_id
    every = dict.fromkeys(range(34), NO_SEGMENT)  # all that are drawn
    train_ids = {
        entry.id: class_of.get(entry.file_id, NO_SEGMENT)
        for entry in Vocabulary.load("cityscapes").classes
    }
    return every | class_of, train_ids | {_VOID_TRAIN_ID: NO_SEGMENT}
