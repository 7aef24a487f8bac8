"""Videos as folders of frames, with a parallel folder of label files: DAVIS, YouTube-VOS, own data.

    ROOT/JPEGImages/VIDEO/FRAME.jpg
    ROOT/Annotations/VIDEO/FRAME.png    one channel: number of the object, or of the class

See `_PLACES` for other names. A split is a folder above or below these, or a text file that names
its videos (`ImageSets/2017/SPLIT.txt`, `SPLIT.txt`). Without VIDEO all frames are one video.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from plainmask.data.class_table import find_class_table, read_class_table
from plainmask.data.files import (
    NaturalKey,
    file_problem,
    natural_key,
    pictures_by_stem,
    read_lines,
    refuse,
    shortened,
    subfolders,
)
from plainmask.data.labels import LabelTable, read_semantic_label
from plainmask.data.record import NO_SEGMENT, Annotation, Record
from plainmask.errors import InputError
from plainmask.pictures.images import image_size, read_image, read_label
from plainmask.vocabulary import Vocabulary

LabelValues = Literal["objects", "classes", "mask"]
"""What the values of label files are: numbers of objects, numbers of classes, or of one object
everything but 0."""

_PLACES = (
    ("JPEGImages/480p", "Annotations/480p"),
    ("JPEGImages/Full-Resolution", "Annotations/Full-Resolution"),
    ("JPEGImages", "Annotations"),
    ("images", "labels"),
    ("images", "masks"),
    ("images", "annotations"),
)
LABEL_PLACES = tuple(dict.fromkeys(labels for _, labels in _PLACES))
"""Where folders of label files may lie, below the root."""
_VOID_VALUE = 255
"""In files of object numbers: belongs to no object, but should not count as background either."""


def read_video_folder(
    root: str | Path,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    *,
    values: LabelValues | None = None,
) -> list[Record]:
    """List the frames of all videos in natural order; nothing is decoded yet.

    A label belongs to the frame of the same name; zeros before a number do not matter. Frames
    without a label are unlabelled.

    Args:
        root: the folder of the data set.
        split: see the top; None: all videos.
        vocabulary: the classes. For object numbers and masks all objects are of its first class.
            None: the class table in the root where label values are classes, else one class
            "object".
        values: what label values mean. None: classes where there is a class table; else, where
            the first label holds 0 and 255 only, a mask (DAVIS 2016); else object numbers, with
            0 for none and 255 for void.

    Raises:
        InputError: folders are missing, or videos and labels do not fit together (one error for
            all of it). When a record is read: a label value that is no class.
    """
    root = Path(root)
    frames_folder, labels_folder = _find_folders(root, split)
    wanted = _listed_videos(root, split)
    folders = {path.name: (path, labels_folder / path.name) for path in subfolders(frames_folder)}
    beside = [path.name for paths in pictures_by_stem(frames_folder).values() for path in paths]
    if split is None and beside and not folders:
        folders, beside = {root.resolve().name: (frames_folder, labels_folder)}, []
    names = [*folders] if wanted is None else wanted
    problems = [] if names else [f"there is no folder of a video in {frames_folder}"]
    if beside and names:
        problems.append(
            f"pictures beside the folders of videos in {frames_folder}: {shortened(beside, ', ')}"
        )
    surplus = {path.name for path in subfolders(labels_folder)} - folders.keys()
    problems += [f"labels without a video: {name}" for name in sorted(surplus)]
    frames: list[tuple[str, int, Path, Path | None]] = []
    for name in names:
        pairs, found = _pair(*folders.get(name, (frames_folder / name, labels_folder / name)))
        problems += found
        frames += [(name, place, *pair) for place, pair in enumerate(pairs)]
    refuse(root, "every label belongs to one frame of a video", problems)
    if values is None:
        values = _guess_values(root, [label for *_, label in frames if label is not None])
    table = _table(root, vocabulary, values)
    return [
        Record(
            id=f"{name}/{image.stem}",
            load_image=partial(read_image, image),
            load_annotation=None if label is None else _loader(values, label, image, table),
            sequence=name,
            frame=place,
        )
        for name, place, image, label in frames
    ]


def video_folder_splits(root: Path) -> list[str]:
    """The splits that are there, as folders or else as lists; none where all videos are one."""
    homes = [root / frames for frames, _ in _PLACES]
    folders = [path.name for home in homes for path in subfolders(home) if subfolders(path)]
    folders += [
        path.name
        for path in subfolders(root)
        if any((path / frames).is_dir() for frames, _ in _PLACES)
    ]
    lists = [path.stem for path in (*root.glob("*.txt"), *root.glob("ImageSets/*/*.txt"))]
    usual = [name for name in lists if name in ("train", "val", "test")]
    return sorted({*(folders or usual)} - {"480p", "Full-Resolution"})


def video_folder_vocabulary(root: Path) -> Vocabulary:
    """The classes of the class table where label values are classes; else one, "object"."""
    table = find_class_table(root)
    if table is not None:
        return read_class_table(table).vocabulary
    one = {"name": "objects", "classes": [{"id": 0, "name": "object", "thing": True}]}
    return Vocabulary.load(one)


def read_object_label(label_path: Path, image_path: Path, *, single: bool) -> Annotation:
    """Read a label file of object numbers; all are of class 0, the numbers are track ids.

    Args:
        label_path: the label file.
        image_path: its picture, whose size the segments get.
        single: all values but 0 are one object; else 255 is void.

    Raises:
        InputError: a file cannot be read.
    """
    label = read_label(label_path, image_size(image_path))
    if single:
        label = (label != 0).astype(np.int32)
    objects = np.setdiff1d(np.unique(label), [0] if single else [0, _VOID_VALUE])
    if not len(objects):
        return Annotation.of_map(np.full(label.shape, NO_SEGMENT, np.int32), [])
    place = np.searchsorted(objects, label).clip(max=len(objects) - 1)
    index_map = np.where(objects[place] == label, place, NO_SEGMENT).astype(np.int32)
    return Annotation.of_map(index_map, np.zeros(len(objects)), track_ids=objects)


def holds_one_mask(label_path: Path) -> bool:
    """Whether a label file is the mask of one object, 0 and 255, not numbers (DAVIS 2016).

    Raises:
        InputError: it cannot be read.
    """
    return set(np.unique(read_label(label_path)).tolist()) == {0, _VOID_VALUE}


def _loader(
    values: LabelValues, label: Path, image: Path, table: LabelTable | None
) -> partial[Annotation]:
    if table is not None:
        return partial(read_semantic_label, label, image, table)
    return partial(read_object_label, label, image, single=values == "mask")


def _table(root: Path, vocabulary: Vocabulary | None, values: LabelValues) -> LabelTable | None:
    """The class of each value, or colour, in label files of classes; None: values are objects."""
    if values != "classes":
        return None
    path = find_class_table(root)
    known = None if path is None else read_class_table(path)
    if vocabulary is None and known is None:
        raise InputError(f"{root} holds no classes.json, which says what label values are")
    if vocabulary is None:
        assert known is not None
        vocabulary = known.vocabulary
    return LabelTable.of(vocabulary, () if known is None else known.ignored_colors)


def _guess_values(root: Path, labels: Sequence[Path]) -> LabelValues:
    """What label values mean, where nobody said it; see `read_video_folder`."""
    if find_class_table(root) is not None:
        return "classes"
    return "mask" if labels and holds_one_mask(labels[0]) else "objects"


def _find_folders(root: Path, split: str | None) -> tuple[Path, Path]:
    """The folders of the videos and of their labels, with the split in their path if it can be."""
    with_split = [
        place
        for frames, labels in _PLACES
        for place in (
            (f"{split}/{frames}", f"{split}/{labels}"),
            (f"{frames}/{split}", f"{labels}/{split}"),
        )
    ]
    for places in ([] if split is None else with_split, _PLACES):
        there = [(root / a, root / b) for a, b in places if (root / a).is_dir()]
        if there:
            return next((pair for pair in there if pair[1].is_dir()), there[0])
    looked_for = ", ".join(sorted({frames for frames, _ in _PLACES}))
    raise InputError(f"{root} holds no folder of videos; looked for as {looked_for}")


def _listed_videos(root: Path, split: str | None) -> list[str] | None:
    """The videos that a text file names for the split; None: the split is no such file."""
    if split is None:
        return None
    listed = read_video_list(root, split)
    if listed is None:
        frames, _ = _find_folders(root, split)
        if split not in frames.relative_to(root).parts:
            raise InputError(
                f"{root} has no split {split!r}: neither a folder nor a list of that name; "
                f"the lists there are {shortened(video_lists(root), ', ') or 'none'}"
            )
    return listed


def read_video_list(root: Path, split: str) -> list[str] | None:
    """The videos that the list of a split names; None where there is no such list.

    Lines may be names of videos, or paths of frames as in DAVIS 2016.

    Raises:
        InputError: it cannot be read.
    """
    files = [root / f"{split}.txt", *sorted(root.glob(f"ImageSets/*/{split}.txt"), reverse=True)]
    listing = next((path for path in files if path.is_file()), None)
    if listing is None:
        return None
    names = (PurePosixPath(line.split()[0]) for line in read_lines(listing))
    return list(dict.fromkeys(path.parent.name or path.name for path in names))


def video_lists(root: Path) -> list[str]:
    """The names of the lists that are there."""
    return sorted({path.stem for path in (*root.glob("*.txt"), *root.glob("ImageSets/*/*.txt"))})


def _pair(frames: Path, labels: Path) -> tuple[list[tuple[Path, Path | None]], list[str]]:
    """The frames of a video in order, each with its label if any; and what does not fit."""
    images_of, problems = _by_key(frames)
    labels_of, label_problems = _by_key(labels)
    problems += label_problems
    problems += [] if images_of else [f"video {frames.name} has no frames"]
    problems += [
        f"label without a frame: {path.parent.name}/{path.name}"
        for key, path in labels_of.items()
        if key not in images_of
    ]
    return [(images_of[key], labels_of.get(key)) for key in sorted(images_of)], problems


def _by_key(folder: Path) -> tuple[dict[NaturalKey, Path], list[str]]:
    """The pictures of a folder by their natural key; and files that are empty or share one."""
    pictures: dict[NaturalKey, Path] = {}
    problems: list[str] = []
    for path in (path for paths in pictures_by_stem(folder).values() for path in paths):
        key = natural_key(path.stem)
        if (problem := file_problem(path)) is not None:
            problems.append(problem)
        if key in pictures:
            problems.append(
                f"two files of one name: {folder.name}/{pictures[key].name} and {path.name}"
            )
        pictures[key] = path
    return pictures, problems
