"""What the tests of the commands share: a folder with a tiny model and pictures in it."""

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
