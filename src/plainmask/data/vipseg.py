"""VIPSeg in its 720p form: panoptic video, 124 classes; COCO's panoptic form, video by video.

ROOT/images/VIDEO/FRAME.jpg
ROOT/panomasksRGB/VIDEO/FRAME.png        id = R + 256 G + 65536 B, 0 for none
ROOT/panoptic_gt_VIPSeg_SPLIT.json       {"videos", "annotations", "categories"}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from plainmask.data.coco_json import (
    Category,
    Text,
    category_problems,
    class_of_category,
    own_categories,
    read_json,
    repeated,
)
from plainmask.data.coco_panoptic import (
    PanopticRow,
    SegmentInfo,
    read_panoptic_map,
    repeated_segments,
)
from plainmask.data.files import file_problem, find_file, find_splits, refuse
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.pictures.archive import is_file
from plainmask.pictures.images import read_image
from plainmask.vocabulary import Vocabulary

_JSON = ("panoptic_gt_VIPSeg_{split}.json", "panoptic_gt_{split}.json")


@dataclass(frozen=True, slots=True)
class _Image:
    id: int | str
    file_name: str


@dataclass(frozen=True, slots=True)
class _Video:
    video_id: Text
    images: tuple[_Image, ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    image_id: int | str
    segments_info: tuple[SegmentInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class _Annotation:
    video_id: Text
    annotations: tuple[_Frame, ...]


@dataclass(frozen=True, slots=True)
class _File:
    videos: tuple[_Video, ...]
    annotations: tuple[_Annotation, ...] = ()
    categories: tuple[Category, ...] = ()


class VipsegFrame(NamedTuple):
    """One frame with what the file lists for it."""

    image_id: int | str
    image_path: Path
    png_path: Path
    segments: tuple[SegmentInfo, ...] | None
    """None: the annotation does not name the frame."""


class VipsegVideos(NamedTuple):
    """What the file of a split says."""

    path: Path
    """Of the file."""
    categories: tuple[Category, ...]
    videos: Mapping[str, Sequence[VipsegFrame]]
    """By name, in the order of the file."""
    problems: list[str]
    """One line for each thing that is wrong with it, whatever it is read for."""


def read_vipseg(
    root: str | Path, split: str | None, vocabulary: Vocabulary | None = None
) -> list[Record]:
    """List the frames of all videos in the order of the file; nothing is decoded yet.

    Track ids are the segment ids of the PNGs, constant over a video. Frames without listed
    segments and without a PNG (the test split) are unlabelled.

    Args:
        root: the folder `VIPSeg_720P`.
        split: train, val or test.
        vocabulary: the classes; names that the file states decide, not its numbers. None: the
            built-in `vipseg`, things first.

    Raises:
        InputError: the JSON file, frames, PNGs or something in them is missing or wrong (one error
            for all of it). When a record is read: a PNG that does not belong to its frame.
    """
    if split is None:
        raise InputError(f"{root}: name a split: train, val or test")
    vocabulary = Vocabulary.load("vipseg") if vocabulary is None else vocabulary
    listed = list_vipseg(root, split)
    class_of = class_of_category(listed.categories, vocabulary)
    frames = [frame for video in listed.videos.values() for frame in video]
    used = Counter(info.category_id for info in _infos(frames))
    problems = [
        *listed.problems,
        *(problem for frame in frames for problem in _frame_problems(frame)),
        *category_problems(used, class_of, listed.categories, vocabulary),
    ]
    refuse(listed.path, "these entries are wrong; correct them, or get the files again", problems)
    return [
        _record(name, place, frame, class_of)
        for name, video in listed.videos.items()
        for place, frame in enumerate(video)
    ]


def list_vipseg(root: str | Path, split: str) -> VipsegVideos:
    """Read the file of a split; frames and PNGs are not looked for.

    Args:
        root: the folder `VIPSeg_720P`.
        split: such as val.

    Raises:
        InputError: the file is missing, or is none of this form.
    """
    root = Path(root)
    places = [place.format(split=split) for place in _JSON]
    path = find_file(root, places, "panoptic annotations")
    content = read_json(path, _File)
    frames_of = {annotation.video_id: annotation.annotations for annotation in content.annotations}
    videos = {
        video.video_id: _frames(root, video, frames_of.get(video.video_id, ()))
        for video in content.videos
    }
    used = {info.category_id for frames in videos.values() for info in _infos(frames)}
    categories = own_categories(content.categories, used)
    names = {category.id: category.name for category in categories}
    problems = [] if videos else ["it lists no videos"]
    problems += repeated([video.video_id for video in content.videos], "video id")
    for name, frames in videos.items():
        problems += _video_problems(name, frames)
        listed = ((frame.png_path.stem, frame.segments or ()) for frame in frames)
        problems += class_problems(name, listed, names)
    return VipsegVideos(path, categories, videos, problems)


def class_problems(
    video: str, frames: Iterable[tuple[str, Sequence[SegmentInfo]]], names: Mapping[int, str]
) -> list[str]:
    """One line per segment id that stands for several categories in the frames of a video."""
    found: dict[int, dict[int, str]] = {}
    for stem, infos in frames:
        for info in infos:
            found.setdefault(info.id, {}).setdefault(info.category_id, stem)
    return [
        f"video {video}: the id {key} is "
        + " and ".join(f"{names.get(c) or f'category {c}'} in frame {first[c]}" for c in first)
        + "; an id stands for one object"
        for key, first in found.items()
        if len(first) > 1
    ]


def vipseg_splits(root: Path) -> list[str]:
    """The splits that annotation files are there for."""
    return find_splits(root, _JSON[:1])


def _record(video: str, place: int, frame: VipsegFrame, class_of: Mapping[int, int]) -> Record:
    load, classes = None, None
    if _is_labelled(frame):
        rows = [
            PanopticRow(info.id, class_of[info.category_id], info.iscrowd)
            for info in frame.segments or ()
        ]
        load = partial(read_panoptic_map, frame.png_path, frame.image_path, rows)
        classes = frozenset(row.class_id for row in rows if not row.crowd)
    return Record(
        id=f"{video}/{frame.image_path.stem}",
        load_image=partial(read_image, frame.image_path),
        load_annotation=load,
        sequence=video,
        frame=place,
        classes=classes,
    )


def _frames(root: Path, video: _Video, frames: Sequence[_Frame]) -> list[VipsegFrame]:
    """The frames of a video with their files and segments."""
    listed = {str(frame.image_id): frame.segments_info for frame in frames}
    pictures, maps = root / "images" / video.video_id, root / "panomasksRGB" / video.video_id
    return [
        VipsegFrame(key, pictures / f"{stem}.jpg", maps / f"{stem}.png", listed.get(str(key)))
        for key, stem in ((image.id, Path(image.file_name).stem) for image in video.images)
    ]


def _infos(frames: Iterable[VipsegFrame]) -> Iterator[SegmentInfo]:
    """The segments of all frames."""
    return (info for frame in frames for info in frame.segments or ())


def _is_labelled(frame: VipsegFrame) -> bool:
    """Whether there is something to learn: all pixels may be void."""
    return bool(frame.segments) or is_file(frame.png_path)


def _video_problems(name: str, frames: Sequence[VipsegFrame]) -> list[str]:
    problems = [] if frames else [f"video {name} has no frames"]
    if not name or {"..", "/"} & {*PurePosixPath(name).parts}:
        problems.append(f"the video name {name!r} leads out of the folder of videos")
    return problems + repeated([frame.png_path.stem for frame in frames], f"video {name}: frame")


def _frame_problems(frame: VipsegFrame) -> Iterator[str]:
    paths = [frame.image_path, *([frame.png_path] if _is_labelled(frame) else [])]
    yield from (problem for path in paths if (problem := file_problem(path)))
    where = f"{frame.png_path.parent.name}/{frame.png_path.name}"
    yield from repeated_segments(where, frame.segments or ())
