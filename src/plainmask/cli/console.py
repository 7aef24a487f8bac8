"""What the commands print: results on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence

NOTE_EVERY = 30.0
"""Seconds between progress lines where no terminal shows a moving one."""


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


class Progress:
    """ "12/200 images, 1.4 s each, 4 min left" on stderr.

    One line that is rewritten on a terminal, and a new line now and then elsewhere. (The live bars
    of rich overwrite what is printed on another stream meanwhile.)
    """

    def __init__(self, total: int, what: str = "images"):
        self.total, self.what, self.done = total, what, 0
        self.is_terminal = sys.stderr.isatty()
        self.began = self.noted = time.monotonic()

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        now = time.monotonic()
        if self.total < 2 or not (self.is_terminal or now - self.noted > NOTE_EVERY):
            return
        self.noted = now
        rate = (now - self.began) / self.done
        left = duration(rate * (self.total - self.done))
        text = f"{self.done}/{self.total} {self.what}, {rate:.1f} s each, {left} left"
        self.clear()
        end = "\n" if self.done == self.total or not self.is_terminal else ""
        print(text, end=end, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room on the terminal for other output."""
        if self.is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """In the unit that people would use: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
