"""Video files, decoded frame by frame. Only this module and `live` and `mp4` import PyAV.

Letters: H W image size.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.video.frames import RATE, BreakOffError, Damaged, Frame, Video, frame_name

_AGAIN = "get it again"

_HELD_BACK = 32
"""Frames that a decoder may hold back, for its threads and the order of display."""

_NOTICEABLE = 1.0
"""Seconds by which pictures may end before their file says, such as where its sound goes on."""


def open_file(path: Path) -> Video:
    """Open a video file; it is closed again until its frames are read.

    Raises:
        InputError: it is empty, cut off, no video, without pictures, or of a codec that is not
            known here.
    """
    with _opened(path) as container:
        stream = picture_stream(container, str(path))
        rate = rate_of(stream)
        count = stream.frames or round(_stated_seconds(container) * (rate or RATE))
    return Video(str(path), partial(_read_file, path), rate=rate, count=count or None)


def _opened(path: Path) -> InputContainer:
    try:
        # The prefix keeps a colon in the name from passing for the scheme of an address.
        return av.open(f"file:{path}", "r")
    except (FFmpegError, OSError) as error:
        raise InputError(f"{path} {_reason(path, error)}") from error


def _reason(path: Path, error: FFmpegError | OSError) -> str:
    """Why a file cannot be opened, and what to do."""
    if isinstance(error, PermissionError):
        return "may not be read; check its permissions"
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError as cause:
        return f"cannot be read: {cause.strerror}"
    if not start:
        return "is empty; get or export it again"
    if start[4:8] == b"ftyp":
        return (
            "is cut off: the index of this MP4 or MOV file, which stands at its end, is missing; "
            "get it again, or repair it"
        )
    return (
        f"is not a video that can be read ({error.strerror}); give MP4, MOV, MKV, WebM, AVI or "
        "another format of FFmpeg, or a folder of frames"
    )


def picture_stream(container: InputContainer, name: str, *, live: bool = False) -> VideoStream:
    """The stream of an open container that holds the video.

    A file is decoded by several threads, each of which holds back a frame; a live source is not.

    Raises:
        InputError: there is none, or no decoder for it.
    """
    # Music files hold their cover as a video of one picture.
    covers = Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise InputError(f"{name} holds no pictures, only {held}; give a video")
    if getattr(streams[0], "codec_context", None) is None:
        raise InputError(
            f"{name} is of a codec that the FFmpeg inside PyAV does not know; convert it, for "
            "example to H.264"
        )
    streams[0].thread_type = "SLICE" if live else "FRAME"
    return streams[0]


def said(error: Exception) -> str:
    """What FFmpeg says is wrong, in words."""
    if isinstance(error, ExitError):  # how a time limit shows
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error)


def rate_of(stream: VideoStream) -> float | None:
    """Frames per second, as the container says or as its times suggest."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _read_file(path: Path) -> Iterator[Frame | Damaged]:
    last: Frame | None = None
    with _opened(path) as container:
        stream = picture_stream(container, str(path))
        is_cut_off = _reaches_to(stream) > path.stat().st_size
        if is_cut_off:  # several threads would lose frames before the cut along with the torn one
            stream.thread_type = "SLICE"
        for item in read_stream(container, stream, advice=_AGAIN):
            if isinstance(item, Frame):
                last = item
            elif is_cut_off:  # the torn one; the error below tells of it
                continue
            yield item
        stated = _stated_seconds(container)
    if is_cut_off:
        raise BreakOffError(f"the file is cut off; {_AGAIN}")
    if last and stated - last.seconds > max(_NOTICEABLE, 0.05 * stated):
        warnings.warn(
            f"{path}: its pictures end at {last.seconds:.1f} s of {stated:.1f} s; the file may be "
            "cut off",
            stacklevel=2,
        )


def _reaches_to(stream: VideoStream) -> int:
    """The byte up to which the file goes by the container's index; 0 where there is none."""
    index = stream.index_entries
    return index[-1].pos + index[-1].size if len(index) else 0


def _stated_seconds(container: InputContainer) -> float:
    """How long the container says that it lasts; 0 where it does not."""
    return (container.duration or 0) / av.time_base


def read_stream(
    container: InputContainer, stream: VideoStream, *, advice: str
) -> Iterator[Frame | Damaged]:
    """Decode a stream from where its container stands.

    Raises:
        BreakOffError: reading fails before the end; it says why, and the advice.
    """
    clock, upright = _Clock(1 / (rate_of(stream) or RATE)), _Upright()
    place = 0
    for item in _decoded(container, stream, advice):
        if isinstance(item, Damaged):
            yield item
            continue
        yield Frame(upright.image(item), clock.tell(item.time), frame_name(place))
        place += 1


class _Clock:
    """Times that begin with 0 and never go back.

    Where those of the stream do, as in joined recordings, they go on a frame later.
    """

    def __init__(self, step: float):
        self.step, self.now, self._shift = step, -step, 0.0

    def tell(self, time: float | None) -> float:
        """The time of the next frame, whose own is this, in seconds."""
        expected = self.now + self.step
        if time is None:
            time = expected - self._shift
        if time + self._shift <= self.now or not expected:
            self._shift = expected - time
        self.now = time + self._shift
        return self.now


def _decoded(
    container: InputContainer, stream: VideoStream, advice: str
) -> Iterator[VideoFrame | Damaged]:
    packets = container.demux(stream)
    owed = 0  # a packet is a frame, which may come some packets later
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            raise BreakOffError(f"{said(error)}; {advice}") from error
        if packet is None:
            break
        owed += packet.size > 0 and not packet.is_discard
        try:
            frames = packet.decode()
        except FFmpegError as error:
            owed -= 1
            yield Damaged(said(error))
            continue
        owed -= len(frames)
        for frame in frames:
            yield Damaged("parts of its picture are missing") if frame.is_corrupt else frame
    if 0 < owed <= _HELD_BACK:  # damage there takes all along that are not out yet
        yield from [Damaged("it is lost at the end")] * owed


class _Upright:
    """Turns and mirrors frames as their display matrix says."""

    def __init__(self) -> None:
        self._rotation: int | None = None
        self._matrix = (1, 0, 0, 1)

    def image(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """A decoded frame as (H, W, 3) uint8 RGB."""
        if frame.rotation != self._rotation:
            # Only then: in PyAV a frame whose side data were read is freed by the garbage
            # collector alone, so that hundreds of them would wait for it.
            self._rotation, self._matrix = frame.rotation, _display_matrix(frame)
        image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        a, b, c, d = self._matrix
        if abs(a) + abs(d) >= abs(b) + abs(c):
            turned = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
        else:
            turned = image.transpose(1, 0, 2)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
        return np.ascontiguousarray(turned)


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """a, b, c, d, by which x' = a x + c y and y' = b x + d y are places on the display."""
    attached: Any = frame.side_data  # its types say that these are strings
    for data in attached:
        if data.type is SideData.DISPLAYMATRIX:  # stored as a b u, c d v, x y w
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32, count=5).tolist()
            return a, b, c, d
    return 1, 0, 0, 1
