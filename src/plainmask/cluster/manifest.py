"""What is to be done: a table of ids and paths, read from Parquet or listed from a folder."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from plainmask.cluster.places import FileAt, Place, place_of, reason
from plainmask.errors import InputError
from plainmask.pictures.finding import is_source
from plainmask.progress import counted

VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"}
)
"""Lower-case suffixes by which videos are found in a folder; a manifest may name any file."""


class Manifest(NamedTuple):
    """Pictures or videos, in order."""

    ids: list[str]
    """No two alike."""
    paths: list[str]
    """Or addresses; paths are absolute."""


def read_manifest(given: str, *, videos: bool = False) -> Manifest:
    """The pictures that a Parquet file, or a folder with all folders in it, names.

    Args:
        given: a path or address. A Parquet file has the columns `id` and `path`; paths that are
            not absolute start from its folder.
        videos: list videos of a folder: files, and folders of frames.

    Returns:
        In the order of the file or of the paths. Of a folder the id is a digest of the path in it,
        of size and time of the last change, so a picture that changes has another; none needs to be
        read for it.

    Raises:
        InputError: nothing is there, a column is missing, or ids are missing or double.
    """
    place = place_of(given)
    kind = place.kind()
    if kind == "nothing":
        raise InputError(f"{given}: there is no such file or folder; check the path")
    found = _read(place) if kind == "file" else _listed(place, videos=videos)
    if not found.ids:
        things = "no videos" if videos else "no pictures; --videos takes videos"
        raise InputError(f"{given} has {things}")
    return found


def _read(place: Place) -> Manifest:
    try:
        table = pq.read_table(place.path, filesystem=place.files)
    except (OSError, pa.ArrowException) as cause:
        raise InputError(
            f"{place.name} is no Parquet file that can be read ({reason(cause)}); give one with "
            "the columns id and path, or a folder"
        ) from cause
    columns: dict[str, list[str]] = {}
    for name in ("id", "path"):
        if name not in table.column_names:
            raise InputError(
                f"{place.name} has no column {name!r}, only {', '.join(table.column_names)}; name "
                "each picture by an id of its own, and say where it is (path)"
            )
        if table[name].null_count:
            raise InputError(
                f"{place.name}: {counted(table[name].null_count, 'row')} of {len(table)} without "
                f"{name}; give each one"
            )
        columns[name] = table[name].cast(pa.string()).to_pylist()
    twice = [key for key, number in Counter(columns["id"]).items() if number > 1]
    if twice:
        raise InputError(
            f"{place.name}: {counted(len(twice), 'id')} of several rows, such as {twice[0]!r}; "
            "give each picture one of its own"
        )
    folder = place.name.rpartition("/")[0]
    return Manifest(
        columns["id"],
        [
            path if "://" in path or Path(path).is_absolute() else f"{folder}/{path}"
            for path in columns["path"]
        ],
    )


def _listed(folder: Place, *, videos: bool) -> Manifest:
    found = Manifest([], [])
    for within, files in _videos(folder) if videos else _pictures(folder.inside()):
        stamps = [(one.path, one.size, one.changed) for one in files]
        key = hashlib.blake2b(f"{within} {stamps}".encode(), digest_size=16).hexdigest()
        found.ids.append(key)
        found.paths.append(folder.below(within).name if within else folder.name)
    return found


def _pictures(files: Iterable[FileAt]) -> Iterator[tuple[str, list[FileAt]]]:
    return ((one.path, [one]) for one in files if is_source(Path(one.path)))


def _videos(folder: Place) -> Iterator[tuple[str, list[FileAt]]]:
    """Video files; and on disks folders with pictures, each a video of these."""
    files = folder.inside()
    for one in files:
        name = Path(one.path)
        if name.suffix.lower() in VIDEO_SUFFIXES and not name.name.startswith("."):
            yield one.path, [one]
    frames: defaultdict[str, list[FileAt]] = defaultdict(list)
    for path, (one,) in _pictures(files):
        frames[path.rpartition("/")[0]].append(one)
    if folder.on_disk:
        yield from frames.items()
