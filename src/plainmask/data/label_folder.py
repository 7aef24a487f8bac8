"""The simplest data set: a folder of images and a folder of label files with equal names.

    ROOT/images/SPLIT/NAME.jpg   any picture that can be read
    ROOT/labels/SPLIT/NAME.png   one channel, one class number per pixel (see `read_label`)
    ROOT/classes.json            the class table, unless a vocabulary is given

Without splits the files lie in ROOT/images and ROOT/labels themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from plainmask.data.files import pictures_by_stem, refuse, shortened
from plainmask.data.images import image_size, read_image, read_label
from plainmask.data.record import Record, Segments
from plainmask.errors import InputError
from plainmask.vocabulary import Vocabulary

_VOID = -1


def read_label_folder(
    root: str | Path, split: str | None = None, vocabulary: Vocabulary | None = None
) -> list[Record]:
    """List the labelled pictures of a folder, sorted by name; nothing is decoded yet.

    A record's segments are the classes that its label holds, one segment each, by ascending id;
    a label of ignored values only gives none. A label of another size than its picture is
    resized to it.

    Args:
        root: the folder with `images` and `labels`.
        split: the sub-folder of both; None where the files lie in them directly.
        vocabulary: the classes and the file values that they and "ignore" have; None reads
            `classes.json` in the root.

    Raises:
        InputError: a folder is missing or empty, or images and labels do not pair up (one error
            for all of them). When a record is read: a label value that the vocabulary does not
            know, with its file and number of pixels.
    """
    root = Path(root)
    if vocabulary is None:
        vocabulary = Vocabulary.load(root / "classes.json")
    images = _pictures(root / "images", split)
    labels = _pictures(root / "labels", split)
    _check_pairs(root, images, labels)
    class_of_value = vocabulary.by_file_id | dict.fromkeys(vocabulary.ignore_values, _VOID)
    return [
        Record(
            id=stem,
            load_image=partial(read_image, images[stem][0]),
            load_segments=partial(
                read_semantic_label, labels[stem][0], images[stem][0], class_of_value
            ),
        )
        for stem in sorted(images)
    ]


def read_semantic_label(
    label_path: Path, image_path: Path, class_of_value: Mapping[int, int]
) -> Segments:
    """Read a label file of class numbers as segments, one per class that is present.

    A class is one object in all frames of a video: its id is the track id, too.

    Args:
        label_path: the label file.
        image_path: its picture, whose size the segments get.
        class_of_value: class id of each value that may stand in the file; -1 for ignored ones.

    Raises:
        InputError: a file cannot be read, or the label holds a value without a class.
    """
    label = read_label(label_path, image_size(image_path))
    values, counts = np.unique(label, return_counts=True)
    unknown = [
        f"{value} ({count} pixels)"
        for value, count in zip(values.tolist(), counts.tolist(), strict=True)
        if value not in class_of_value
    ]
    if unknown:
        raise InputError(
            f"{label_path}: label value {shortened(unknown, ', ')} is neither a class nor "
            "ignored; add it to the class table or its ignore values, or correct the file"
        )
    classes = np.array([class_of_value[value] for value in values.tolist()], np.int64)
    present = np.unique(classes[classes != _VOID])
    segment_of_value = np.where(classes == _VOID, _VOID, np.searchsorted(present, classes))
    index_map = segment_of_value[np.searchsorted(values, label)].astype(np.int32)
    return Segments.of_map(index_map, present, track_ids=present)


def _pictures(folder: Path, split: str | None) -> dict[str, list[Path]]:
    """The pictures in a folder or its split, hidden files left out, by name without suffix."""
    place = folder if split is None else folder / split
    pictures = pictures_by_stem(place)
    if not pictures:
        state = "holds no pictures" if place.is_dir() else "is not there"
        raise InputError(f"{place} {state}; {_available_splits(folder)}")
    return pictures


def _available_splits(folder: Path) -> str:
    """What to try instead of a split that is not there."""
    if not folder.is_dir():
        return f"{folder} is expected to be a folder"
    splits = sorted(path.name for path in folder.iterdir() if path.is_dir())
    return f"the splits there are {', '.join(splits)}" if splits else "check the path"


def _check_pairs(
    root: Path, images: Mapping[str, list[Path]], labels: Mapping[str, list[Path]]
) -> None:
    """Raise one error that lists every name that has not exactly one image and one label."""
    problems: list[str] = []
    for stem in sorted(images.keys() | labels.keys()):
        files = [path.relative_to(root).as_posix() for path in images.get(stem, [])]
        files += [path.relative_to(root).as_posix() for path in labels.get(stem, [])]
        if stem not in labels:
            problems.append(f"image without label: {', '.join(files)}")
        elif stem not in images:
            problems.append(f"label without image: {', '.join(files)}")
        elif len(files) > 2:
            problems.append(f"more than one file of a name: {', '.join(files)}")
    rule = "every image needs one label of the same name, and the other way round"
    refuse(root, rule, problems)
