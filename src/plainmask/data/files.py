"""Finding the files of a data set, and saying in one error all that is wrong with them.

Readers collect problems while they list a data set; nothing is decoded for it. Paths may lead into
archives; see `archive`.
"""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from plainmask.errors import InputError
from plainmask.pictures.archive import entries, file_size, is_file, is_folder, open_file
from plainmask.pictures.images import IMAGE_SUFFIXES

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


def refuse(where: Path, rule: str, problems: Sequence[str], into: list[str] | None = None) -> None:
    """Raise one error that lists the problems, if there are any.

    Args:
        where: the data set or its file.
        rule: what should be, or what to do.
        problems: one line each.
        into: a list that takes all of them instead; nothing is raised then.

    Raises:
        InputError: there are problems.
    """
    if into is not None:
        # Entries of a JSON file have no place of their own to be named by.
        prefix = f"{where}: " if where.suffix in (".json", ".gz") else ""
        into += [f"{prefix}{problem}" for problem in problems]
    elif problems:
        lines = shortened([f"  {problem}" for problem in problems], "\n")
        raise InputError(f"{where}: {rule}:\n{lines}")


def file_problem(path: Path) -> str | None:
    """What is wrong with a file that a data set names, seen from outside; None: nothing."""
    try:
        return None if file_size(path) else f"the file is empty: {path}"
    except OSError:
        return f"there is no file {path}"


def composed(name: str) -> str:
    """A name in one of the two spellings that look the same: a Mac writes "ü" as two characters."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def spellings(name: str) -> list[str]:
    """A name as it is, and in the two spellings of `composed`."""
    if name.isascii():
        return [name]
    return list(dict.fromkeys([name, *(unicodedata.normalize(f, name) for f in ("NFC", "NFD"))]))


def existing(folder: Path, names: Sequence[str]) -> Path:
    """The first file in a folder with one of the names, in either spelling; else the first name."""
    paths = [folder / spelling for name in names for spelling in spellings(name)]
    return next((path for path in paths if is_file(path)), paths[0])


def pictures_by_stem(folder: Path) -> dict[str, list[Path]]:
    """The pictures in a folder, by composed name without suffix, in plain order.

    Hidden files are left out. None where there is no folder.
    """
    pictures: dict[str, list[Path]] = {}
    for path in entries(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            pictures.setdefault(composed(path.stem), []).append(path)
    return pictures


def pictures_below(folder: Path) -> dict[str, list[Path]]:
    """The pictures in a folder and in those within it, by composed path in it without suffix."""
    pictures: dict[str, list[Path]] = {}
    for inside in folders_below(folder):
        place = composed(inside.relative_to(folder).as_posix())
        prefix = "" if place == "." else f"{place}/"
        for stem, paths in pictures_by_stem(inside).items():
            pictures[f"{prefix}{stem}"] = paths
    return pictures


def folders_below(folder: Path) -> list[Path]:
    """A folder and those within it, hidden ones left out; links are followed once."""
    found: dict[str, Path] = {}
    waiting = [folder]
    while waiting:
        here = waiting.pop(0)
        if (true_place := os.path.realpath(here)) not in found:
            found[true_place] = here
            waiting += subfolders(here)
    return list(found.values())


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 with its mark; may lie in an archive.

    Raises:
        InputError: it cannot be read, or is in another encoding.
    """
    try:
        with open_file(path) as file:
            content = file.read()
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except OSError as cause:
        raise InputError(f"{path} cannot be read: {cause.strerror}; check the path") from cause
    except UnicodeDecodeError as cause:
        line = cause.object[: cause.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}, is no UTF-8 text; save it as UTF-8") from cause


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without white space around them, empty ones left out; see above."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder in natural order, hidden ones left out; none if it is not there."""
    found = (path for path in entries(folder) if is_folder(path))
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
        if is_file(path := root / candidate):
            return path
    if not root.is_dir():
        raise InputError(f"{root} is expected to be the folder of a data set, but is not there")
    patterns = sorted({f"{Path(candidate).parent}/*.json*" for candidate in candidates})
    near = sorted({path.relative_to(root).as_posix() for p in patterns for path in root.glob(p)})
    there = f"there are {shortened(near, ', ')}" if near else "there is no such JSON file at all"
    raise InputError(f"{root} holds no {what}, looked for as {', '.join(candidates)}; {there}")


def find_splits(root: Path, candidates: Sequence[str]) -> list[str]:
    """The splits that some of the files of `find_file` are there for, in plain order.

    Args:
        root: folder of the data set.
        candidates: paths with `{split}` in the name of the file or of the folder right in the root.
    """
    found: set[str] = set()
    for candidate in candidates:
        folder, _, name = candidate.rpartition("/")
        in_folder = "{split}" in folder
        wanted = re.escape(folder if in_folder else name).replace(r"\{split\}", "(.+)")
        for path in entries(root if in_folder else root / folder):
            match = re.fullmatch(wanted, path.name)
            if match and (not in_folder or is_file(path / name)):
                # As readers know both: of train2017 the split is called train.
                found.add(match[1].removesuffix("2017"))
    return sorted(found)


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
        if any(is_file(root / candidate / name) for name in wanted):
            return root / candidate
    example = f" with files such as {wanted[0]}" if wanted else ""
    raise InputError(
        f"{root} holds no folder of {what}{example}, looked for as {', '.join(candidates)}; "
        "unpack it there"
    )
