"""A whole video through a stream, frame and result side by side: what saving and showing need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from plainmask.errors import InputError
from plainmask.inference.segmenter import HeadStream
from plainmask.inference.stream import Stream
from plainmask.inference.tracking import AHEAD, TrackingProtocol, check_protocol, offline, online
from plainmask.results import Result
from plainmask.video.frames import Frame, Video

R = TypeVar("R", bound=Result)


@overload
def follow(
    stream: HeadStream[R],
    video: Video,
    *,
    protocol: TrackingProtocol = "online",
    ahead: int | None = None,
    on_seen: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Frame, R]]: ...
@overload
def follow(
    stream: Stream,
    video: Video,
    *,
    protocol: TrackingProtocol = "online",
    ahead: int | None = None,
    on_seen: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Frame, dict[str, Any]]]: ...
def follow(
    stream: HeadStream[Any] | Stream,
    video: Video,
    *,
    protocol: TrackingProtocol = "online",
    ahead: int | None = None,
    on_seen: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Frame, Any]]:
    """Each frame of a video with its result; where the source breaks off, those up to there.

    Args:
        stream: fresh; or one that goes on from its state, for the online protocol.
        video: from `open_video`.
        protocol: see `Segmenter.track`. For "offline" the video is read a second time, after all
            of it was seen, so that frames need not wait in memory.
        ahead: frames that may be read before a result is given; None: 1 for live sources.
        on_seen: for "offline", whose results all come after the last frame: called for each frame
            that the network has seen.

    Returns:
        Frame and result, as from the stream's `step`, one pair after the other.

    Raises:
        InputError: at once, there is no such protocol, or the video cannot be read the second time
            that it needs; later, it holds no frame or breaks off (after all results).
    """
    check_protocol(protocol)
    if protocol == "offline" and not video.repeatable:
        raise InputError(
            f"{video.name} can be read only once, and saving results of the offline protocol takes "
            "a second time; use the online protocol, or record it to a file first"
        )
    inner = stream.inner if isinstance(stream, HeadStream) else stream
    limit = ahead or (1 if video.live else AHEAD)
    if protocol == "online":
        pairs = online(inner, video.frames(), ahead=limit)
    else:
        pairs = _read_again(video, offline(inner, video.frames(), ahead=limit, on_seen=on_seen))
    if isinstance(stream, HeadStream):
        return ((frame, results[stream.name]) for frame, results in pairs)
    return pairs


def _read_again(
    video: Video, results: Iterator[dict[str, Any]]
) -> Iterator[tuple[Frame, dict[str, Any]]]:
    """The results of a video that was seen to its end, and its frames, read a second time."""
    for found, frame in zip(results, video.frames(), strict=False):
        yield frame, found
