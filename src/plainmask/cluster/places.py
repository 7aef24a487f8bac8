"""Where files are, on disks or in object stores, by one way to get at them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from pyarrow import fs

from plainmask.atomic import write_atomically
from plainmask.errors import InputError


class FileAt(NamedTuple):
    """A file in a folder."""

    path: str
    """From the folder, with / between."""
    size: int
    """Bytes."""
    changed: int
    """When, in nanoseconds."""


class Place(NamedTuple):
    """A file or folder, there or not."""

    name: str
    """As it was given; files on disks absolute, as workers have another folder."""
    files: Any
    """A file system of pyarrow, which has no types."""
    path: str
    """What `files` calls it."""

    @property
    def on_disk(self) -> bool:
        """Whether it is a file as all programs know them."""
        return isinstance(self.files, fs.LocalFileSystem)

    def below(self, path: str) -> Place:
        """The place that a path names from here."""
        return Place(f"{self.name}/{path}", self.files, f"{self.path}/{path}")

    def read(self) -> bytes:
        """What the file holds.

        Raises:
            InputError: it cannot be read; says why.
        """
        try:
            with self.files.open_input_stream(self.path) as stream:
                return stream.read()
        except (OSError, pa.ArrowException) as cause:
            raise InputError(f"{self.name}: {reason(cause)}") from cause

    def write(self, content: bytes) -> None:
        """Write the file, whole or not at all; what stood there before stays until the end.

        Raises:
            InputError: it cannot be written; says why.
        """
        if self.on_disk:
            write_atomically(Path(self.path), content)
            return
        try:
            with self.files.open_output_stream(self.path) as stream:  # a store shows it at its end
                stream.write(content)
        except (OSError, pa.ArrowException) as cause:
            raise InputError(
                f"{self.name} cannot be written: {reason(cause)}; give a place that takes files"
            ) from cause

    def inside(self) -> list[FileAt]:
        """All files within the folder, at any depth, by their paths; none where it is not there.

        Raises:
            InputError: it cannot be looked at; says why.
        """
        within = len(self.path.rstrip("/")) + 1
        try:
            found = [
                FileAt(one.path[within:], one.size, one.mtime_ns)
                for one in self.files.get_file_info(
                    fs.FileSelector(self.path, allow_not_found=True, recursive=True)
                )
                if one.is_file
            ]
        except (OSError, pa.ArrowException) as cause:
            raise InputError(f"{self.name}: {reason(cause)}") from cause
        return sorted(found)

    def kind(self) -> Literal["file", "folder", "nothing"]:
        """What is there.

        Raises:
            InputError: it cannot be looked at; says why.
        """
        try:
            kind = self.files.get_file_info(self.path).type
        except (OSError, pa.ArrowException) as cause:
            raise InputError(f"{self.name}: {reason(cause)}") from cause
        if kind == fs.FileType.NotFound:
            return "nothing"
        return "folder" if kind == fs.FileType.Directory else "file"


def place_of(given: str) -> Place:
    """The place that a path or an address names.

    Raises:
        InputError: it is an address of no store that pyarrow knows.
    """
    scheme, mark, rest = given.partition("://")
    if not mark:
        path = str(Path(given).absolute())
        return Place(path, fs.LocalFileSystem(), path)
    host, _, path = rest.rstrip("/").partition("/")
    try:
        files, root = _store(f"{scheme}://{host}" + ("/" if scheme == "file" else ""))
    except (OSError, ValueError, pa.ArrowException) as cause:
        raise InputError(
            f"{given}: {reason(cause)}; give a path, or an address in s3://, gs:// or abfs://"
        ) from cause
    return Place(given.rstrip("/"), files, f"{root.rstrip('/')}/{path}".rstrip("/"))


@lru_cache(maxsize=16)
def _store(address: str) -> tuple[Any, str]:
    """The store at an address, and what it calls it. Opening one asks for its region."""
    return fs.FileSystem.from_uri(address)


def reason(cause: Exception) -> str:
    """Why a store refuses, in a few words."""
    if isinstance(cause, FileNotFoundError):
        return "there is no such file; check the path"
    if isinstance(cause, PermissionError):
        return "this may not be read; check its permissions"
    said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return " ".join(said.split())
