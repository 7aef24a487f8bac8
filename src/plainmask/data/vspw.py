"""VSPW in its 480p form: every pixel of a video belongs to one of 124 classes (semantic video).

ROOT/data/VIDEO/origin/FRAME.jpg
ROOT/data/VIDEO/mask/FRAME.png    0 and 255 ignored, 1..124 = class
ROOT/SPLIT.txt                    one video name per line
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from plainmask.data.files import (
    file_problem,
    find_file,
    natural_key,
    pictures_by_stem,
    read_lines,
    refuse,
)
from plainmask.data.labels import read_semantic_label
from plainmask.data.record import NO_SEGMENT, Record
from plainmask.errors import InputError
from plainmask.pictures.images import read_image
from plainmask.vocabulary import Vocabulary


def read_vspw(
    root: str | Path, split: str | None, vocabulary: Vocabulary | None = None
) -> list[Record]:
    """List the frames of all videos in the order of the split file; nothing is decoded yet.

    A class is one object: its id is the track id, the same in all frames. Values without a class
    are void (a few masks hold some). Frames without a mask are unlabelled (the test split).

    Args:
        root: the folder `VSPW_480p`.
        split: train, val or test.
        vocabulary: the classes, with mask values as file ids. None: the built-in `vspw`, things
            first.

    Raises:
        InputError: the split file or a folder is missing, a mask has no frame, or a file is empty
            (one error for all of it).
    """
    root = Path(root)
    if split is None:
        raise InputError(f"{root}: name a split: train, val or test")
    vocabulary = Vocabulary.load("vspw") if vocabulary is None else vocabulary
    class_of_value = dict.fromkeys(range(256), NO_SEGMENT) | vocabulary.by_file_id
    split_file, folders = find_mask_folders(root, split)
    records: list[Record] = []
    problems = [] if folders else ["there is no video"]
    for name, folder in folders.items():
        images = pictures_by_stem(folder.parent / "origin")
        masks = pictures_by_stem(folder)
        problems += [] if images else [f"video {name} has no frames"]
        problems += [
            f"there is a mask without a frame: {name}/{stem}"
            for stem in sorted(masks.keys() - images.keys())
        ]
        for place, stem in enumerate(sorted(images, key=natural_key)):
            image_path, mask_paths = images[stem][0], masks.get(stem, [])
            files = [image_path, *mask_paths]
            problems += [problem for path in files if (problem := file_problem(path))]
            load = None
            if mask_paths:
                load = partial(read_semantic_label, mask_paths[0], image_path, class_of_value)
            records.append(
                Record(
                    id=f"{name}/{stem}",
                    load_image=partial(read_image, image_path),
                    load_annotation=load,
                    sequence=name,
                    frame=place,
                )
            )
    rule = "these files are wrong; get them again, or take their videos out of the split file"
    refuse(split_file, rule, problems)
    return records


def find_mask_folders(root: Path, split: str) -> tuple[Path, dict[str, Path]]:
    """The file of a split, and the folder of the masks of each video in it, in its order.

    Raises:
        InputError: the file is missing or cannot be read.
    """
    split_file = find_file(root, [f"{split}.txt"], "split file")
    return split_file, {name: root / "data" / name / "mask" for name in read_lines(split_file)}


def vspw_splits(root: Path) -> list[str]:
    """The lists that are there for splits with masks."""
    return [split for split in ("train", "val") if (root / f"{split}.txt").is_file()]
