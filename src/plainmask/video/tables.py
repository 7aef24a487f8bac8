"""Results as text: one JSON line a frame, and the result file of YouTube-VIS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from plainmask import __version__
from plainmask.atomic import LIST_MARK, check_replaceable
from plainmask.results import InstanceResult, Result
from plainmask.video.frames import Frame
from plainmask.video.growing import GrowingFile


class JsonLines:
    """One line a frame: its place, its time and its segments with their masks.

    {"plainmask": version, "frame_index", "name", "seconds", "image_size", "segments": [{"id",
    "class_id", "label", "thing", "score", "area", "box", "track_id", "age", "segmentation"}]}

    The segments are those of `Result.keep`: no doubtful ones, and none of which nothing is seen.
    """

    def __init__(self, path: Path):
        check_replaceable(path)
        self._file = GrowingFile(path)

    def write(self, frame: Frame, result: Result) -> None:
        """Add a line."""
        result = result.keep()
        pairs = zip(result.segments, result.rows(), strict=True)
        line = {
            "plainmask": __version__,
            "frame_index": result.frame_index,
            "name": frame.name,
            "seconds": round(frame.seconds, 6),
            "image_size": list(result.image_size),
            "segments": [
                {**row, "segmentation": result.rle_of(segment).to_coco()} for segment, row in pairs
            ],
        }
        self._file.append(_json(line) + b"\n")

    def close(self) -> list[Path]:
        """Give the file its name."""
        return self._file.finish()


class _Candidate(NamedTuple):
    """One track as one class: an entry of the file."""

    track_id: int
    category_id: int
    score: float


class YoutubeVis:
    """Result file of YouTube-VIS and OVIS: a list of tracks, each with a mask for every frame.

    [{"video_id", "category_id", "score", "segmentations": [RLE or null, …]}, …]

    Classes and scores are those of the last frame, which know all of the video; the masks wait for
    it on disk. A mask is null where the object is not seen, and, online, in frames in which the
    track was not yet among the candidates.
    """

    def __init__(self, path: Path, video: str):
        check_replaceable(path)
        self._path = path
        self._video_id = int(video) if video.isdecimal() else video
        self._masks = GrowingFile(path.with_name(f"{path.name}.masks"))
        self._frames = 0
        self._candidates: list[_Candidate] = []

    def write(self, frame: Frame, result: Result) -> None:
        """Add the masks of a frame; its classes and scores replace those before."""
        if isinstance(result, InstanceResult):  # the benchmark asks for doubtful tracks, too
            result = result.candidates
        classes = result.vocabulary.classes
        pairs = list(zip(result.segments, result.track_ids, strict=True))
        masks = {
            track_id: result.rle_of(segment).to_coco()
            for segment, track_id in pairs
            if segment.area
        }
        rows = (b"%d %d %s\n" % (key, self._frames, _json(mask)) for key, mask in masks.items())
        self._masks.append(b"".join(rows))
        self._frames += 1
        self._candidates = [
            _Candidate(track_id, classes[segment.class_id].file_id, segment.score)
            for segment, track_id in pairs
        ]

    def close(self) -> list[Path]:
        """Write the file: the masks are read once for each entry."""
        if not self._frames:
            self._masks.discard()
            return []
        file = GrowingFile(self._path)
        try:
            file.append(LIST_MARK)
            for place, candidate in enumerate(self._candidates):
                file.append(b",\n " if place else b" ")
                self._append(file, candidate)
            file.append(b"]\n")
        except BaseException:
            file.discard()
            raise
        finally:
            self._masks.discard()
        return file.finish()

    def _append(self, file: GrowingFile, candidate: _Candidate) -> None:
        head = {
            "video_id": self._video_id,
            "category_id": candidate.category_id,
            "score": candidate.score,
        }
        file.append(_json(head)[:-1] + b', "segmentations": [')
        for place, mask in enumerate(self._track(candidate.track_id)):
            file.append((b", " if place else b"") + mask)
        file.append(b"]}")

    def _track(self, track_id: int) -> Iterator[bytes]:
        """The masks of a track in all frames, as JSON."""
        start = b"%d " % track_id
        place = 0
        for line in self._masks.lines():
            if line.startswith(start):
                _, frame, mask = line.rstrip(b"\n").split(b" ", 2)
                for _ in range(place, int(frame)):
                    yield b"null"
                yield mask
                place = int(frame) + 1
        for _ in range(place, self._frames):
            yield b"null"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
