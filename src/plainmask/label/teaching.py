"""A decoder that learns in another process, which gives way to the one that a person works with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from plainmask.errors import InputError, PlainmaskError

FRESH, AGAIN = 400, 200
"""Steps of a decoder that begins with nothing, and of one that has learnt before."""
_LOWEST = 19
_BELOW = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)


class Teaching:
    """A training that goes on; stop it.

    Args:
        place: a folder with a data set in `data`; the training is in `run`, what it says in
            `run.log`.
        encoder: what the decoder is for: a preset, a file or a folder.
        device: where it computes.
        start: a head that it begins from; None: with nothing.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, place: Path, encoder: str, device: str, start: Path | None):
        self.place, self.total = place, FRESH if start is None else AGAIN
        self._run = place / "run"
        settings = [f"encoder={encoder}", f"steps={self.total}"]
        settings += [] if start is None else [f"start_from={start}"]
        module = [sys.executable, "-m", "plainmask.label.pupil"]
        call = [*module, str(place / "data"), str(self._run), device, *settings]
        shutil.rmtree(self._run, ignore_errors=True)
        try:
            with (place / "run.log").open("wb") as log:
                self._process = subprocess.Popen(
                    call,
                    stdin=subprocess.PIPE,  # it ends with this process, however that ends
                    stdout=log,
                    stderr=log,
                    # Threads that wait for each other leave the processor to others meanwhile.
                    env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},
                    start_new_session=True,  # Ctrl-C is for the page's server
                    creationflags=_BELOW,
                )
        except OSError as error:
            raise InputError(f"no decoder can learn in {place}: {error}") from error
        with suppress(OSError, AttributeError):  # Windows has its own way, above
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _LOWEST)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self._process.poll() is not None

    @property
    def done(self) -> int:
        """Steps that were reported."""
        try:
            last = (self._run / "log.csv").read_text().splitlines()[-1]
            return int(last.split(",")[0])
        except (OSError, IndexError, ValueError):
            return 0

    def result(self) -> Path:
        """The folder of the head, once it is over.

        Raises:
            PlainmaskError: it failed; says the last thing that it said.
        """
        self.stop()
        if self._process.returncode == 0:
            return self._run / "head"
        lines: list[str] = []
        with suppress(OSError):
            lines = (self.place / "run.log").read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        reason = said[-1] if said else f"exit code {self._process.returncode}"
        raise PlainmaskError(f"no decoder was learnt: {reason}")

    def stop(self) -> None:
        """End it now, unless it is over."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if not self.is_over:
            self._process.kill()
        self._process.wait()
