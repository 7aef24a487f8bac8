"""What was done in a project, one line of JSON each, in a file that only grows.

A line counts once its end is there, so whatever moment a program dies at, what was written before
is whole. Labels follow from the journal alone.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plainmask.atomic import cannot_write
from plainmask.errors import InputError
from plainmask.label.judging import Judged, Shown
from plainmask.label.stroke import Join, Stroke


class Entry(BaseModel):
    """One line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = Field(ge=1)
    """Counts up from 1 without gaps."""
    do: Literal["stroke", "join", "undo", "redo", "predicted", "judged"]
    stroke: Stroke | None = None
    """What was drawn."""
    size: tuple[int, int] | None = None
    """(H, W) of the picture then."""
    join: Join | None = None
    """The class that was given up, and what its labels joined."""
    of: int | None = None
    """The stroke, or join, that was undone, done again, predicted or judged."""
    right: float | None = None
    """The share of it that was predicted right before it was learnt: "predicted" by the linear
    head, "judged" by the decoder behind it."""
    linear: float | None = None
    """And by the linear head, as the decoder is measured; None: as was predicted."""
    shown: Shown | None = None
    """Which of them was shown then."""
    key: str | None = Field(default=None, max_length=100)
    """Of the request that asked for it."""


class History:
    """What a journal says now: which strokes and joins count, and which could be done again."""

    def __init__(self):
        self.strokes: dict[int, Entry] = {}
        self.joins: dict[int, Join] = {}
        self.gone: dict[int, int | None] = {}
        """Classes that were given up, and what each joined."""
        self.applied: list[int] = []
        self.undone: list[int] = []
        self.predicted: dict[int, float] = {}
        self.judged: dict[int, Judged] = {}
        self.by_key: dict[str, Entry] = {}
        self._first: dict[str, int] = {}
        """By picture, the first stroke that was ever drawn in it."""

    def take(self, entry: Entry) -> None:
        """Go on by one entry.

        Raises:
            ValueError: it does not follow from those before.
        """
        if entry.do == "stroke" and entry.stroke is not None and entry.size is not None:
            self.strokes[entry.id] = entry
            self._first.setdefault(entry.stroke.picture, entry.id)
            self._apply(entry.id)
            self.undone.clear()
        elif entry.do == "join" and entry.join is not None and not self.gone.keys() & entry.join:
            self.joins[entry.id] = entry.join
            self._apply(entry.id)
            self.undone.clear()
        elif entry.do == "undo" and self.applied[-1:] == [entry.of]:
            number = self.applied.pop()
            self.undone.append(number)
            if number in self.joins:
                del self.gone[self.joins[number].class_id]
        elif entry.do == "redo" and self.undone[-1:] == [entry.of]:
            self._apply(self.undone.pop())
        elif entry.do == "predicted" and entry.of in self.strokes and entry.right is not None:
            self.predicted[entry.of] = entry.right
        elif (
            entry.do == "judged"
            and entry.of in self.strokes
            and None not in (entry.right, entry.shown)
        ):
            assert entry.right is not None
            assert entry.shown is not None
            linear = self.predicted.get(entry.of) if entry.linear is None else entry.linear
            if linear is not None:
                self.judged[entry.of] = Judged(linear, entry.right, entry.shown)
        else:
            raise ValueError(f"{entry.do} {entry.of} cannot follow")
        if entry.key is not None:
            self.by_key[entry.key] = entry

    def _apply(self, number: int) -> None:
        self.applied.append(number)
        if number in self.joins:
            class_id, into = self.joins[number]
            self.gone[class_id] = into

    def now(self, class_id: int) -> int | None:
        """What became of a class: itself, or the one that it joined; None: it had no labels."""
        found: int | None = class_id
        while found in self.gone:
            found = self.gone[found]
        return found

    def of_picture(self, picture: str) -> Iterator[tuple[int, Stroke | Join]]:
        """The strokes that count in a picture, and the joins, by number, in order."""
        for number in self.applied:
            if number in self.joins:
                yield number, self.joins[number]
                continue
            stroke = self.strokes[number].stroke
            assert stroke is not None
            if stroke.picture == picture:
                yield number, stroke

    def is_first(self, number: int) -> bool:
        """Whether a stroke is the first one in its picture, of all that were ever drawn."""
        stroke = self.strokes[number].stroke
        return stroke is not None and self._first.get(stroke.picture) == number

    def is_new(self, picture: str) -> bool:
        """Whether no stroke counts in a picture."""
        return all(isinstance(one, Join) for _, one in self.of_picture(picture))

    def may_have(self, picture: str, classes: Collection[int]) -> bool:
        """Whether a picture may have labels of classes, as far as strokes say without a look."""
        for _, stroke in self.of_picture(picture):
            if isinstance(stroke, Join):
                continue
            drawn = {stroke.class_id, *(class_id for _, class_id in stroke.objects)} - {None}
            tells_all = stroke.mask is None or stroke.objects
            if not tells_all or {self.now(one) for one in drawn if one is not None} & {*classes}:
                return True
        return False

    def count_objects(self) -> int:
        """How many objects strokes say that there are, as far as they say without a look."""
        found: set[tuple[str, int]] = set()
        for stroke in (self.strokes[one].stroke for one in self.applied if one in self.strokes):
            assert stroke is not None
            numbers = [stroke.object or 0, *(number for number, _ in stroke.objects)]
            found |= {(stroke.picture, number) for number in numbers if number}
        return len(found)

    def pictures(self) -> dict[str, tuple[int, int]]:
        """The pictures in which strokes count, and the size (H, W) at the last of them."""
        found: dict[str, tuple[int, int]] = {}
        for entry in (self.strokes[number] for number in self.applied if number in self.strokes):
            assert entry.stroke is not None
            assert entry.size is not None
            found[entry.stroke.picture] = entry.size
        return found


class Journal:
    """The file, held open; close it."""

    def __init__(self, path: Path, file: int, history: History, entries: int, length: int):
        self.path, self.history = path, history
        self._file, self._entries, self._length = file, entries, length

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a journal, or begin one.

        What was not wholly written at the end is cut off.

        Raises:
            InputError: it cannot be read or written, is damaged elsewhere than at its end, or
                another program has it open.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise cannot_write(path, error) from error
        try:
            _lock(file, path)
            history, entries, length = _replayed(path)
            os.ftruncate(file, length)
        except BaseException:
            os.close(file)
            raise
        return cls(path, file, history, entries, length)

    @property
    def next_id(self) -> int:
        """The number of the next entry."""
        return self._entries + 1

    def append(self, entry: Entry, *, wait: bool = True) -> Entry:
        """Write an entry, and go on by it.

        Args:
            entry: the next one.
            wait: until the disk has it.

        Raises:
            InputError: it cannot be written; the journal is as it was before.
        """
        assert entry.id == self.next_id
        line = entry.model_dump_json(by_alias=True, exclude_defaults=True).encode() + b"\n"
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            if wait:
                os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._length)
            raise cannot_write(self.path, error) from error
        self.history.take(entry)
        self._entries, self._length = entry.id, self._length + len(line)
        return entry

    def close(self) -> None:
        """Let others have it; it may be closed again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _replayed(path: Path) -> tuple[History, int, int]:
    """What a file says, the number of its entries, and how many of its bytes they are.

    Raises:
        InputError: something damaged stands before something whole.
    """
    history, entries, length = History(), 0, 0
    content = path.read_bytes()
    lines = content.split(b"\n")[:-1]
    for line in lines:
        try:
            entry = Entry.model_validate_json(line)
            if entry.id != entries + 1:
                raise ValueError(f"number {entry.id} after {entries}")
            history.take(entry)
        except ValueError as error:  # of pydantic, too
            if any(map(_is_entry, lines[entries + 1 :])):
                raise InputError(
                    f"{path}, line {entries + 1}, is damaged, and others follow it; put back a "
                    "copy of the file, or delete the lines from there on to lose what they say"
                ) from error
            break
        entries, length = entry.id, length + len(line) + 1
    return history, entries, length


def _is_entry(line: bytes) -> bool:
    try:
        Entry.model_validate_json(line)
    except ValidationError:
        return False
    return True


def _lock(file: int, path: Path) -> None:
    """Keep other programs from writing the same file, where the system has locks of this kind."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"{path.parent} is open in another program that labels; use that one, or end it"
        ) from error
    except OSError:  # a file system without locks
        return
