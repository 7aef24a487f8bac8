"""Where the pictures lie that a JSON file of the COCO family names, whatever it calls them.

A name is a path below a folder of pictures. Written on another machine, it may be an absolute path
or an address, percent-encoded, or with backslashes: then its end decides. No name leads out of the
data set.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from plainmask.data.files import file_problem, find_folder, spellings
from plainmask.pictures.archive import is_file

_AWAY = re.compile(r"/|[A-Za-z]:|\.\./|\w+://")
"""How names begin that are not below the folder of pictures."""


class Pictures(NamedTuple):
    """The pictures of a file, by their names in it."""

    paths: Mapping[str, Path]
    """Of each name its file, where it is sound."""
    ids: Mapping[str, str]
    """Of each name a name of its own without suffix; with it, where two differ by that only."""
    problems: Sequence[str]
    """One line for each name without a sound file."""


def find_pictures(root: Path, places: Sequence[str], names: Sequence[str], what: str) -> Pictures:
    """Find the pictures that a file names.

    Args:
        root: the folder of the data set.
        places: folders below it, in the order of preference.
        names: as the file has them.
        what: they are, for the error.

    Raises:
        InputError: no folder holds any of them.
    """
    choices = {name: readings(name) for name in names}
    wanted = [*choices][:: 1 + len(choices) // 20]
    folder = find_folder(root, places, [choice for n in wanted for choice in choices[n]], what)
    homes = [folder, *(root / place for place in places if root / place != folder)]
    paths: dict[str, Path] = {}
    inside: dict[str, str] = {}
    problems: list[str] = []
    for name, ways in choices.items():
        path, inside[name] = folder / ways[0], ways[0]
        if len(ways) > 1 or ways[0] != name:
            there = ((home / way, way) for way in ways for home in homes)
            found = next((pair for pair in there if is_file(pair[0])), None)
            if found is None and _AWAY.match(posixpath.normpath(_slashes(name))):
                problems.append(
                    f"the file name {name} leads out of {root}, and is not in it either"
                )
                continue
            path, inside[name] = found or (path, ways[0])
        if (problem := file_problem(path)) is None:
            paths[name] = path
        else:
            problems.append(problem)
    return Pictures(paths, _ids(inside), problems)


def home_of(root: Path, places: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """The folder of a data set, and places below it; of one that is given by a file, near that."""
    if not root.is_file():
        return root, places
    folder = root.absolute().parent
    return folder.parent, [*(f"{folder.name}/{place}" for place in places), *places]


def readings(name: str) -> list[str]:
    """The paths below a folder that a name may mean, the likeliest first; none leads out of it."""
    plain = _slashes(name)
    is_address = re.match(r"\w+://", plain) is not None
    plain = re.split(r"[?#]", plain.split("://", 1)[1])[0] if is_address else plain
    plain = posixpath.normpath(plain) if "." in plain.split("/") or ".." in plain else plain
    whole = [plain, unquote(plain)] if "%" in plain else [plain]
    found: list[str] = []
    for path in whole:
        parts = [part for part in path.split("/") if part not in ("", "..")]
        if is_address or _AWAY.match(path):
            parts = parts[1:] if re.match(r"[A-Za-z]:", path) else parts
            found += ["/".join(parts[first:]) for first in range(len(parts))]
        else:
            found.append(path)
    return list(dict.fromkeys(s for path in found or [""] for s in spellings(path)))


def _slashes(name: str) -> str:
    return name.replace("\\", "/")


def _ids(inside: Mapping[str, str]) -> dict[str, str]:
    """A name for each picture: without suffix, unless two would have one."""
    short = {name: posixpath.splitext(way)[0] for name, way in inside.items()}
    ways: dict[str, set[str]] = {}
    for name, way in inside.items():
        ways.setdefault(short[name], set()).add(way)
    return {name: short[name] if len(ways[short[name]]) == 1 else inside[name] for name in inside}
