"""Files that grow with a video, and get their name when they are finished."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from plainmask.atomic import cannot_write, temporary_beside


class GrowingFile:
    """A file under a temporary name, to which whole pieces are appended.

    What a full disk cuts is taken off again, so it is valid after each piece. Nothing is held in
    memory.

    Raises:
        InputError: the folder or the file cannot be made.
    """

    def __init__(self, path: Path):
        self.path = path
        self._temporary = temporary_beside(path)
        self._length = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._temporary.open("x+b", buffering=0)
        except OSError as cause:
            raise cannot_write(path, cause) from cause

    def append(self, piece: bytes) -> None:
        """Add a piece, all of it or nothing.

        Raises:
            InputError: it cannot be written, as on a full disk.
        """
        rest = memoryview(piece)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as cause:
            with suppress(OSError):
                self._file.truncate(self._length)
                self._file.seek(self._length)
            raise cannot_write(self.path, cause) from cause
        self._length += len(piece)

    def lines(self) -> Iterator[bytes]:
        """What is in it, line by line."""
        with self._temporary.open("rb") as file:
            yield from file

    def finish(self) -> list[Path]:
        """Close it and give it its name, in place of a file that has it.

        Returns:
            Its path; nothing where it is empty, as it is then removed.

        Raises:
            InputError: it cannot be renamed.
        """
        self._file.close()
        if not self._length:
            self.discard()
            return []
        try:
            self._temporary.replace(self.path)
        except OSError as cause:
            self.discard()
            raise cannot_write(self.path, cause) from cause
        return [self.path]

    def discard(self) -> None:
        """Close and remove it."""
        self._file.close()
        with suppress(OSError):
            self._temporary.unlink()
