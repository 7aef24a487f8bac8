"""YouTube-VIS 2019, 2021, 2022 and OVIS, and own data in their form: objects tracked in videos.

    ROOT/SPLIT.json                 {"videos", "annotations", "categories"}
    ROOT/SPLIT/JPEGImages/VIDEO/FRAME.jpg

The places that these data sets are unpacked to are looked through; see `_JSON`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, cast

from plainmask.data.coco_json import (
    Category,
    Flag,
    ImageSide,
    category_problems,
    category_vocabulary,
    class_of_category,
    file_path,
    own_categories,
    read_json,
    repeated,
)
from plainmask.data.coco_masks import Outline, is_absent, read_outlines, rle_size
from plainmask.data.coco_pictures import find_pictures, home_of
from plainmask.data.files import (
    find_file,
    find_splits,
    natural_key,
    refuse,
)
from plainmask.data.record import Record
from plainmask.errors import InputError
from plainmask.pictures.geometry import Size
from plainmask.pictures.images import read_image
from plainmask.vocabulary import Vocabulary

_JSON = (
    "{split}.json",
    "{split}/instances.json",
    "instances_{split}.json",
    "annotations/instances_{split}.json",
    "annotations/annotations_{split}.json",
    "annotations_{split}.json",
)
"""Where the annotation of a split may lie, below the root."""
_HUGE = 1 << 63
_IMAGES = ("{split}/JPEGImages", "{split}/images", "{split}", "JPEGImages", "images")


@dataclass(frozen=True, slots=True)
class TrackedVideo:
    """One entry of `videos`."""

    id: int | str
    file_names: tuple[str, ...]
    width: ImageSide = 0
    height: ImageSide = 0

    @property
    def size(self) -> Size | None:
        """(H, W) as stated; None where it is not, or makes no sense."""
        return (self.height, self.width) if min(self.height, self.width) > 0 else None


@dataclass(frozen=True, slots=True)
class AnnotatedTrack:
    """One entry of `annotations`."""

    id: int
    video_id: int | str
    category_id: int
    segmentations: tuple[Any, ...] | None = None
    iscrowd: Flag = False
    bboxes: Any = None

    @property
    def is_boxed(self) -> bool:
        """Whether there are boxes, but no mask in any frame."""
        boxes = cast(list[Any], self.bboxes) if isinstance(self.bboxes, list) else []
        return any(boxes) and all(map(is_absent, self.segmentations or ()))


@dataclass(frozen=True, slots=True)
class TrackFile:
    """What is read of the JSON file."""

    videos: tuple[TrackedVideo, ...]
    annotations: tuple[AnnotatedTrack, ...] | None = None
    categories: tuple[Category, ...] = ()

    def ordered(self) -> list[TrackedVideo]:
        """The videos by ascending id."""
        return sorted(self.videos, key=lambda video: natural_key(str(video.id)))

    def own_categories(self) -> tuple[Category, ...]:
        """The categories that are classes."""
        used = {track.category_id for track in self.annotations or ()}
        return own_categories(self.categories, used)


def read_youtube_vis(
    root: str | Path, split: str | None, vocabulary: Vocabulary | None = None
) -> list[Record]:
    """List the frames of all videos, by ascending video id; nothing is decoded yet.

    Segments are the objects of a frame; their track ids are the annotation ids. Frames of a file
    without annotations (validation and test splits as published) are unlabelled. Stated boxes,
    areas and lengths are not looked at.

    Args:
        root: the folder of the data set.
        split: such as train or valid; `gt`, `gt_short` and `gt_long` are annotations of the
            frames of valid (YouTube-VIS 2022).
        vocabulary: the classes; names that the file states decide, not its numbers. None: those
            that the file states.

    Raises:
        InputError: the JSON file, the frames or something in them is missing or wrong (one error
            for all of it). When a record is read: an outline is damaged, or sizes differ.
    """
    root = Path(root)
    path, content = read_track_file(root, split)
    if vocabulary is None:
        vocabulary = category_vocabulary(content.own_categories(), path)
    names = [name for video in content.videos for name in video.file_names]
    name = path.name.partition(".")[0] if split is None else split
    frames_split = "valid" if name.startswith("gt") else name
    places = [place.format(split=frames_split) for place in _IMAGES]
    home, places = home_of(root, places)
    pictures = find_pictures(home, places, names, "video frames")
    categories = content.own_categories()
    class_of = class_of_category(categories, vocabulary)
    tracks = content.annotations or ()
    used = Counter(track.category_id for track in tracks)
    problems = [
        *track_file_problems(content),
        *category_problems(used, class_of, categories, vocabulary),
        *pictures.problems,
    ]
    refuse(path, "these entries are wrong; correct them, or get the files again", problems)
    sequences = _sequence_names(content.videos)
    tracks_of: dict[str, list[AnnotatedTrack]] = {}
    for track in tracks:
        tracks_of.setdefault(str(track.video_id), []).append(track)
    return [
        record
        for video in content.ordered()
        for record in _frames(
            video,
            sequences[str(video.id)],
            pictures.paths,
            tracks_of.get(str(video.id), []) if tracks else None,
            class_of,
        )
    ]


def youtube_vis_vocabulary(root: str | Path, split: str | None) -> Vocabulary:
    """The classes that the data set states, by ascending category id.

    Raises:
        InputError: the JSON file is missing or wrong.
    """
    path, content = read_track_file(Path(root), split)
    return category_vocabulary(content.own_categories(), path)


def youtube_vis_splits(root: Path) -> list[str]:
    """The splits that annotation files are there for."""
    found = find_splits(root, _JSON)
    # The first place takes any name, such as those of the others.
    return [split for split in found if not split.startswith(("instances_", "annotations_"))]


def find_track_file(root: Path, split: str | None) -> Path:
    """The JSON file of a split, or the one that is given in place of the data set.

    Raises:
        InputError: it is not there.
    """
    if root.is_file():
        return root
    if split is None:
        raise InputError(f"{root}: name a split, such as train or valid")
    candidates = [place.format(split=split) for place in _JSON]
    return find_file(root, candidates, "video annotations")


def read_track_file(root: Path, split: str | None) -> tuple[Path, TrackFile]:
    """Find and read the JSON file; see `find_track_file`.

    Raises:
        InputError: it is not there, cannot be read or lists nothing.
    """
    path = find_track_file(root, split)
    content = read_json(path, TrackFile)
    if not content.videos:
        raise InputError(f"{path} lists no videos")
    return path, content


def track_file_problems(content: TrackFile) -> list[str]:
    """One line per entry of the file that is wrong; masks are not decoded, files not looked for."""
    tracks = content.annotations or ()
    return [*_video_problems(content.videos), *_track_problems(content.videos, tracks)]


def misfit(what: str, video: int | str, count: int, frames: int | None) -> str | None:
    """What is wrong with a track of so many masks in a video of so many frames; None: nothing.

    Frames are None where there is no such video; `what` names the track.
    """
    if frames is None:
        return f"{what} is of video {video}, which is unknown"
    if count != frames:
        return f"{what} has {count} segmentations, its video {video} {frames} frames"
    return None


def _sequence_names(videos: Sequence[TrackedVideo]) -> dict[str, str]:
    """A name for each video, by its id: its folder, or the id where folders do not tell apart."""
    folders = {
        str(video.id): {str(PurePosixPath(file_path(name)).parent) for name in video.file_names}
        for video in videos
    }
    counts = Counter(folder for found in folders.values() for folder in found)
    return {
        key: folder
        if len(found) == 1 and counts[folder := next(iter(found))] == 1 and folder != "."
        else key
        for key, found in folders.items()
    }


def _frames(
    video: TrackedVideo,
    sequence: str,
    paths: Mapping[str, Path],
    tracks: Sequence[AnnotatedTrack] | None,
    class_of: Mapping[int, int],
) -> Iterator[Record]:
    """The records of one video; tracks None: not annotated."""
    for place, name in enumerate(video.file_names):
        image_path = paths[name]
        load, classes = None, None
        if tracks is not None:
            outlines = tuple(
                Outline(form, class_of[track.category_id], track.iscrowd, track.id, number=track.id)
                for track in tracks
                if not is_absent(form := (track.segmentations or ())[place])
            )
            load = partial(read_outlines, outlines, video.size, image_path)
            classes = frozenset(outline.class_id for outline in outlines if not outline.crowd)
        yield Record(
            id=f"{sequence}/{PurePosixPath(file_path(name)).stem}",
            load_image=partial(read_image, image_path),
            load_annotation=load,
            sequence=sequence,
            frame=place,
            classes=classes,
        )


def _video_problems(videos: Sequence[TrackedVideo]) -> list[str]:
    problems = repeated([video.id for video in videos], "video id")
    problems += [f"video {video.id} has no frames" for video in videos if not video.file_names]
    for video in videos:
        stems = [PurePosixPath(file_path(name)).stem for name in video.file_names]
        problems += repeated(stems, f"video {video.id}: frame")
    return problems


def _track_problems(videos: Sequence[TrackedVideo], tracks: Sequence[AnnotatedTrack]) -> list[str]:
    problems = repeated([track.id for track in tracks], "annotation id")
    video_of = {str(video.id): video for video in videos}
    for track in tracks:
        what, forms = f"annotation {track.id}", track.segmentations
        video = video_of.get(str(track.video_id))
        frames = None if video is None else len(video.file_names)
        if not -_HUGE <= track.id < _HUGE:
            problems.append(f"annotation id {track.id} has more than 64 bits; number them anew")
        elif video is not None and forms is None:
            problems.append(f"{what} has no segmentations")
        elif video is not None and track.is_boxed:
            problems.append(
                f"{what} has boxes, but no mask in any frame, and would be taken for background; "
                "outline or delete it"
            )
        elif (wrong := misfit(what, track.video_id, len(forms or ()), frames)) is not None:
            problems.append(wrong)
        elif video is not None:
            problems += _size_problems(track, video)
    return problems


def _size_problems(track: AnnotatedTrack, video: TrackedVideo) -> list[str]:
    """At most one line: run lengths of another size than the video is stated to have."""
    for place, form in enumerate(track.segmentations or ()):
        try:
            size = rle_size(form)
        except InputError as cause:
            return [f"annotation {track.id}, frame {place}: {cause}"]
        if size is not None and video.size is not None and size != video.size:
            return [
                f"annotation {track.id}, frame {place}: run lengths are for a size of {size}, "
                f"the video's is {video.size}"
            ]
    return []
