"""What a run says while it trains: a line and a CSV row every few steps, TensorBoard, Ctrl-C."""

from __future__ import annotations

import csv
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from plainmask.training.checkpoint import Progress


class RunLog:
    """Collects the figures of the steps and reports their means every `every` steps."""

    def __init__(self, run_dir: Path, total: int, start: Progress, *, every: int):
        self.path = run_dir / "log.csv"
        self.board = SummaryWriter(run_dir / "tensorboard", purge_step=start.step)
        self.total, self.every, self.start = total, every, start
        self.began = time.monotonic()
        self.rows: list[dict[str, Tensor]] = []
        self._forget_after(start.step)

    def close(self) -> None:
        """Write what TensorBoard has not written yet."""
        self.board.close()

    def progress(self, step: int) -> Progress:
        """Where the run stands after `step` steps."""
        return Progress(step, self.start.seconds + time.monotonic() - self.began)

    def step(
        self, step: int, loss: Tensor, losses: dict[str, Tensor], lr: float, norm: Tensor | None
    ) -> None:
        """Take note of one step; figures stay on their device until they are reported."""
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
            self.board.add_scalar(f"train/{name}", value, step)
        self._append({"step": step, "seconds": round(self.progress(step).seconds, 1)} | figures)
        terms = "  ".join(
            f"{k.removeprefix('loss_')} {v:.3f}" for k, v in figures.items() if k != "lr"
        )
        print(f"step {step}/{self.total}  {self._left(step)}  {terms}", file=sys.stderr, flush=True)

    def figures(self, step: int, figures: dict[str, float]) -> None:
        """Report the figures of an evaluation."""
        for name, value in figures.items():
            self.board.add_scalar(name.replace("_", "/", 1), value, step)
            print(f"step {step}: {name} {value:.2f}", file=sys.stderr, flush=True)

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
