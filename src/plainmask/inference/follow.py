"""A whole video through a stream, frame and result side by side: what saving and showing need."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.inference.stream import Stream
from plainmask.inference.tracking import AHEAD, Protocol, offline, online
from plainmask.video.frames import Frame, Video


def follow(
    stream: Stream,
    video: Video,
    *,
    protocol: Protocol = "online",
    ahead: int | None = None,
    on_read: Callable[[], object] | None = None,
) -> Iterator[tuple[Frame, Any]]:
    """Each frame of a video with its result; where the source breaks off, those up to there.

    Args:
        stream: fresh; or one that goes on from its state, for the online protocol.
        video: from `open_video`.
        protocol: see `Segmenter.track`. For "offline" the video is read a second time, after all
            of it was seen, so that frames need not wait in memory.
        ahead: frames that may be read before a result is given; None: 1 for live sources.
        on_read: called for each frame that is read, from another thread.

    Yields:
        Frame and result, as from `Stream.step`.

    Raises:
        InputError: the source holds no frame, breaks off (after all results), or cannot be read
            a second time.
    """
    ahead = ahead or (1 if video.live else AHEAD)
    read: deque[Frame] = deque()
    if protocol == "online":
        for _, result in online(stream, _images(video, read, on_read), ahead=ahead):
            yield read.popleft(), result
        return
    if not video.repeatable:
        raise InputError(
            f"{video.name} can be read only once, and saving results of the offline protocol takes "
            "a second time; use the online protocol, or record it to a file first"
        )
    results = offline(stream, _images(video, None, on_read), ahead=ahead)
    for result, frame in zip(results, video.frames(), strict=False):
        yield frame, result


def _images(
    video: Video, read: deque[Frame] | None, on_read: Callable[[], object] | None
) -> Iterator[NDArray[np.uint8]]:
    """The images of a video, whose frames are appended to `read`."""
    for frame in video.frames():
        if read is not None:
            read.append(frame)
        if on_read is not None:
            on_read()
        yield frame.image
