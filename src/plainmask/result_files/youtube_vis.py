"""YouTube-VIS and OVIS: tracks in videos, as one JSON file.

Annotation: {"videos", "annotations", "categories"}. Results: a list of {"video_id", "category_id",
"score", "segmentations": one mask or null a frame}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainmask.data.coco_json import Category, category_vocabulary, read_json, repeated
from plainmask.data.coco_masks import Size, read_rle
from plainmask.data.files import find_file, natural_key, refuse
from plainmask.data.youtube_vis import ANNOTATION_FILES
from plainmask.errors import InputError
from plainmask.results.rle import Rle
from plainmask.results.track import Track
from plainmask.vocabulary import Vocabulary

_LISTS = {"short": "gt_short.json", "long": "gt_long.json"}
"""Of YouTube-VIS 2022, evaluated apart."""


@dataclass(frozen=True, slots=True)
class _Video:
    id: int | str
    width: int
    height: int
    file_names: tuple[str, ...] = ()
    length: int = 0


@dataclass(frozen=True, slots=True)
class _Annotation:
    video_id: int | str
    category_id: int
    segmentations: tuple[Any, ...]
    id: int | str = ""
    iscrowd: bool = False


@dataclass(frozen=True, slots=True)
class _Result:
    video_id: int | str
    category_id: int
    score: float
    segmentations: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _File:
    videos: tuple[_Video, ...]
    annotations: tuple[_Annotation, ...] | None = None
    categories: tuple[Category, ...] = ()


@dataclass(frozen=True)
class VideoShape:
    """What the tracks of one video must have."""

    frames: int
    size: Size
    """(H, W)."""


@dataclass(frozen=True, eq=False)
class TrackTargets:
    """The annotation of a set of videos."""

    vocabulary: Vocabulary
    """By ascending category id."""
    videos: Mapping[str, VideoShape]
    """By video id, ascending."""
    tracks: Mapping[str, Sequence[Track]]
    """By video id; a video without objects is missing."""


def find_track_targets(data: str | Path, split: str | None) -> dict[str, Path]:
    """The annotation files of a data set, by the name of the list of videos; mostly one, "".

    Args:
        data: the folder of the data set, or the file itself.
        split: such as valid, which is the default. For YouTube-VIS 2022, whose short and long
            videos are evaluated apart, valid and gt mean `gt_short.json` and `gt_long.json`.

    Raises:
        InputError: there is no such file.
    """
    data = Path(data)
    if data.is_file():
        return {"": data}
    split = split or "valid"
    lists = {name: data / file for name, file in _LISTS.items()}
    if split in ("valid", "gt") and all(path.is_file() for path in lists.values()):
        return lists
    candidates = [place.format(split=split) for place in ANNOTATION_FILES]
    return {"": find_file(data, candidates, "video annotations")}


def read_track_targets(path: Path) -> TrackTargets:
    """Read an annotation file.

    Raises:
        InputError: it is missing, has no annotations, or something in it is wrong (one error for
            all of it).
    """
    content = read_json(path, _File)
    if not content.annotations:
        raise InputError(
            f"{path} holds no annotations, as those of published test splits; results can only be "
            "evaluated by the benchmark's server. Choose a split with annotations"
        )
    vocabulary = category_vocabulary(content.categories, path)
    ordered = sorted(content.videos, key=lambda video: natural_key(str(video.id)))
    videos = {
        str(video.id): VideoShape(
            len(video.file_names) or video.length, (video.height, video.width)
        )
        for video in ordered
    }
    problems = repeated([video.id for video in content.videos], "video id")
    tracks: dict[str, list[Track]] = {}
    for place, entry in enumerate(content.annotations):
        what = f"annotation {entry.id if entry.id != '' else place}"
        found = _problems(entry, what, videos, vocabulary)
        problems += found
        if not found:
            rles, damage = _masks(entry.segmentations, videos[str(entry.video_id)].size)
            problems += [f"{what}, {problem}" for problem in damage]
            class_id = vocabulary.by_file_id[entry.category_id]
            track = Track(class_id, rles, crowd=entry.iscrowd)
            tracks.setdefault(str(entry.video_id), []).append(track)
    refuse(path, "these entries are wrong; correct them, or get the file again", problems)
    return TrackTargets(vocabulary, videos, tracks)


def read_track_results(
    paths: Sequence[Path], targets: Sequence[TrackTargets]
) -> dict[str, list[Track]]:
    """Read result files, which together are one result, for the videos of one or more lists.

    Args:
        paths: the files; their entries keep their order.
        targets: the annotation; of one vocabulary.

    Returns:
        the tracks by video id; a video without results is missing.

    Raises:
        InputError: a file is no such result, or entries are wrong (one error for all of a file).
    """
    vocabulary = targets[0].vocabulary
    videos = {name: shape for part in targets for name, shape in part.videos.items()}
    class_of = vocabulary.by_file_id
    tracks: dict[str, list[Track]] = {}
    for path in paths:
        problems: list[str] = []
        for place, entry in enumerate(read_json(path, list[_Result])):
            found = _problems(entry, f"entry {place}", videos, vocabulary)
            if not math.isfinite(entry.score):
                found.append(f"entry {place} has the score {entry.score}")
            problems += found
            if not found:
                rles, damage = _masks(entry.segmentations, videos[str(entry.video_id)].size)
                problems += [f"entry {place}, {problem}" for problem in damage]
                track = Track(class_of[entry.category_id], rles, entry.score)
                tracks.setdefault(str(entry.video_id), []).append(track)
        refuse(path, "these results do not fit the annotation", problems)
    return tracks


def _problems(
    entry: _Annotation | _Result,
    what: str,
    videos: Mapping[str, VideoShape],
    vocabulary: Vocabulary,
) -> list[str]:
    """What is wrong with an entry before its masks are looked at."""
    problems: list[str] = []
    shape = videos.get(str(entry.video_id))
    if shape is None:
        problems.append(f"{what} is of video {entry.video_id}, which is unknown")
    elif len(entry.segmentations) != shape.frames:
        problems.append(
            f"{what} has {len(entry.segmentations)} segmentations, its video {entry.video_id} "
            f"{shape.frames} frames"
        )
    if entry.category_id not in vocabulary.by_file_id:
        problems.append(
            f"{what} is of category {entry.category_id}; there are "
            f"{', '.join(str(number) for number in vocabulary.by_file_id)}"
        )
    return problems


def _masks(forms: Sequence[Any], size: Size) -> tuple[tuple[Rle | None, ...], list[str]]:
    """The masks of a track; and what is wrong with the first that is damaged."""
    rles: list[Rle | None] = []
    for frame, form in enumerate(forms):
        try:
            rles.append(read_rle(form, size))
        except InputError as cause:
            return (), [f"frame {frame}: {cause}"]
    return tuple(rles), []
