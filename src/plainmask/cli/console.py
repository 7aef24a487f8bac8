"""What the commands print: results on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plainmask.evaluation.report import Evaluation

NOTE_EVERY = 30.0
"""Seconds between progress lines where no terminal shows a moving one."""
REWRITE_EVERY = 0.1
"""Seconds between them where one does."""


def complain(kind: str, message: object) -> None:
    """Print "error: …" or "warning: …" on stderr."""
    print(f"{kind}: {message}", file=sys.stderr, flush=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None
) -> None:
    """Print rows of text under a header; columns whose name ends in "%" are aligned right."""
    from rich.console import Console
    from rich.table import Table

    # Names of classes and files are text, never markup.
    console = Console(markup=False, highlight=False, emoji=False)
    if title is not None:
        console.print(title, soft_wrap=True)
    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column.endswith("%") else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_evaluation(found: Evaluation, title: str, *, as_json: bool) -> None:
    """Print an evaluation as a table, or as one JSON object."""
    if as_json:
        print(json.dumps(found.to_json()))
        return
    rows = [*rows_of(found.per_class), *rows_of(found.per_object), *rows_of(found.figures)]
    print_table(("figure", "%"), rows, title=title)
    print(f"{found.count} {found.unit}; {found.protocol}")


def rows_of(figures: Mapping[str, float | int | None]) -> list[tuple[str, str]]:
    """Rows of a table."""
    return [(name, percent(value)) for name, value in figures.items()]


def percent(value: float | int | None) -> str:
    """A figure as people read it: percent with two decimals, whole numbers as they are."""
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"


class Progress:
    """ "12/200 images, 1.4 s each, 4 min left" on stderr.

    One line that is rewritten on a terminal, and a new line now and then elsewhere. (The live bars
    of rich overwrite what is printed on another stream meanwhile.)

    Args:
        total: how many there are; None: not known. It may be an estimate.
        what: is counted.
    """

    def __init__(self, total: int | None, what: str = "images"):
        self.total, self.what, self.done = total, what, 0
        self.is_terminal = sys.stderr.isatty()
        self.began = self.noted = time.monotonic()

    @property
    def seconds_each(self) -> float:
        """How long each took so far; 0 before the first."""
        return (time.monotonic() - self.began) / self.done if self.done else 0.0

    def step(self, done: int | None = None) -> None:
        """One more is done, or so many are."""
        self.done = self.done + 1 if done is None else done
        now = time.monotonic()
        last = self.done == self.total
        wait = REWRITE_EVERY if self.is_terminal else NOTE_EVERY
        if self.total == 1 or (now - self.noted < wait and not (last and self.is_terminal)):
            return
        self.noted = now
        each = (now - self.began) / self.done
        text = f"{self.done} {self.what}, {pace(each)}"
        if self.total is not None and self.done <= self.total:
            left = duration(each * (self.total - self.done))
            text = f"{self.done}/{self.total} {self.what}, {pace(each)}, {left} left"
        self.clear()
        end = "\n" if last or not self.is_terminal else ""
        print(text, end=end, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room on the terminal for other output."""
        if self.is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def stepper(what: str) -> Callable[[int, int], None]:
    """A callback for work that says what is done, and what there is in all; works may follow."""
    progress: Progress | None = None

    def step(done: int, total: int) -> None:
        nonlocal progress
        if progress is None or done <= progress.done:
            progress = Progress(total, what)
        progress.step(done)

    return step


def pace(seconds_each: float) -> str:
    """How fast things go, as people would say it: 20.0 s each, 3.1 a second."""
    slow = seconds_each >= 0.5 or not seconds_each
    return f"{seconds_each:.1f} s each" if slow else f"{1 / seconds_each:.1f} a second"


def duration(seconds: float) -> str:
    """In the unit that people would use: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
