"""YouTube-VIS and OVIS: tracks in videos, as one JSON file.

Annotation: {"videos", "annotations", "categories"}. Results: a list of {"video_id", "category_id",
"score", "segmentations": one mask or null a frame}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plainmask.data.coco_json import category_problems, category_vocabulary, read_json
from plainmask.data.coco_masks import read_rle
from plainmask.data.files import refuse
from plainmask.data.youtube_vis import (
    find_track_file,
    misfit,
    read_track_file,
    track_file_problems,
)
from plainmask.errors import InputError
from plainmask.pictures.geometry import Size
from plainmask.result_files.scored import entry_problems
from plainmask.results.rle import Rle
from plainmask.results.track import Track
from plainmask.vocabulary import Vocabulary

_LISTS = {"short": "gt_short.json", "long": "gt_long.json"}
"""Of YouTube-VIS 2022, evaluated apart."""


@dataclass(frozen=True, slots=True)
class _Result:
    video_id: int | str
    category_id: int
    score: float
    segmentations: tuple[Any, ...]


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
    split = split or "valid"
    lists = {name: data / file for name, file in _LISTS.items()}
    if split in ("valid", "gt") and all(path.is_file() for path in lists.values()):
        return lists
    return {"": find_track_file(data, split)}


def read_track_targets(path: Path) -> TrackTargets:
    """Read an annotation file.

    Raises:
        InputError: it is missing, has no annotations, or something in it is wrong (one error for
            all of it).
    """
    _, content = read_track_file(path, None)
    if not content.annotations:
        raise InputError(
            f"{path} holds no annotations, as those of published test splits; results can only be "
            "evaluated by the benchmark's server. Choose a split with annotations"
        )
    categories = content.own_categories()
    vocabulary = category_vocabulary(categories, path)
    class_of = vocabulary.by_file_id
    used = Counter(entry.category_id for entry in content.annotations)
    problems = track_file_problems(content)
    problems += category_problems(used, class_of, categories, vocabulary)
    videos: dict[str, VideoShape] = {}
    for video in content.ordered():
        if video.size is None:
            problems.append(f"video {video.id} has no width and height, which its masks must have")
        else:
            videos[str(video.id)] = VideoShape(len(video.file_names), video.size)
    rule = "these entries are wrong; correct them, or get the file again"
    refuse(path, rule, problems)
    tracks: dict[str, list[Track]] = {}
    for entry in content.annotations:
        name = str(entry.video_id)
        rles, damage = _masks(entry.segmentations or (), videos[name].size)
        problems += [f"annotation {entry.id}, {problem}" for problem in damage]
        track = Track(class_of[entry.category_id], rles, crowd=entry.iscrowd)
        tracks.setdefault(name, []).append(track)
    refuse(path, rule, problems)
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
            shape = videos.get(str(entry.video_id))
            frames = None if shape is None else shape.frames
            wrong = misfit(f"entry {place}", entry.video_id, len(entry.segmentations), frames)
            found = [wrong] if wrong else []
            found += entry_problems(place, entry.category_id, entry.score, vocabulary)
            problems += found
            if shape is not None and not found:
                rles, damage = _masks(entry.segmentations, shape.size)
                problems += [f"entry {place}, {problem}" for problem in damage]
                track = Track(class_of[entry.category_id], rles, entry.score)
                tracks.setdefault(str(entry.video_id), []).append(track)
        refuse(path, "these results do not fit the annotation", problems)
    return tracks


def _masks(forms: Sequence[Any], size: Size) -> tuple[tuple[Rle | None, ...], list[str]]:
    """The masks of a track; and what is wrong with the first that is damaged."""
    rles: list[Rle | None] = []
    for frame, form in enumerate(forms):
        try:
            rles.append(read_rle(form, size))
        except InputError as cause:
            return (), [f"frame {frame}: {cause}"]
    return tuple(rles), []
