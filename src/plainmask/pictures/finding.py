"""Which pictures files, folders and globs mean."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from plainmask.pictures.images import IMAGE_SUFFIXES


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
        return [file for file in map(Path, matches) if is_source(file)], "no picture matches this"
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return [], "there is no such file; check the path"
    if not is_folder:
        return [path], ""
    inside = [file for file in sorted(path.iterdir()) if is_source(file)]
    return inside, "there is no picture in this folder"


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return "this may not be read; check its permissions"
    why = error.strerror if isinstance(error, OSError) else error
    return f"this cannot be opened ({why}); check the path"


def is_source(path: Path) -> bool:
    """Whether a file is a picture, and not a result of an earlier run in the same folder."""
    is_result = path.name.endswith((".overlay.png", ".labels.png", ".sheet.png"))
    is_hidden = path.name.startswith(".")
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_result and not is_hidden
