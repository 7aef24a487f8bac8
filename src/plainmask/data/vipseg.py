"""VIPSeg in its 720p form: panoptic video, 124 classes; COCO's panoptic form, video by video.

ROOT/images/VIDEO/FRAME.jpg
ROOT/panomasksRGB/VIDEO/FRAME.png        id = R + 256 G + 65536 B, 0 for none
ROOT/panoptic_gt_VIPSeg_SPLIT.json       {"videos", "annotations", "categories"}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from plainmask.data.coco_json import (
    Category,
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
    video_id: str
    images: tuple[_Image, ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    image_id: int | str
    segments_info: tuple[SegmentInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class _Annotation:
    video_id: str
    annotations: tuple[_Frame, ...]

    def infos(self) -> Iterator[SegmentInfo]:
        """The segments of all frames."""
        return (info for frame in self.annotations for info in frame.segments_info)


@dataclass(frozen=True, slots=True)
class _File:
    videos: tuple[_Video, ...]
    annotations: tuple[_Annotation, ...] = ()
    categories: tuple[Category, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One frame with what is listed for it; None: not annotated."""

    image_path: Path
    png_path: Path
    segments: tuple[SegmentInfo, ...] | None


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
    root = Path(root)
    if split is None:
        raise InputError(f"{root}: name a split: train, val or test")
    vocabulary = Vocabulary.load("vipseg") if vocabulary is None else vocabulary
    path = find_file(root, [place.format(split=split) for place in _JSON], "panoptic annotations")
    content = read_json(path, _File)
    listed = {info.category_id for entry in content.annotations for info in entry.infos()}
    categories = own_categories(content.categories, listed)
    class_of = class_of_category(categories, vocabulary)
    frames_of = {annotation.video_id: annotation.annotations for annotation in content.annotations}
    videos = {
        video.video_id: _entries(root, video, frames_of.get(video.video_id, ()))
        for video in content.videos
    }
    problems = repeated([video.video_id for video in content.videos], "video id")
    used: Counter[int] = Counter()
    for name, entries in videos.items():
        problems += _video_problems(name, entries)
        used.update(info.category_id for entry in entries for info in entry.segments or ())
    problems += category_problems(used, class_of, categories, vocabulary)
    refuse(path, "these entries are wrong; correct them, or get the files again", problems)
    return [
        _record(name, place, entry, class_of)
        for name, entries in videos.items()
        for place, entry in enumerate(entries)
    ]


def vipseg_splits(root: Path) -> list[str]:
    """The splits that annotation files are there for."""
    return find_splits(root, _JSON[:1])


def _record(video: str, place: int, entry: _Entry, class_of: Mapping[int, int]) -> Record:
    load, classes = None, None
    if entry.segments is not None:
        rows = [
            PanopticRow(info.id, class_of[info.category_id], info.iscrowd)
            for info in entry.segments
        ]
        load = partial(read_panoptic_map, entry.png_path, entry.image_path, rows)
        classes = frozenset(row.class_id for row in rows if not row.crowd)
    return Record(
        id=f"{video}/{entry.image_path.stem}",
        load_image=partial(read_image, entry.image_path),
        load_segments=load,
        sequence=video,
        frame=place,
        classes=classes,
    )


def _entries(root: Path, video: _Video, frames: Sequence[_Frame]) -> list[_Entry]:
    """The frames of a video with their files and segments."""
    listed = {str(frame.image_id): frame.segments_info for frame in frames}
    entries: list[_Entry] = []
    for image in video.images:
        stem = Path(image.file_name).stem
        png_path = root / "panomasksRGB" / video.video_id / f"{stem}.png"
        segments = listed.get(str(image.id), ())
        annotated = bool(segments) or is_file(png_path)
        image_path = root / "images" / video.video_id / f"{stem}.jpg"
        entries.append(_Entry(image_path, png_path, segments if annotated else None))
    return entries


def _video_problems(name: str, entries: Sequence[_Entry]) -> list[str]:
    problems = [] if entries else [f"video {name} has no frames"]
    if not name or {"..", "/"} & {*PurePosixPath(name).parts}:
        problems.append(f"the video name {name!r} leads out of the folder of videos")
    problems += repeated([entry.image_path.stem for entry in entries], f"video {name}: frame")
    for entry in entries:
        problems += _missing(entry)
        problems += repeated_segments(f"{name}/{entry.png_path.name}", entry.segments or ())
    categories: dict[int, set[int]] = {}
    for entry in entries:
        for info in entry.segments or ():
            categories.setdefault(info.id, set()).add(info.category_id)
    return problems + [
        f"video {name}: segment {segment} has several categories {sorted(found)}"
        for segment, found in categories.items()
        if len(found) > 1
    ]


def _missing(entry: _Entry) -> Iterator[str]:
    paths = [entry.image_path] + ([] if entry.segments is None else [entry.png_path])
    yield from (problem for path in paths if (problem := file_problem(path)))
