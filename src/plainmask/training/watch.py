"""Word among the processes of a run, so that none waits for one that is gone.

Each process has a thread that gives a sign of life every second, by way of the store through which
the processes found each other, and looks there for what others say. So it does not matter what the
main thread hangs in: a process whose peer failed, was killed or fell silent ends.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from subprocess import Popen
from types import TracebackType
from typing import Any, Self

from plainmask.errors import PlainmaskError

BEAT = 1.0
"""Seconds from one sign of life to the next."""
SILENCE = 120.0
"""Seconds without one after which a process is taken for gone; a long call may hold its threads."""
PATIENCE = timedelta(hours=3)
"""How long a process waits for others that live: of validation videos one may have far longer ones,
and the first process alone downloads, draws and saves."""
GRACE = 2.0
"""Seconds that a main thread has to come to know what its watch knows."""
FAREWELL = 5.0
"""Seconds that a process which ends waits for others to take note."""
NOWHERE: str = "0 an unknown host"


class Stopped(KeyboardInterrupt):
    """The run was interrupted and is saved; all processes stop together."""


class Watch:
    """A context in which processes work together; without others it does nothing.

    An error that leaves the context is told to all. Whoever hears of another's ends, too: the
    first process with a `PlainmaskError` that says which one failed and why, the others with exit
    code 1 and without a word. A main thread that hangs, as in a collective, is ended by the thread.

    Args:
        store: where the processes meet, not used by anyone else; None: there is one process.
        number: of this process.
        count: of all.
        children: processes with the next numbers, where this one started them.
    """

    def __init__(
        self,
        store: Any = None,
        number: int = 0,
        count: int = 1,
        children: Sequence[Popen[bytes]] = (),
    ):
        self.store, self.number, self.count, self.children = store, number, count, children
        self.dead: set[int] = set()
        """Processes of which nothing will be heard any more."""
        self.lost = False
        """Whether the store cannot be reached any more."""
        self.what = "the run to begin"
        self.until = time.monotonic() + PATIENCE.total_seconds()
        self.done = threading.Event()
        self.seen = dict.fromkeys(range(count), (NOWHERE, time.monotonic()))
        """The last sign of life of each process, and when it was new."""
        self.thread = threading.Thread(target=self._listen, name="watch", daemon=True)

    def __enter__(self) -> Self:
        if self.count > 1:
            self._beat()
            until = time.monotonic() + FAREWELL
            while self.seen[0][0] == NOWHERE and time.monotonic() < until:  # all are about to come
                self._look()
                time.sleep(0.01)
            self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.count == 1:
            return
        cause = None
        if error is not None and not isinstance(error, Stopped):
            cause = self._cause(error)
            if cause is None:
                self._tell(f"{self._name(self.number)}: {str(error) or type(error).__name__}")
        self.done.set()
        self._leave()
        if cause is not None:
            raise (PlainmaskError(cause) if self._speaks() else SystemExit(1)) from error

    @contextmanager
    def waiting(self, what: str, limit: timedelta = PATIENCE) -> Generator[None]:
        """Name what is waited for in the block, and for how long at most."""
        self.what, self.until = what, time.monotonic() + limit.total_seconds()
        try:
            yield
        finally:  # now it works by itself, for as long as that takes
            self.what, self.until = "the others", math.inf

    def _cause(self, error: BaseException) -> str | None:
        """Why the run ends, if not by an error of this process itself.

        A lost connection is a RuntimeError, whoever lost it: signs of life show who is gone.
        """
        self._look()
        if not isinstance(error, RuntimeError):
            return None if isinstance(error, KeyboardInterrupt) else self._told()
        for wait in (0, BEAT, BEAT, BEAT):
            time.sleep(wait)
            self._look()
            if told := self._told() or self._gone(2.5 * BEAT):
                self._tell(told)
                return told
        return None

    def _tell(self, reason: str) -> None:
        """Say to all processes why the run cannot go on; who says it first is heard."""
        with suppress(RuntimeError):
            self.store.compare_set("failed", "", reason)

    def _told(self) -> str | None:
        """What a process has said, or None."""
        try:
            if not self.store.check(["failed"]):
                return None
            if self.number == 0:
                self.store.set("heard", "")
            return self.store.get("failed").decode()
        except RuntimeError:
            self.lost = True
            return f"{self._name(0)} is gone, through which all others are reached"

    def _gone(self, seconds: float) -> str | None:
        """Who was killed, or has given no sign of life for so long; None if nobody."""
        ends = {number: child.poll() for number, child in enumerate(self.children, self.number + 1)}
        silent = [n for n, (_, when) in self.seen.items() if time.monotonic() - when > seconds]
        found = [f"{self._name(number)} {ended(code)}" for number, code in ends.items() if code]
        found = found or [f"{self._name(number)} fell silent" for number in silent]
        self.dead |= {*silent, *(number for number, code in ends.items() if code is not None)}
        if not found:
            return None
        here = f"{self._name(self.number)} waited for {self.what}"
        return f"{', '.join(found)}, while {here}. What was saved is kept; go on with --resume"

    def _late(self) -> str | None:
        """What was waited for longer than allowed; None if nothing."""
        if time.monotonic() < self.until:
            return None
        return f"{self._name(self.number)} has waited too long for {self.what}"

    def _speaks(self) -> bool:
        """Whether this process says what others did: the first one, or all without it."""
        return self.number == 0 or self.lost

    def _beat(self) -> None:
        host = socket.gethostname()
        with suppress(RuntimeError):  # `_told` says it
            self.store.set(f"beat/{self.number}", f"{time.monotonic()} {host}")

    def _look(self) -> None:
        """Take note of all signs of life."""
        with suppress(RuntimeError):
            keys = [f"beat/{other}" for other in range(self.count)]
            if not self.store.check(keys):  # to ask for one that is not there would wait for it
                return
            for other, beat in enumerate(map(bytes.decode, self.store.multi_get(keys))):
                if self.seen[other][0] != beat:
                    self.seen[other] = beat, time.monotonic()

    def _name(self, number: int) -> str:
        return f"rank {number} of {self.count} on {self.seen[number][0].split(' ', 1)[-1]}"

    def _leave(self) -> None:
        """Wait a moment until others know that this process ends; the store ends with the first."""
        with suppress(RuntimeError):
            self.store.set("heard" if self.number == 0 else f"left/{self.number}", "")
            keys = [f"left/{other}" for other in range(1, self.count) if other not in self.dead]
            if self.number:
                keys = ["heard"] if self.store.check(["failed"]) else []
            until = time.monotonic() + FAREWELL
            while keys and not self.store.check(keys) and time.monotonic() < until:
                time.sleep(0.05)

    def _listen(self) -> None:
        """The thread: signs of life, and what others say."""
        while not self.done.wait(BEAT):
            self._beat()
            if self.number == 0:  # one looks after all
                self._look()
            reason = self._told() or (self._gone(SILENCE) if self.number == 0 else None)
            reason = reason or self._late()
            if reason is None:
                continue
            self._tell(reason)
            if self.done.wait(GRACE):
                return
            if self._speaks():
                print(f"error: {reason}", file=sys.stderr, flush=True)
            self._leave()
            os._exit(1)


def ended(code: int) -> str:
    """How a process ended, from what `Popen` says."""
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
