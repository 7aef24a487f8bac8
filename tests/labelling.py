"""Folders of made-up pictures, and sessions on a tiny encoder, for tests of labelling."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from images import png
from plainmask.inference.shared_pass import SharedPass
from plainmask.label.features import KeptTaps
from plainmask.label.project import FOLDER, Project
from plainmask.label.session import Session
from plainmask.label.stroke import Stroke
from plainmask.label.teaching import Start
from tiny import tiny_encoder

SIZE = (60, 80)
"""Height and width."""


def fields(folder: Path, *names: str) -> Path:
    """Pictures whose left half is dark and smooth, and whose right half is bright and rough."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (folder / name).write_bytes(png(field(seed)))
    return folder


def field(seed: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) of `fields`."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(20, 40, (*SIZE, 3), np.uint8)
    pixels[:, SIZE[1] // 2 :] = rng.integers(100, 256, (SIZE[0], SIZE[1] // 2, 3))
    return pixels


def tiny_taps(place: Path, max_bytes: int = 10**8) -> KeptTaps:
    shared = SharedPass.of(tiny_encoder(), torch.device("cpu"), torch.float32)
    return KeptTaps(place / "features", shared, max_bytes)


@contextmanager
def session(
    folder: Path,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
    *,
    place: Path | None = None,
    learns: bool = False,
    start: Start | None = None,
    **more: Any,
) -> Iterator[Session]:
    """A session on the pictures of a folder, in the classes dark and bright."""
    place = place or folder / FOLDER
    taps = tiny_taps(place)
    fingerprint = taps.shared.encoder.fingerprint
    options: dict[str, Any] = {"encoder": "tiny", "classes": ["dark", "bright"]} | more
    project = Project.open(folder, place, fingerprint=fingerprint, **options)
    made = Session(project, taps, tell, learns=learns, start=start)
    try:
        yield made
    finally:
        made.close()


def dot(picture: str, x: float, class_id: int, y: float = 30) -> Stroke:
    return Stroke.read(
        {"picture": picture, "kind": "brush", "points": [[x, y]], "radius": 7, "class": class_id}
    )


def waited_for(what: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true value of something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "this did not happen"
        time.sleep(0.01)
    return found


def things(folder: Path, *names: str) -> Path:
    """Pictures of two things that touch, smooth and rough, on dark ground."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        rng = np.random.default_rng(seed)
        pixels = rng.integers(20, 40, (*SIZE, 3), np.uint8)
        pixels[15:45, 10:40] = rng.integers(170, 190, (30, 30, 3))
        pixels[15:45, 40:70] = rng.integers(120, 256, (30, 30, 3))
        (folder / name).write_bytes(png(pixels))
    return folder


def on_object(picture: str, x: float, number: int, class_id: int = 1, y: float = 30) -> Stroke:
    """As `dot`; 0 and class 0 for background."""
    return dot(picture, x, class_id, y).model_copy(update={"object": number})
