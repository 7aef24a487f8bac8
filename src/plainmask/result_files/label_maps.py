"""Results of one PNG a frame whose pixels are classes (VSPW) or objects (DAVIS).

    FOLDER/VIDEO/FRAME.png    one channel

The annotation has the same form, in folders of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plainmask.data.files import (
    file_problem,
    natural_key,
    pictures_by_stem,
    refuse,
    shortened,
    subfolders,
)
from plainmask.data.video_folder import LABEL_PLACES, read_video_list, video_lists
from plainmask.data.vspw import find_mask_folders
from plainmask.errors import InputError
from plainmask.pictures.images import read_label
from plainmask.vocabulary import Vocabulary

NO_CLASS = -1
"""In target maps: void."""

_UNSUPERVISED = ("Annotations_unsupervised/480p", "Annotations_unsupervised/Full-Resolution")


@dataclass(frozen=True)
class LabelFrame:
    """One frame: its annotation and its result."""

    video: str
    target_path: Path
    result_path: Path


def find_vspw_frames(root: str | Path, split: str | None, results: Path) -> list[LabelFrame]:
    """Pair the masks of a split of VSPW with the result of each.

    Args:
        root: the folder `VSPW_480p`.
        split: such as val, which is the default.
        results: the folder of the results.

    Returns:
        the frames, video by video in the order of the split file.

    Raises:
        InputError: the split file is missing, or masks or results are (one error for all of them).
    """
    _, masks = find_mask_folders(Path(root), split or "val")
    return _paired(masks, results)


def find_object_frames(
    root: str | Path, split: str | None, results: Path, *, unsupervised: bool = False
) -> list[LabelFrame]:
    """Pair the annotations of DAVIS, or a data set of its form, with the result of each.

    Args:
        root: the folder with `Annotations`.
        split: whose videos a file `ImageSets/*/SPLIT.txt` or `SPLIT.txt` names; None: val where
            there is such a file, else all videos.
        results: the folder of the results.
        unsupervised: whether to prefer the annotations of the unsupervised task.

    Returns:
        the frames, video by video.

    Raises:
        InputError: folders or the list are missing, or annotations or results are (one error).
    """
    root = Path(root)
    places = (*_UNSUPERVISED, *LABEL_PLACES) if unsupervised else LABEL_PLACES
    folder = next((root / place for place in places if (root / place).is_dir()), None)
    if folder is None:
        raise InputError(f"{root} holds no annotations, looked for as {', '.join(places)}")
    names = _listed_videos(root, split)
    if names is None:
        names = [path.name for path in subfolders(folder)]
    return _paired({name: folder / name for name in names}, results)


def read_class_maps(
    frame: LabelFrame, vocabulary: Vocabulary
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Result and target of a frame of VSPW: (H, W) class ids each, `NO_CLASS` for void.

    Args:
        frame: the frame.
        vocabulary: its file ids are the values of masks; those of results are one less.

    Raises:
        InputError: a file cannot be read, the sizes differ, or the result holds a value without a
            class.
    """
    target, result = read_label(frame.target_path), read_label(frame.result_path)
    _check_size(frame, result, target)
    class_of_value = np.full(256, NO_CLASS, np.int32)
    for value, class_id in vocabulary.by_file_id.items():
        class_of_value[value] = class_id
    lowest, highest = int(result.min()), int(result.max())
    classes = class_of_value[1 + np.clip(result, 0, 254)]
    if lowest < 0 or highest > 254 or (classes == NO_CLASS).any():
        raise InputError(
            f"{frame.result_path} holds the values {lowest}..{highest}; in results every pixel has "
            f"a class, 0..{max(vocabulary.by_file_id) - 1}, one less than in the masks"
        )
    return classes, class_of_value[np.clip(target, 0, 255)]


def read_object_maps(
    frame: LabelFrame, *, one_mask: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Result and target of a frame of DAVIS: (H, W) object numbers, 0 for none, 255 for void.

    Args:
        frame: the frame.
        one_mask: whether everything but 0 is the same object.

    Raises:
        InputError: a file cannot be read, or the sizes differ.
    """
    target, result = read_label(frame.target_path), read_label(frame.result_path)
    _check_size(frame, result, target)
    if one_mask:
        return (result != 0).astype(np.int32), (target != 0).astype(np.int32)
    return result, target


def _check_size(frame: LabelFrame, result: NDArray[np.int32], target: NDArray[np.int32]) -> None:
    if result.shape != target.shape:
        raise InputError(
            f"{frame.result_path} is {result.shape} high and wide, the annotation {target.shape}; "
            "save results in the size of the annotation"
        )


def _paired(folders: Mapping[str, Path], results: Path) -> list[LabelFrame]:
    """The annotated frames of each video with their results."""
    problems: list[str] = [] if folders else ["there is no video"]
    frames: list[LabelFrame] = []
    for name, folder in folders.items():
        targets = pictures_by_stem(folder)
        problems += [] if targets else [f"video {name} has no annotation in {folder}"]
        if not (results / name).is_dir():
            problems.append(f"video {name} is missing: there is no folder {results / name}")
            continue
        for stem in sorted(targets, key=natural_key):
            path = results / name / f"{stem}.png"
            problems += [problem] if (problem := file_problem(path)) else []
            frames.append(LabelFrame(name, targets[stem][0], path))
    refuse(results, "these results do not fit the annotation", problems)
    return frames


def _listed_videos(root: Path, split: str | None) -> list[str] | None:
    """The videos of a split; None: there is no such list, and none was asked for."""
    listed = read_video_list(root, split or "val")
    if listed is None and split is not None:
        raise InputError(
            f"{root} has no list of the split {split!r}; the lists there are "
            f"{shortened(video_lists(root), ', ') or 'none'}"
        )
    return listed
