"""Frames on their way in: one of them, and a source that gives them one by one.

Letters: H W image size.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self, TypeAlias

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
    pixel_aspect: Fraction = Fraction(1)
    """Width of a pixel as it is shown, by its height."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A frame that cannot be decoded."""

    reason: str
    lost: bool = False
    """Whether nothing of it is there."""


class BreakOffError(Exception):
    """Raised by what reads a source: there should be more frames, but they do not come."""


Read: TypeAlias = Callable[[], Generator[Frame | Damaged]]


@dataclass(eq=False)
class Video:
    """A source that was opened; `open_video` makes it. Iterating reads its images from the first.

    Damaged and lost frames are left out and counted, and a warning at the end gives their number.
    A context manager: at the end of its block, or by `close`, a camera or file is let go of.
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
    release: Callable[[], object] = field(default=lambda: None, repr=False)
    """Lets go of what is held open before it is read, as the connection to a camera."""
    skipped: int = field(default=0, init=False)
    """Damaged or lost frames so far, in this reading or the last."""
    _reading: Generator[Frame | Damaged] | None = field(default=None, init=False, repr=False)
    _closed: bool = field(default=False, init=False, repr=False)
    _warned: bool = field(default=False, init=False, repr=False)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """The images of `frames`."""
        return (frame.image for frame in self.frames())

    def frames(self) -> Iterator[Frame]:
        """All frames that can be decoded, one at a time.

        Raises:
            InputError: the source was closed, holds no frame, or breaks off; the message says after
                how many.
        """
        if self._closed:
            raise InputError(f"{self.name} was closed; open it again")
        self.skipped, given, first = 0, 0, None
        self._reading = reading = self.read()
        try:
            for item in reading:
                if isinstance(item, Damaged):
                    first = first or item
                    self.skipped += 1
                else:
                    given += 1
                    yield item
                    if self._closed:
                        return
        except BreakOffError as error:
            self._warn(first)
            frames = f"after {given} frame{'s' if given > 1 else ''}" if given else "at once"
            raise InputError(f"{self.name} breaks off {frames}: {error}") from error
        finally:
            with suppress(ValueError):  # another thread is closing it
                reading.close()
        if self._closed:
            return
        if not given:
            damage = f": all {self.skipped} are damaged ({first.reason})" if first else ""
            raise InputError(f"{self.name} holds no frame that can be used{damage}")
        self._warn(first)

    def close(self) -> None:
        """Let go of the source: a reading that is under way ends, and there is no other."""
        self._closed = True
        if self._reading is not None:
            with suppress(ValueError):  # another thread is at it, and lets go at its next frame
                self._reading.close()
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _warn(self, first: Damaged | None) -> None:
        """Say once how many frames are left out, and why the first of them is."""
        if first is None or self._warned:
            return
        self._warned = True
        frames = "frame is" if self.skipped == 1 else "frames are"
        which = f"{frames} lost" if first.lost else f"damaged {frames} left out"
        warnings.warn(f"{self.name}: {self.skipped} {which} ({first.reason})", stacklevel=3)


def frame_name(place: int) -> str:
    """What a frame without a name of its own is called, by its place from 0."""
    return f"{place:05d}"
