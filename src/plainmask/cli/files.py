"""Which pictures a command line means, and where their results go."""

from __future__ import annotations

import glob
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plainmask.errors import InputError

if TYPE_CHECKING:
    from plainmask.video.frames import Video


def find_images(inputs: Sequence[str]) -> tuple[list[Path], dict[str, str]]:
    """The pictures that files, folders (that level only) and globs mean, each once, in order.

    Returns:
        The paths, and what is wrong with an input that means none: input -> reason.
    """
    found: dict[Path, Path] = {}
    problems: dict[str, str] = {}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            inside = [file for file in sorted(path.iterdir()) if _is_source(file)]
            reason = "there is no picture in this folder"
        elif not path.exists() and glob.has_magic(given):
            matches = sorted(glob.glob(given, recursive=True))  # noqa: PTH207, absolute ones too
            inside = [file for file in map(Path, matches) if _is_source(file)]
            reason = "no picture matches this"
        else:
            inside = [path] if path.exists() else []
            reason = "there is no such file; check the path"
        if not inside:
            problems[given] = reason
        found.update({file.resolve(): file for file in inside})
    return list(found.values()), problems


def _is_source(path: Path) -> bool:
    """Whether a file is a picture, and not a result of an earlier run in the same folder."""
    from plainmask.pictures.images import IMAGE_SUFFIXES

    is_result = path.name.endswith((".overlay.png", ".labels.png"))
    is_hidden = path.name.startswith(".")
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_result and not is_hidden


def output_places(paths: Sequence[Path], out: Path) -> list[tuple[Path, str]]:
    """Folder and stem of the results of each picture, no two alike.

    All go into `out` under their own stems, unless two are the same: then the folders of the
    pictures are kept below `out`, and, if that is not enough (a.jpg and a.png), the suffixes, too.
    """
    sources = [path.resolve() for path in paths]
    base = os.path.commonpath([source.parent for source in sources])
    folders = [out / source.parent.relative_to(base) for source in sources]
    flat = [(out, path.stem) for path in paths]
    nested = [(folder, path.stem) for folder, path in zip(folders, paths, strict=True)]
    for places in (flat, nested):
        # On some systems A.png and a.png are one file.
        if len({(folder, stem.casefold()) for folder, stem in places}) == len(paths):
            return places
    return [(folder, path.name) for folder, path in zip(folders, paths, strict=True)]


def open_videos(names: Sequence[str]) -> tuple[list[tuple[str | int, Video]], dict[str, str]]:
    """The videos that files, folders of frames, addresses and numbers of cameras mean.

    Returns:
        What could be opened with its source, and what is wrong with the others: name -> message.
    """
    from plainmask.video.sources import open_video

    opened: list[tuple[str | int, Video]] = []
    problems: dict[str, str] = {}
    for name in names:
        source = int(name) if name.isdecimal() and not Path(name).exists() else name
        try:
            opened.append((source, open_video(source)))
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
