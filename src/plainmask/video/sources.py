"""Where frames come from: files, folders, cameras, addresses, or anything that can be iterated."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import TypeAlias, cast

from plainmask.data.files import natural_key, pictures_by_stem
from plainmask.errors import InputError
from plainmask.pictures.images import IMAGE_SUFFIXES, ImageSource, read_image
from plainmask.video.extra import need_pyav
from plainmask.video.frames import RATE, Damaged, Frame, Video, frame_name

VideoSource: TypeAlias = "str | Path | int | Video | Iterable[ImageSource]"
"""A video file, a folder of frames, an address, a camera's number, or images one by one."""

_RESULTS = (".labels", ".overlay")
"""How the names of our own pictures end; they may lie in the folder of the frames."""


def open_video(source: VideoSource) -> Video:
    """Open a source; its frames are read when it is iterated.

    Args:
        source: a video file, a picture, a folder of frames (in the order of the numbers in their
            names), an address (rtsp://, http://, …), the number of a camera, or any iterable of
            images of any form that `Segmenter` takes. A `Video` is given back as it is.

    Raises:
        InputError: it cannot be opened; the message says why.
    """
    if isinstance(source, Video):
        return source
    if isinstance(source, int):
        need_pyav("a camera")
        from plainmask.video.live import open_camera

        return open_camera(source)
    if isinstance(source, str) and "://" in source:
        need_pyav("an address")
        from plainmask.video.live import open_address

        return open_address(source)
    if isinstance(source, bytes | bytearray | memoryview) or hasattr(source, "read"):
        raise InputError("these are the contents of a file; write them to one, and give its path")
    if not isinstance(source, str | os.PathLike):
        return _open_images(source)
    path = Path(cast("str | os.PathLike[str]", source))
    try:
        return _open_path(path)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be opened ({reason}); check the path") from error


def _open_path(path: Path) -> Video:
    if path.is_dir():
        return _open_pictures(str(path), _frames_in(path))
    if not path.exists():
        raise InputError(f"{path}: there is no such file; check the path")
    if path.suffix.lower() in IMAGE_SUFFIXES - {".gif"}:  # which may move
        return _open_pictures(str(path), [path])
    need_pyav("a video file")
    from plainmask.video.container import open_video_file

    return open_video_file(path)


def _frames_in(folder: Path) -> list[Path]:
    """The pictures in a folder, of that level only, in the order of the numbers in their names."""
    pictures = pictures_by_stem(folder)
    stems = [stem for stem in pictures if not stem.endswith(_RESULTS)]
    if not stems:
        raise InputError(
            f"{folder} holds no pictures; a video is a file, a folder of frames, an address or the "
            "number of a camera"
        )
    twice = next((pictures[stem] for stem in stems if len(pictures[stem]) > 1), None)
    if twice:
        raise InputError(
            f"{folder} holds {twice[0].name} and {twice[1].name}, so it is not clear which is the "
            "frame; keep one of them there"
        )
    return [pictures[stem][0] for stem in sorted(stems, key=natural_key)]


def _open_pictures(name: str, paths: Sequence[Path]) -> Video:
    return Video(name, partial(_read_pictures, paths), count=len(paths))


def _read_pictures(paths: Sequence[Path]) -> Generator[Frame | Damaged]:
    for place, path in enumerate(paths):
        try:
            yield Frame(read_image(path), place / RATE, path.stem)
        except InputError as error:
            yield Damaged(str(error))


def _open_images(images: Iterable[ImageSource]) -> Video:
    if not hasattr(images, "__iter__"):
        raise InputError(
            "a video is a file, a folder of frames, an address, the number of a camera or an "
            f"iterable of images, not a {type(images).__name__}"
        )
    shape = tuple(getattr(images, "shape", ()))
    if 0 < len(shape) < 4:  # its rows would be taken for grey frames
        raise InputError(
            f"a video is images, not one array or tensor of shape {shape}; give a list of them, or "
            "all in one, (T, H, W, 3)"
        )
    count = len(images) if isinstance(images, Sized) else None
    repeatable = not isinstance(images, Iterator)
    return Video("the video", partial(_read_images, images), count=count, repeatable=repeatable)


def _read_images(images: Iterable[ImageSource]) -> Generator[Frame]:
    for place, image in enumerate(images):
        try:
            pixels = read_image(image)
        except InputError as error:
            raise InputError(f"frame {place} of the video: {error}") from error
        yield Frame(pixels, place / RATE, frame_name(place))
