"""What a metric knows of videos: frames come one by one, and it must know where a video ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from plainmask.errors import InputError

Open = TypeVar("Open")
Closed = TypeVar("Closed")


class Videos(Generic[Open, Closed]):
    """The video that frames come of, and what is kept of those before it, in their order.

    What is kept of a video does not depend on the others, so videos that several processes look at
    can be put together: as long as their order stays, so do sums, to the last digit.

    Args:
        begin: gives what is known before the first frame of a video.
        close: gives what is kept of a video, for what is known after its last frame.
    """

    def __init__(self, begin: Callable[[], Open], close: Callable[[Open], Closed]):
        self._begin, self._close = begin, close
        self._closed: dict[str, Closed] = {}
        self._current: tuple[str, Open] | None = None

    def at(self, video: str) -> Open:
        """What is known of a video when one of its frames comes; another one ends by that.

        Raises:
            InputError: frames of other videos came since the last one of this.
        """
        if self._current is not None and self._current[0] == video:
            return self._current[1]
        closed = self.all()
        if video in closed:
            raise InputError(
                f"frames of the video {video!r} come again after frames of {[*closed][-1]!r}; "
                "give all frames of a video, in order, before the next one"
            )
        self._closed, self._current = closed, (video, self._begin())
        return self._current[1]

    def all(self) -> dict[str, Closed]:
        """What is kept of each video so far, as if the last one had ended."""
        if self._current is None:
            return self._closed
        video, known = self._current
        return self._closed | {video: self._close(known)}

    def merge(self, other: Videos[Open, Closed]) -> None:
        """Add the videos of another one, after those so far; the last one of both has ended.

        Raises:
            InputError: a video is in both.
        """
        mine, theirs = self.all(), other.all()
        if both := mine.keys() & theirs.keys():
            raise InputError(
                f"the video {min(both)!r} was counted in two parts; give all its frames to one"
            )
        self._closed, self._current = mine | theirs, None
