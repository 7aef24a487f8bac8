"""A video as pictures: some of its frames, written once into the project.

    PROJECT/video.json          which video, and when each of the frames is shown
    PROJECT/frames/000120.jpg   its frame 120, counted from 0

JPEG of quality 95: a video has lost more than that already, and PNG takes four times the room.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from plainmask.atomic import write_atomically
from plainmask.errors import InputError
from plainmask.label.config import read_config, read_kept
from plainmask.label.journal import Journal
from plainmask.pictures.images import IMAGE_SUFFIXES
from plainmask.progress import Progress, counted
from plainmask.video import Frame, Video, open_video

SUFFIX = ".plainmask-label"
"""Behind the name of a video, that of its project."""
MOST = 300
"""Frames that are taken, about, unless a person says how many."""
PIECES, PIECE = 64, 65_536
"""Of a file that tell it from another: how many, and their bytes."""


class VideoNote(BaseModel):
    """video.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    name: str
    """Of its file."""
    digest: str
    """See `video_digest`."""
    every: int = Field(ge=1)
    """One frame in so many is taken, the first one first."""
    seconds: dict[str, float] = {}
    """When each picture is shown; none: they are not all written yet."""


def is_video(path: Path) -> bool:
    """Whether a path is a file that is to be labelled as a video: one that is no picture."""
    return path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES


def project_beside(path: Path) -> Path:
    """Where the project of a video is by default."""
    return path.with_name(path.stem + SUFFIX)


def read_note(place: Path) -> VideoNote | None:
    """The video that a project is of; None: it is none of a video.

    Raises:
        InputError: video.json cannot be read.
    """
    return read_kept(place / "video.json", VideoNote)


def write_frames(
    path: Path,
    place: Path,
    every: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write the frames of a video that are to be labelled, unless they are there already.

    Where it was ended in the midst, by whatever, it goes on. One frame is in memory at a time.

    Args:
        path: of the video, which stays as it is.
        place: of the project.
        every: one frame in so many is taken; None: as before, or all, but about `MOST`.
        say: takes a line for people.

    Returns:
        the folder of the pictures.

    Raises:
        InputError: it is no video that can be read, the project is of another one or of other
            frames of it, is in use, or cannot be written.
    """
    video, folder = open_video(path), place / "frames"
    note = _note_of(path, place, every)
    if note is not None and note.seconds:
        return folder
    frames = video.frames()
    frames = chain([next(frames)], frames)  # a video without any leaves nothing behind
    journal = Journal.open(place / "journal.jsonl")  # for its lock
    try:
        if note is None:
            every = every or _evenly(video, path)
            note = VideoNote(name=path.name, digest=video_digest(path), every=every)
            _write_note(place, note)
        seconds = _write(_readable(frames, say), folder, note.every, video.count)
        _write_note(place, note.model_copy(update={"seconds": seconds}))
    finally:
        journal.close()
    some = "each frame" if note.every == 1 else f"one frame in {note.every}"
    pictures = counted(len(seconds), "picture")
    say(f"{some} of {path} is taken, {pictures}; --every, with another --project, takes others")
    return folder


def check_pictures(folder: Path, place: Path) -> None:
    """See that a project is not one of a video, before it is opened for a folder of pictures.

    Raises:
        InputError: it is.
    """
    note = read_note(place)
    if note is not None:
        raise InputError(
            f"{place} is the project of the video {note.name}; give that, or another --project for "
            f"{folder}"
        )


def _note_of(path: Path, place: Path, every: int | None) -> VideoNote | None:
    """What is written of a video; None: nothing yet. Errors as `write_frames`."""
    note = read_note(place)
    if note is None and read_config(place) is not None:
        raise InputError(f"{place} is a project of pictures; give another --project for {path}")
    if note is not None and note.digest != video_digest(path):
        raise InputError(
            f"{place} is the project of another video, {note.name}; give another --project for "
            f"{path}"
        )
    if note is not None and every not in (None, note.every):
        raise InputError(
            f"{place} has one frame in {note.every} of {path}; leave --every out to go on, or give "
            "another --project for others"
        )
    return note


def video_digest(path: Path) -> str:
    """A digest of a file's size and of pieces that lie evenly in it, as videos may be huge."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        for piece in range(PIECES):
            file.seek(size * piece // PIECES)
            digest.update(file.read(PIECE))
    return digest.hexdigest()


def _evenly(video: Video, path: Path) -> int:
    """How many frames to go on by, so that there are about `MOST`."""
    count = video.count or sum(1 for _ in open_video(path))
    return math.ceil(count / MOST)


def _readable(frames: Iterable[Frame], say: Callable[[str], None]) -> Iterator[Frame]:
    """The frames before a video breaks off, which is said."""
    try:
        yield from frames
    except InputError as error:
        say(f"{error}; the frames before are taken")


def _write(
    frames: Iterable[Frame], folder: Path, every: int, count: int | None
) -> dict[str, float]:
    """Write one frame in so many where it is not there yet; when each is shown."""
    for scratch in folder.glob(".*.part"):  # of a program that was killed
        with suppress(OSError):
            scratch.unlink()
    seconds: dict[str, float] = {}
    progress = Progress(count, "frame read", "frames read")
    for number, frame in enumerate(frames):
        if number % every == 0:
            path = folder / f"{number:06d}.jpg"
            if not path.exists():
                write_atomically(path, _jpeg(frame.image))
            seconds[path.name] = round(frame.seconds, 3)
        progress.step()
    progress.clear()
    return seconds


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def _write_note(place: Path, note: VideoNote) -> None:
    write_atomically(place / "video.json", note.model_dump_json(indent=1).encode() + b"\n")
