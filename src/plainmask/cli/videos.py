"""Which videos a command line means, and where their results go."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plainmask.errors import InputError
from plainmask.results.places import output_places

if TYPE_CHECKING:
    from plainmask.video.frames import Video


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
