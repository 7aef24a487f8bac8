"""Where results go: a folder that takes them, and names that no two of them share."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from plainmask.errors import InputError

_LONGEST_STEM = 255 - len(".segments.jsonl")
"""Bytes: names of files have at most 255."""


def check_writable(out: Path) -> None:
    """See that the output folder can be made and takes files, before any work is done for it.

    A folder that was not there is not left behind: whoever writes into it makes it.

    Raises:
        InputError: it does not.
    """
    made: list[Path] = []
    try:
        made += [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        raise InputError(
            f"the output folder {out} cannot be written: {error.strerror}; give another with --out"
        ) from error
    finally:
        for folder in made:  # the innermost first
            with suppress(OSError):
                folder.rmdir()


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
