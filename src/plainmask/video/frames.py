"""Frames on their way in: one of them, and a source that gives them one by one.

Letters: H W image size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError

RATE = 25.0
"""Frames per second of sources that do not say, such as folders."""


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One frame of a video."""

    image: NDArray[np.uint8]
    """(H, W, 3) uint8 RGB, upright."""
    seconds: float
    """When it is shown, from 0; never less than that of the frame before."""
    name: str
    """What files of it are called, without a suffix; no two alike in a video."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A frame that cannot be decoded."""

    reason: str


class BreakOffError(Exception):
    """Raised by what reads a source: there should be more frames, but they do not come."""


Read: TypeAlias = Callable[[], Iterator[Frame | Damaged]]


@dataclass(eq=False)
class Video:
    """A source that was opened; `open_video` makes it. Iterating reads its images from the first.

    Damaged frames are left out and counted, and a warning at the end gives their number.
    """

    name: str
    """What messages call it."""
    read: Read = field(repr=False)
    """Gives the frames from the first on; raises `BreakOffError` where more should come."""
    live: bool = False
    """Whether frames come as they happen, so that none can be read ahead."""
    rate: float | None = None
    """Frames per second, where that is known."""
    count: int | None = None
    """Number of frames, where that is known (for files an estimate)."""
    repeatable: bool = True
    """Whether it can be read a second time."""
    skipped: int = field(default=0, init=False)
    """Damaged frames so far, in this reading or the last."""
    _warned: bool = field(default=False, init=False, repr=False)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The images of `frames`."""
        return (frame.image for frame in self.frames())

    def frames(self) -> Iterator[Frame]:
        """All frames that can be decoded, one at a time.

        Raises:
            InputError: the source holds no frame, or breaks off; the message says after how many.
        """
        self.skipped, given, reason = 0, 0, ""
        try:
            for item in self.read():
                if isinstance(item, Damaged):
                    reason = reason or item.reason
                    self.skipped += 1
                else:
                    given += 1
                    yield item
        except BreakOffError as error:
            self._warn(reason)
            frames = f"after {given} frame{'s' if given > 1 else ''}" if given else "at once"
            raise InputError(f"{self.name} breaks off {frames}: {error}") from error
        if not given:
            damage = f": all {self.skipped} are damaged ({reason})" if self.skipped else ""
            raise InputError(f"{self.name} holds no frame that can be used{damage}")
        self._warn(reason)

    def _warn(self, reason: str) -> None:
        """Say once how many frames are left out, and why the first of them is."""
        if not self.skipped or self._warned:
            return
        self._warned = True
        frames = "damaged frame is" if self.skipped == 1 else "damaged frames are"
        warnings.warn(f"{self.name}: {self.skipped} {frames} left out ({reason})", stacklevel=3)


def frame_name(place: int) -> str:
    """What a frame without a name of its own is called, by its place from 0."""
    return f"{place:05d}"
