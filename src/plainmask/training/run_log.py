"""What a run says while it trains: a line and a CSV row every few steps, boards, Ctrl-C."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from plainmask.errors import InputError
from plainmask.progress import counted
from plainmask.training.checkpoint import Standing
from plainmask.training.curves import write_curves
from plainmask.training.recipe import Recipe
from plainmask.training.table import Table

SPEAK_EVERY = 20.0
"""Seconds after which a run says how it goes, where no report was due."""


class Board(Protocol):
    """Shows figures while a run goes on."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Show one."""
        ...

    def close(self) -> None:
        """Write what is not written yet."""
        ...


class WandbBoard:
    """A run of Weights & Biases; a resumed run goes on in the same one.

    Raises:
        InputError: the package is not installed.
    """

    def __init__(self, project: str, run_dir: Path, recipe: Recipe):
        try:
            wandb = importlib.import_module("wandb")
        except ModuleNotFoundError as error:
            raise InputError("--wandb needs the package wandb: pip install wandb") from error
        self.run: Any = wandb.init(
            project=project,
            name=recipe.name,
            id=f"{recipe.name}-{zlib.crc32(str(run_dir.resolve()).encode()):08x}",
            resume="allow",
            reinit="create_new",  # heads that train together have a run each
            dir=str(run_dir),
            config=recipe.model_dump(mode="json"),
        )

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Show one figure."""
        self.run.log({tag: scalar_value}, step=global_step)

    def close(self) -> None:
        """Send what is not sent yet."""
        self.run.finish()


class RunLog:
    """Collects the figures of the steps and reports their means every few steps, to people, a CSV
    file and boards. With several processes these are the losses of the first one, which alone
    reports; a quiet log keeps nothing.

    Between reports it says from time to time how long there is to go, the first time after the
    first step. `log.csv` has the losses, `val.csv` the figures of evaluations, and `curves.png`
    shows both.
    """

    def __init__(
        self, run_dir: Path, recipe: Recipe, start: Standing, *, wandb: str | None, quiet: bool
    ):
        self.folder = run_dir
        self.name, self.quiet = recipe.name, quiet
        self.boards: list[Board] = []
        self.losses, self.evaluations = Table(run_dir / "log.csv"), Table(run_dir / "val.csv")
        if not quiet:
            self.boards.append(SummaryWriter(run_dir / "tensorboard", purge_step=start.step))
            if wandb is not None:
                self.boards.append(WandbBoard(wandb, run_dir, recipe))
            self.losses.forget_after(start.step)
            self.evaluations.forget_after(start.step)
        self.total, self.every, self.start = recipe.steps, recipe.log_every, start
        self.began = self.spoken = time.monotonic()
        self.first_step = 0.0
        """Seconds that the first step took, which starts much up; 0 before it is done."""
        self.rows: list[dict[str, Tensor]] = []

    def close(self) -> None:
        """Write what the boards have not written yet."""
        for board in self.boards:
            board.close()

    def standing(self, step: int) -> Standing:
        """Where the run stands after `step` steps."""
        return Standing(step, self.start.seconds + time.monotonic() - self.began)

    def step(
        self, step: int, loss: Tensor, losses: dict[str, Tensor], lr: float, norm: Tensor | None
    ) -> None:
        """Take note of one step; figures stay on their device until they are reported."""
        if self.quiet:
            return
        last = {k: v.detach() for k, v in losses.items() if "_block_" not in k}
        row = {"loss": loss.detach()} | last
        if norm is not None:
            row["gradient_norm"] = norm.detach()
        self.rows.append(row)
        self.first_step = self.first_step or time.monotonic() - self.began
        if step % self.every and step != self.total:
            if step == self.start.step + 1 or self._is_time():
                self._say(step, self._left(step))
            return
        figures = {k: sum(float(row[k]) for row in self.rows) / len(self.rows) for k in row}
        figures["lr"] = lr
        self.rows.clear()
        for name, value in figures.items():
            self._show(f"train/{name}", value, step)
        seconds = {"seconds": round(self.standing(step).seconds, 1)}
        self.losses.add({"step": step} | seconds | figures)
        terms = "  ".join(
            f"{k.removeprefix('loss_')} {v:.3f}" for k, v in figures.items() if k != "lr"
        )
        self._say(step, f"{self._left(step)}  {terms}")

    def measuring(self, step: int, pictures: int) -> Callable[[int, int], None]:
        """Say that an evaluation begins; what is to be called with what is done, and in all."""
        if self.quiet:
            return lambda done, total: None
        began = time.monotonic()
        self._say(step, f"measuring on {counted(pictures, 'validation picture')}")

        def report(done: int, total: int) -> None:
            if self._is_time():
                left = (time.monotonic() - began) / done * (total - done)
                self._say(
                    step, f"measured on {done} of {total}, {timedelta(seconds=round(left))} left"
                )

        return report

    def figures(self, step: int, figures: dict[str, float]) -> None:
        """Report the figures of an evaluation."""
        if figures:
            self.evaluations.add({"step": step} | figures)
        for name, value in figures.items():
            self._show(name.replace("_", "/", 1), value, step)
            self._say(step, f"{name} {value:.2f}")

    def draw(self) -> None:
        """Draw the curves so far."""
        tables = {self.name: self.losses.path, "validation": self.evaluations.path}
        write_curves(self.folder / "curves.png", tables, last=self.total)

    def stalled(self, patience: int | None) -> bool:
        """Whether so many evaluations in a row brought nothing better; a quiet log cannot tell."""
        if patience is None or self.quiet:
            return False
        main = [float(row[1]) for row in self.evaluations.read()[1]]
        return bool(main) and len(main) - 1 - main.index(max(main)) >= patience

    def _say(self, step: int, text: str) -> None:
        self.spoken = time.monotonic()
        print(f"step {step}/{self.total}  {self.name}  {text}", file=sys.stderr, flush=True)

    def _is_time(self) -> bool:
        return time.monotonic() - self.spoken >= SPEAK_EVERY

    def _show(self, name: str, value: float, step: int) -> None:
        for board in self.boards:
            board.add_scalar(name, value, step)

    def _left(self, step: int) -> str:
        spent, done = time.monotonic() - self.began, step - self.start.step
        rate = (spent - self.first_step) / (done - 1) if done > 1 else spent
        return f"{rate:.2f} s/step, {timedelta(seconds=round(rate * (self.total - step)))} left"


@contextmanager
def interruptible() -> Generator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag, so that a step is finished and saved; a second one
    stops at once. Outside the main thread, where signals cannot be caught, the flag stays off.
    """
    requested = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    previous = signal.getsignal(signal.SIGINT)

    def request(signum: int, frame: object) -> None:
        print("finishing this step; press Ctrl-C again to stop at once", file=sys.stderr)
        requested.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, request)
    try:
        yield requested.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
