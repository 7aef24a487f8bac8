"""How far work has come, and how long it takes, for people: lines on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

NOTE_EVERY = 30.0
"""Seconds between progress lines where no terminal shows a moving one."""
REWRITE_EVERY = 0.1
"""Seconds between them where one does."""


def counted(number: int | str, one: str, many: str | None = None) -> str:
    """A number of things as people say it: "1 picture", "3 pictures", "0.5 epochs".

    Args:
        number: how many.
        one: the word for one.
        many: the word for several; None: the same with an s.
    """
    several = f"{one}es" if one.endswith("s") else f"{one}s"
    return f"{number} {one if str(number) == '1' else many or several}"


class Progress:
    """ "12/200 images, 1.4 s each, 4 min left" on stderr.

    One line that is rewritten on a terminal, and a new line now and then elsewhere. (The live bars
    of rich overwrite what is printed on another stream meanwhile.)

    Args:
        total: how many there are; None: not known. It may be an estimate.
        one, many: what is counted; see `counted`.
        together: how many come at once: before as many are done, nothing is estimated.
    """

    def __init__(
        self,
        total: int | None,
        one: str = "image",
        many: str | None = None,
        *,
        together: int = 1,
    ):
        self.total, self.one, self.many, self.done = total, one, many, 0
        self.together = together
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
        self.clear()
        end = "\n" if last or not self.is_terminal else ""
        print(self._line(now), end=end, file=sys.stderr, flush=True)

    def _line(self, now: float) -> str:
        total = self.total if self.total is not None and self.done <= self.total else None
        if total is None:
            line = counted(self.done, self.one, self.many)
        else:
            line = f"{self.done}/{counted(total, self.one, self.many)}"
        if self.done < self.together and self.done != total:
            return line
        each = (now - self.began) / self.done
        left = "" if total is None else f", {duration(each * (total - self.done))} left"
        return f"{line}, {pace(each)}{left}"

    def clear(self) -> None:
        """Make room on the terminal for other output."""
        if self.is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def stepper(one: str) -> Callable[[int, int], None]:
    """A callback for work that says what is done, and what there is in all; works may follow."""
    progress: Progress | None = None

    def step(done: int, total: int) -> None:
        nonlocal progress
        if progress is None or done <= progress.done:
            progress = Progress(total, one)
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
