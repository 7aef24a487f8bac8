"""What a run says while it trains: a line and a CSV row every few steps, boards, Ctrl-C."""

from __future__ import annotations

import csv
import importlib
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from plainmask.errors import InputError
from plainmask.training.checkpoint import Progress
from plainmask.training.recipe import Recipe


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
    """

    def __init__(
        self, run_dir: Path, recipe: Recipe, start: Progress, *, wandb: str | None, quiet: bool
    ):
        self.path = run_dir / "log.csv"
        self.name, self.quiet = recipe.name, quiet
        self.boards: list[Board] = []
        if not quiet:
            self.boards.append(SummaryWriter(run_dir / "tensorboard", purge_step=start.step))
            if wandb is not None:
                self.boards.append(WandbBoard(wandb, run_dir, recipe))
            self._forget_after(start.step)
        self.total, self.every, self.start = recipe.steps, recipe.log_every, start
        self.began = time.monotonic()
        self.rows: list[dict[str, Tensor]] = []

    def close(self) -> None:
        """Write what the boards have not written yet."""
        for board in self.boards:
            board.close()

    def progress(self, step: int) -> Progress:
        """Where the run stands after `step` steps."""
        return Progress(step, self.start.seconds + time.monotonic() - self.began)

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
        if step % self.every and step != self.total:
            return
        figures = {k: sum(float(row[k]) for row in self.rows) / len(self.rows) for k in row}
        figures["lr"] = lr
        self.rows.clear()
        for name, value in figures.items():
            self._show(f"train/{name}", value, step)
        self._append({"step": step, "seconds": round(self.progress(step).seconds, 1)} | figures)
        terms = "  ".join(
            f"{k.removeprefix('loss_')} {v:.3f}" for k, v in figures.items() if k != "lr"
        )
        text = f"step {step}/{self.total}  {self.name}  {self._left(step)}  {terms}"
        print(text, file=sys.stderr, flush=True)

    def figures(self, step: int, figures: dict[str, float]) -> None:
        """Report the figures of an evaluation."""
        for name, value in figures.items():
            self._show(name.replace("_", "/", 1), value, step)
            text = f"step {step}/{self.total}  {self.name}  {name} {value:.2f}"
            print(text, file=sys.stderr, flush=True)

    def _show(self, name: str, value: float, step: int) -> None:
        for board in self.boards:
            board.add_scalar(name, value, step)

    def _forget_after(self, step: int) -> None:
        """Drop rows that a stopped run wrote after its last checkpoint, or an older run left."""
        if not self.path.exists():
            return
        header, *rows = self.path.read_text().splitlines(keepends=True)
        kept = [row for row in rows if int(row.split(",")[0]) <= step]
        self.path.write_text("".join([header, *kept]) if kept else "")

    def _left(self, step: int) -> str:
        rate = (time.monotonic() - self.began) / max(1, step - self.start.step)
        minutes = rate * (self.total - step) / 60
        return f"{rate:.2f} s/step, {minutes:.0f} min left"

    def _append(self, row: dict[str, float]) -> None:
        is_new = not self.path.exists() or self.path.stat().st_size == 0
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if is_new:
                writer.writerow(row)
            writer.writerow(f"{v:.6g}" for v in row.values())


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
