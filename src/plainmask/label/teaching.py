"""A decoder that learns in another process, which gives way to the one that a person works with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from plainmask.encoder.exported import AnyEncoder
from plainmask.errors import InputError, PlainmaskError
from plainmask.heads.head import Head, HeadConfig, find_head
from plainmask.label.config import LabelTask

FRESH, AGAIN = 400, 200
"""Steps of a decoder that begins with nothing, and of one that has learnt before."""
OF_OBJECTS, RATE = 100, 1e-4
"""Steps and learning rate of one of objects, which begins from one that knows much: it would lose
of that by larger ones, and by more. See benchmarks/RESULTS.md."""
_LOWEST = 19
_BELOW = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)


class Start(NamedTuple):
    """A head that a decoder begins from."""

    place: Path
    """Its folder."""
    config: HeadConfig

    @classmethod
    def load(cls, name: str | Path, task: LabelTask, encoder: AnyEncoder) -> Self:
        """One that a person names.

        Args:
            name: see `find_head`.
            task: of the project; where objects are told apart, a head of classes does, too.
            encoder: of the project.

        Raises:
            InputError: there is none, or it is for another task or encoder.
        """
        place = find_head(name)
        config = Head.load(place).config
        if config.task not in ("semantic", task):
            allowed = "a semantic head" + " or an instance head" * (task == "instance")
            raise InputError(
                f"the head {config.name!r} is {config.task}, and this project is {task}; a decoder "
                f"can begin from {allowed} here"
            )
        if not config.encoder.means(encoder):
            raise InputError(
                f"the head {config.name!r} is for the encoder {config.encoder.name}, and this "
                f"project's is {encoder.name}; give a head that was trained on that one, or begin "
                "a project with the other (--encoder and --project)"
            )
        return cls(place, config)

    @property
    def knows_objects(self) -> bool:
        """Whether what begins from it learns objects, not classes alone."""
        return self.config.task == "instance"

    @property
    def settings(self) -> list[str]:
        """What a recipe needs to take all of it over: its folder, and its shape."""
        shape = self.config.decoder
        names = ("num_queries", "num_blocks", "ffn_hidden", "upscale_stages")
        settings = [f"decoder.{name}={getattr(shape, name)}" for name in names]
        settings += [f"optimizer.lr={RATE}"] if self.knows_objects else []
        return [f"start_from={self.place}", *settings]

    @property
    def steps(self) -> int:
        """How long what begins from it learns."""
        return OF_OBJECTS if self.knows_objects else AGAIN


class Teaching:
    """A training that goes on; stop it.

    Args:
        place: a folder with a data set in `data`; the training is in `run`, what it says in
            `run.log`.
        encoder: what the decoder is for: a preset, a file or a folder.
        device: where it computes.
        start: a head that it begins from, which says its task; None: with nothing, for classes.

    Raises:
        InputError: the folder cannot be written.
    """

    def __init__(self, place: Path, encoder: str, device: str, start: Start | None):
        self.place, self.total = place, FRESH if start is None else start.steps
        self._run = place / "run"
        settings = [f"encoder={encoder}", f"steps={self.total}"]
        settings += [] if start is None else start.settings
        task = "semantic" if start is None else start.config.task
        module = [sys.executable, "-m", "plainmask.label.pupil"]
        call = [*module, task, str(place / "data"), str(self._run), device, *settings]
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
