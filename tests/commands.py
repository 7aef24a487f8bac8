"""What the tests of the commands share: a folder with a tiny model and pictures in it."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


class Workspace(NamedTuple):
    """A folder with the tiny encoder and a tiny semantic head."""

    folder: Path
    encoder: Path
    head: Path

    def picture(self, name: str, height: int = 50, width: int = 70) -> Path:
        """A new picture; its name may have folders."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    @property
    def model(self) -> tuple[str, ...]:
        """Options that choose the tiny head and encoder."""
        return "--head", str(self.head), "--encoder", str(self.encoder), "--device", "cpu"


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str], seconds: int = 30
) -> None:
    """Wait until a process that was started has come that far."""
    for _ in range(20 * seconds):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"nothing happened in {seconds} s")
