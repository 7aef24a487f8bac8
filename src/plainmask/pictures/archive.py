"""Files in folders and in zip archives, under one kind of path.

A member of an archive has the path of the archive, followed by its name in it:
`coco/val2017.zip/val2017/1.jpg`; members of an archive in an archive alike. Such paths go wherever
paths go, into worker processes, too: each process opens an archive once, when it first reads it.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import tempfile
import weakref
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from plainmask.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_ARCHIVE_ERRORS = (
    BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Python raises on broken, encrypted or exotic archives."""
_LOCAL_HEADER = struct.Struct("<26xHH")
"""The part of a member's header that says how long its name and its extra field are."""


def is_file(path: Path) -> bool:
    """Whether there is a file of this path, in a folder or in an archive.

    Raises:
        InputError: an archive on the way to it is damaged; so in all functions here.
    """
    if (place := _locate(path)) is None:
        return _holds(path, Path.is_file)
    archive, name = place
    return name in archive.sizes


def is_folder(path: Path) -> bool:
    """Whether there is a folder of this path, in a folder or in an archive."""
    if (place := _locate(path)) is None:
        return _holds(path, Path.is_dir)
    archive, name = place
    return name in archive.folders


def file_size(path: Path) -> int:
    """Number of bytes of a file.

    Raises:
        OSError: it is not there.
    """
    if (place := _locate(path)) is None:
        try:
            return path.stat().st_size
        except ValueError:  # a name that none can have
            raise _missing(path) from None
    archive, name = place
    if name not in archive.sizes:
        raise _missing(path)
    return archive.sizes[name]


def entries(folder: Path) -> list[Path]:
    """The files and folders in a folder, by name; none if it is not there.

    Raises:
        InputError: it may not be read.
    """
    if (place := _locate(folder)) is None:
        try:
            return sorted(folder.iterdir()) if is_folder(folder) else []
        except OSError as cause:
            raise InputError(
                f"{folder} cannot be read: {cause.strerror}; check its permissions"
            ) from cause
    archive, name = place
    return [folder / entry for entry in sorted(archive.folders.get(name, ()))]


def open_file(path: Path) -> IO[bytes]:
    """Open a file for reading; a member of an archive is unpacked into memory.

    Raises:
        OSError: it is not there or cannot be opened.
        InputError: it is damaged in its archive.
    """
    if (place := _locate(path)) is None:
        return path.open("rb")
    archive, name = place
    if name not in archive.sizes:
        raise _missing(path)
    with _archive_errors(path):
        return io.BytesIO(archive.zip.read(name))


class _Archive:
    """One open archive, with its members by name and by folder."""

    def __init__(self, file: IO[bytes], path: Path):
        weakref.finalize(self, file.close)
        self.file, self.path = file, path
        self.inner_archives: dict[str, _Archive] = {}
        with _archive_errors(path):
            self.zip = ZipFile(file)

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of bytes of each member that is a file."""
        return {info.filename: info.file_size for info in self.zip.infolist() if not info.is_dir()}

    @cached_property
    def folders(self) -> dict[str, set[str]]:
        """What lies in each folder; archives need not list their folders."""
        folders: dict[str, set[str]] = {}
        for name in self.sizes:
            while name:
                parent, _, own = name.rpartition("/")
                inside = folders.setdefault(parent, set())
                if own in inside:  # and so are all folders above
                    break
                inside.add(own)
                name = parent
        return folders

    def inner(self, name: str) -> _Archive:
        """The archive that is a member of this one."""
        if name not in self.inner_archives:
            info, path = self.zip.getinfo(name), self.path / name
            file: IO[bytes]
            if info.compress_type == ZIP_STORED and self.path.is_file():
                outer = self.path.open("rb")
                outer.seek(info.header_offset)
                lengths = _LOCAL_HEADER.unpack(outer.read(_LOCAL_HEADER.size))
                begin = info.header_offset + _LOCAL_HEADER.size + sum(lengths)
                file = io.BufferedReader(_Window(outer, begin, info.file_size))
            else:  # packed twice: no part can be reached without all before it
                file = tempfile.TemporaryFile()  # noqa: SIM115, closed with the archive
                with _archive_errors(path), self.zip.open(info) as packed:
                    shutil.copyfileobj(packed, file, 1 << 20)
            self.inner_archives[name] = _Archive(file, path)
        return self.inner_archives[name]


class _Window(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: IO[bytes], begin: int, size: int):
        self.file, self.begin, self.size, self.place = file, begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        self.place = start + offset
        if self.place < 0:  # as of any file; archives that are too short are noticed by it
            raise OSError(errno.EINVAL, "before the beginning")
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        self.file.seek(self.begin + self.place)
        data = self.file.read(max(0, min(len(view), self.size - self.place)))
        view[: len(data)] = data
        self.place += len(data)
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


@lru_cache(maxsize=32)
def _opened(path: Path, process: int, changed: int, size: int) -> _Archive:
    """An archive, opened once by each process: forked ones would share their place in the file."""
    return _Archive(path.open("rb"), path)


def _locate(path: Path) -> tuple[_Archive, str] | None:
    """The archive that a path leads into and the name of the member; None for other paths."""
    parts = path.parts
    for depth, part in enumerate(parts[:-1], 1):
        if part.lower().endswith(".zip") and _holds(outer := Path(*parts[:depth]), Path.is_file):
            state = outer.stat()
            archive = _opened(outer, os.getpid(), state.st_mtime_ns, state.st_size)
            return _descend(archive, parts[depth:])
    return None


def _descend(archive: _Archive, parts: tuple[str, ...]) -> tuple[_Archive, str]:
    for depth, part in enumerate(parts[:-1], 1):
        name = "/".join(parts[:depth])
        if part.lower().endswith(".zip") and name in archive.sizes:
            return _descend(archive.inner(name), parts[depth:])
    return archive, "/".join(parts)


def _holds(path: Path, is_kind: Callable[[Path], bool]) -> bool:
    """Whether a path is of a kind; False for names that are too long, and where none may look."""
    try:
        return is_kind(path)
    except (OSError, ValueError):
        return False


def _missing(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


@contextmanager
def _archive_errors(path: Path) -> Generator[None, None, None]:
    """Let what Python raises on a broken archive leave the block as an InputError."""
    try:
        yield
    except _ARCHIVE_ERRORS as cause:
        raise InputError(
            f"{path} is damaged, not complete or not a zip archive ({cause}); get it again, and "
            "compare its size with the published one"
        ) from cause
