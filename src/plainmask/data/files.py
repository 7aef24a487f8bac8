"""Finding the files of a data set, and saying in one error all that is wrong with them.

Readers collect problems while they list a data set; nothing is decoded for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from plainmask.data.images import IMAGE_SUFFIXES
from plainmask.errors import InputError

NaturalKey = tuple[tuple[int, int, str], ...]
"""Numbers in a name count as numbers."""

_MAX_LISTED = 10
_MAX_SAMPLED = 20


def natural_key(name: str) -> NaturalKey:
    """Sort key by which `2` comes before `10`, and that before `a`; the same for `7` and `007`."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part)


def shortened(items: Sequence[str], separator: str) -> str:
    """The first items joined, and how many more there are."""
    rest = len(items) - _MAX_LISTED
    return separator.join([*items[:_MAX_LISTED], *([f"  and {rest} more"] if rest > 0 else [])])


def refuse(where: Path, rule: str, problems: Sequence[str]) -> None:
    """Raise one error that lists the problems, if there are any.

    Args:
        where: the data set or its file.
        rule: what should be, or what to do.
        problems: one line each.

    Raises:
        InputError: there are problems.
    """
    if problems:
        lines = shortened([f"  {problem}" for problem in problems], "\n")
        raise InputError(f"{where}: {rule}:\n{lines}")


def file_problem(path: Path) -> str | None:
    """What is wrong with a file that a data set names, seen from outside; None: nothing."""
    try:
        return None if path.stat().st_size else f"the file is empty: {path}"
    except OSError:
        return f"there is no file {path}"


def pictures_by_stem(folder: Path) -> dict[str, list[Path]]:
    """The pictures in a folder, by name without suffix, in plain order.

    Hidden files are left out. None where there is no folder.
    """
    pictures: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            pictures.setdefault(path.stem, []).append(path)
    return pictures


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder in natural order, hidden ones left out; none if it is not there."""
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    shown = (path for path in found if not path.name.startswith("."))
    return sorted(shown, key=lambda path: natural_key(path.name))


def find_file(root: Path, candidates: Sequence[str], what: str) -> Path:
    """The first of some files, relative to the root, that is there.

    Args:
        root: folder of the data set.
        candidates: paths in the order of preference.
        what: names the file in the error.

    Raises:
        InputError: none is there; names what was looked for and similar files that are there.
    """
    for candidate in candidates:
        if (path := root / candidate).is_file():
            return path
    if not root.is_dir():
        raise InputError(f"{root} is expected to be the folder of a data set, but is not there")
    patterns = sorted({f"{Path(candidate).parent}/*.json*" for candidate in candidates})
    near = sorted({path.relative_to(root).as_posix() for p in patterns for path in root.glob(p)})
    there = f"there are {shortened(near, ', ')}" if near else "there is no such JSON file at all"
    raise InputError(f"{root} holds no {what}, looked for as {', '.join(candidates)}; {there}")


def find_folder(root: Path, candidates: Sequence[str], names: Sequence[str], what: str) -> Path:
    """The first of some folders, relative to the root, that holds files of the names given.

    Args:
        root: folder of the data set.
        candidates: paths in the order of preference.
        names: files in it; some of them are looked for.
        what: names the folder in the error.

    Raises:
        InputError: none holds any.
    """
    wanted = names[:: 1 + len(names) // _MAX_SAMPLED]
    for candidate in candidates:
        if any((root / candidate / name).is_file() for name in wanted):
            return root / candidate
    example = f" with files such as {wanted[0]}" if wanted else ""
    raise InputError(
        f"{root} holds no folder of {what}{example}, looked for as {', '.join(candidates)}; "
        "unpack it there"
    )
