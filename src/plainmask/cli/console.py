"""What the commands print: results on stdout; warnings and errors on stderr."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from plainmask.progress import counted

if TYPE_CHECKING:
    from plainmask.evaluation.report import Evaluation

LONGEST_NAME = 24
"""Letters of the first column of a table that are kept on one line."""


class Patient:
    """A text stream that never stops the work: what it cannot print is left out.

    Characters that the encoding lacks are written as \\u…; where the device takes nothing more, as
    a pipe whose reader has gone or a full disk, the rest is dropped.

    Args:
        stream: what to print on; None, as in a program without a console: nothing.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream or io.StringIO()
        self._failure: OSError | None = None if stream else BrokenPipeError()
        if isinstance(self._stream, io.TextIOWrapper):
            self._stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Print a text; its length."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand over what is waiting."""
        self._try(self._stream.flush)

    @property
    def lost(self) -> str:
        """Why something that was to be read is not there; empty where nothing is, or no reader."""
        if self._failure is None or isinstance(self._failure, BrokenPipeError):
            return ""
        return self._failure.strerror or str(self._failure)

    def _try(self, act: Callable[[], object]) -> None:
        if self._failure is not None:
            return
        try:
            act()
        except OSError as error:
            self._failure = error
            self._drop_the_rest()

    def _drop_the_rest(self) -> None:
        """Lead the stream nowhere, as its buffer would fail again when the program ends."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextmanager
def patient_streams() -> Generator[Patient]:
    """Print as `Patient` does for the block; gives the stream for stdout, which may be `lost`."""
    before = sys.stdout, sys.stderr
    out, errors = Patient(before[0]), Patient(before[1])
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, errors)
    try:
        yield out
    finally:
        out.flush()
        if out.lost:
            complain("error", f"not all could be printed ({out.lost}); files are complete")
        errors.flush()
        sys.stdout, sys.stderr = before


def complain(kind: str, message: object) -> None:
    """Print "error: …" or "warning: …" on stderr."""
    print(f"{kind}: {message}", file=sys.stderr, flush=True)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: int = 0,
    title: str | None = None,
) -> None:
    """Print rows of text under a header.

    Columns whose name ends in "%", and the last `numbers`, are aligned right. Names in the first
    are not broken unless they are long.
    """
    from rich.console import Console
    from rich.table import Table

    # Names of classes and files are text, never markup.
    console = Console(markup=False, highlight=False, emoji=False)
    if title is not None:
        console.print(title, soft_wrap=True)
    table, cells = Table(), [*rows]
    whole = max((len(row[0]) for row in cells), default=0) <= LONGEST_NAME
    for place, column in enumerate(columns):
        number = column.endswith("%") or place >= len(columns) - numbers
        table.add_column(
            column,
            justify="right" if number else "left",
            no_wrap=place == 0 and whole,
            overflow="fold",
        )
    for row in cells:
        table.add_row(*row)
    console.print(table)


def print_evaluation(found: Evaluation, title: str, *, as_json: bool) -> None:
    """Print an evaluation as a table, or as one JSON object."""
    if as_json:
        print(json.dumps(found.to_json()))
        return
    rows = [*rows_of(found.per_class), *rows_of(found.per_object), *rows_of(found.figures)]
    print_table(("figure", "%"), rows, title=title)
    print(f"{counted(found.count, found.unit.removesuffix('s'))}; {found.protocol}")


def rows_of(figures: Mapping[str, float | int | None]) -> list[tuple[str, str]]:
    """Rows of a table."""
    return [(name, percent(value)) for name, value in figures.items()]


def percent(value: float | int | None) -> str:
    """A figure as people read it: percent with two decimals, whole numbers as they are."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
