"""Which pictures a command line means, and where their results go."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plainmask.errors import InputError

if TYPE_CHECKING:
    from plainmask.video.frames import Video

_LONGEST_STEM = 255 - len(".segments.jsonl")
"""Bytes: names of files have at most 255."""


def find_images(inputs: Sequence[str]) -> tuple[list[Path], dict[str, str]]:
    """The pictures that files, folders (that level only) and globs mean, each once, in order.

    Returns:
        The paths, and what is wrong with an input that means none: input -> reason.
    """
    found: dict[str, Path] = {}
    problems: dict[str, str] = {}
    for given in inputs:
        try:
            inside, reason = _pictures_of(given)
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            inside, reason = [], _unreadable(error)
        if not inside:
            problems[given] = reason
        # `Path.resolve` raises on links that lead in a circle, which then fail alone.
        found |= {os.path.realpath(file): file for file in inside}
    return list(found.values()), problems


def _pictures_of(given: str) -> tuple[list[Path], str]:
    """The pictures that one input means, and why there are none if so.

    Raises:
        OSError, ValueError: it cannot be looked at.
    """
    path = Path(given)
    if "://" in given:
        return [], "this is an address; fetch it first, and give the file"
    if glob.has_magic(given) and not os.path.lexists(path):
        matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207, absolute ones too
        return [file for file in map(Path, matches) if _is_source(file)], "no picture matches this"
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return [], "there is no such file; check the path"
    if not is_folder:
        return [path], ""
    inside = [file for file in sorted(path.iterdir()) if _is_source(file)]
    return inside, "there is no picture in this folder"


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return "this may not be read; check its permissions"
    why = error.strerror if isinstance(error, OSError) else error
    return f"this cannot be opened ({why}); check the path"


def _is_source(path: Path) -> bool:
    """Whether a file is a picture, and not a result of an earlier run in the same folder."""
    from plainmask.pictures.images import IMAGE_SUFFIXES

    is_result = path.name.endswith((".overlay.png", ".labels.png", ".sheet.png"))
    is_hidden = path.name.startswith(".")
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_result and not is_hidden


def output_places(paths: Sequence[Path], out: Path) -> list[tuple[Path, str]]:
    """Folder and stem of the results of each picture, no two alike.

    All go into `out` under their own stems, unless two are the same: then the folders of the
    pictures are kept below `out`, and, if that is not enough (a.jpg and a.png), the suffixes, too.
    """
    sources = [Path(os.path.realpath(path)) for path in paths]
    base = os.path.commonpath([source.parent for source in sources])
    folders = [out / source.parent.relative_to(base) for source in sources]
    flat = [(out, _short(path.stem)) for path in paths]
    nested = [(folder, _short(path.stem)) for folder, path in zip(folders, paths, strict=True)]
    for places in (flat, nested):
        # On some systems A.png and a.png are one file.
        if len({(folder, stem.casefold()) for folder, stem in places}) == len(paths):
            return places
    return [(folder, _short(path.name)) for folder, path in zip(folders, paths, strict=True)]


def _short(stem: str) -> str:
    """A stem to which the ends of results can be added; what is too long gets a digest instead."""
    name = os.fsencode(stem)
    if len(name) <= _LONGEST_STEM:
        return stem
    kept = name[: _LONGEST_STEM - 9].decode(errors="ignore")  # not half a letter
    return f"{kept}-{hashlib.sha256(name).hexdigest()[:8]}"


def open_videos(names: Sequence[str]) -> tuple[dict[str | int, Video | None], dict[str, str]]:
    """The videos that files, folders of frames, addresses and numbers of cameras mean.

    Cameras and addresses behind the first are opened in their turn, by `open_video`: until then
    they would run and show what is past.

    Returns:
        What could be opened by its source, None for what is opened later; and what is wrong with
        the others: name -> message.
    """
    from plainmask.video.sources import open_video

    opened: dict[str | int, Video | None] = {}
    problems: dict[str, str] = {}
    for name in names:
        source = int(name) if name.isdecimal() and not os.path.lexists(name) else name
        try:
            later = opened and (isinstance(source, int) or "://" in source)
            opened[source] = None if later else open_video(source)
        except InputError as error:
            problems[name] = str(error)
    return opened, problems


def video_places(videos: Sequence[str | int], out: Path) -> list[tuple[Path, str]]:
    """Folder and stem of the results of each video (see `output_places`), no two alike.

    A folder of frames has its own name, or, where that is VSPW's `origin`, that of the folder that
    it is in; addresses and cameras have a name that can be one of a file.
    """
    return output_places([_named(video) for video in videos], out)


def _named(video: str | int) -> Path:
    """A path whose stem is what the results of a video are called."""
    if isinstance(video, int):
        return Path(f"camera-{video}.live")
    if "://" in video:
        _, _, address = video.partition("://")
        shown = address.rpartition("@")[2]  # without a password
        return Path(re.sub(r"[^\w.-]+", "-", shown).strip("-.") + ".live")
    path = Path(video)
    if not path.is_dir():
        return path
    folder = path.parent if path.name == "origin" else path
    return Path(f"{folder.resolve()}.frames")  # a dot in its name is not that of a suffix


def check_writable(out: Path) -> None:
    """Make the output folder and see that it takes files, before any work is done for it.

    Raises:
        InputError: it does not.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise InputError(
            f"the output folder {out} cannot be written: {error.strerror}; give another with --out"
        ) from error
