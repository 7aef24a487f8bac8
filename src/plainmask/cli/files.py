"""Which pictures a command line means, and where their results go."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from plainmask.errors import InputError


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
    from plainmask.data.images import IMAGE_SUFFIXES

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
