"""Video files, decoded frame by frame. PyAV is imported in this, `live`, `lost_frames` and `mp4`.

Letters: H W image size.
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray

from plainmask.errors import InputError
from plainmask.video.frames import RATE, BreakOffError, Damaged, Frame, Video, frame_name
from plainmask.video.lost_frames import LostFrames

_AGAIN = "get it again"

_CUT_OFF = (
    "is cut off: the index of this MP4 or MOV file, which stands at its end, is missing or torn; "
    "get it again, or repair it"
)

_HELD_BACK = 32
"""Frames that a decoder may hold back, for its threads and the order of display."""

_UNSPECIFIED = 2
"""FFmpeg's number for a colour space that is not known."""
_HD = 720
"""Lines from which on video without a note of its colours means those of HD, BT.709."""


def open_video_file(path: Path) -> Video:
    """Open a video file; it is closed again until its frames are read.

    Raises:
        InputError: it is empty, cut off, no video, without pictures, or of a codec that is not
            known here.
    """
    with _opened(path) as container:
        if _index_is_cut(path):  # FFmpeg gives what it finds in the rest
            raise InputError(f"{path} {_CUT_OFF}")
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
        return _CUT_OFF
    return (
        f"is not a video that can be read ({error.strerror}); give MP4, MOV, MKV, WebM, AVI or "
        "another format of FFmpeg, or a folder of frames"
    )


def _index_is_cut(path: Path) -> bool:
    """Whether a file is MP4 or MOV and ends within its index, the box "moov"."""
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        while place + 16 <= size:
            file.seek(place)
            length, kind, longer = struct.unpack(">I4sQ", file.read(16))
            if place == 0 and kind not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return False
            length = longer if length == 1 else length
            if kind == b"moov":
                return place + length > size
            if length < 8:  # to the end, or no box at all
                return False
            place += length
    return place != size  # the name of a box is torn


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
        held = ", ".join(sorted({stream.type for stream in container.streams}))
        if not held:
            raise InputError(f"{name} holds nothing that can be read; it may be cut off: {_AGAIN}")
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


def _read_file(path: Path) -> Generator[Frame | Damaged]:
    damaged = 0
    with _opened(path) as container:
        stream = picture_stream(container, str(path))
        is_cut_off = _reaches_to(stream) > path.stat().st_size
        if is_cut_off:  # several threads would lose frames before the cut along with the torn one
            stream.thread_type = "SLICE"
        lost = LostFrames(container, stream)
        for item in read_stream(container, stream, advice=_AGAIN, lost=lost):
            if isinstance(item, Damaged):
                if is_cut_off:  # the torn one; the error below tells of it
                    continue
                damaged += 1
            yield item
    if is_cut_off:
        raise BreakOffError(f"the file is cut off; {_AGAIN}")
    yield from lost.found(damaged)


def _reaches_to(stream: VideoStream) -> int:
    """The byte up to which the file goes by the container's index; 0 where there is none."""
    index = stream.index_entries
    return index[-1].pos + index[-1].size if len(index) else 0


def _stated_seconds(container: InputContainer) -> float:
    """How long the container says that it lasts; 0 where it does not."""
    stated = container.duration or 0
    if not {"matroska", "webm", "flv"}.isdisjoint(container.format.name.split(",")):
        stated -= max(0, container.start_time or 0)  # these count from 0
    return max(0, stated) / av.time_base


def read_stream(
    container: InputContainer, stream: VideoStream, *, advice: str, lost: LostFrames | None = None
) -> Generator[Frame | Damaged]:
    """Decode a stream from where its container stands; `lost` is told of what comes.

    Raises:
        BreakOffError: reading fails before the end; it says why, and the advice.
    """
    clock, upright = _Clock(1 / (rate_of(stream) or RATE)), _Upright()
    place = 0
    for item in _decoded(container, stream, advice, lost):
        if isinstance(item, Damaged):
            yield item
            continue
        if lost:
            lost.frame(item.time)
        image = upright.image(item)
        aspect = upright.pixel_aspect(stream)
        yield Frame(image, clock.tell(item.time), frame_name(place), aspect)
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
    container: InputContainer, stream: VideoStream, advice: str, lost: LostFrames | None
) -> Generator[VideoFrame | Damaged]:
    packets = container.demux() if lost and lost.watches else container.demux(stream)
    owed = 0  # a packet is a frame, which may come some packets later
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            raise BreakOffError(f"{said(error)}; {advice}") from error
        if packet is None:
            break
        if lost:
            lost.packet(packet, is_picture=packet.stream is stream)
        if packet.stream is not stream:
            continue
        owed += packet.size > 0 and not packet.is_discard
        try:
            frames = cast(list[VideoFrame], packet.decode())
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
        image = _rgb(frame)
        a, b, c, d = self._matrix
        if abs(a) + abs(d) >= abs(b) + abs(c):
            turned = image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
        else:
            turned = image.transpose(1, 0, 2)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
        return np.ascontiguousarray(turned)

    def pixel_aspect(self, stream: VideoStream) -> Fraction:
        """Width of a pixel by its height, in the last image."""
        aspect = stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
        if not aspect or aspect <= 0:
            return Fraction(1)
        a, b, c, d = self._matrix
        return aspect if abs(a) + abs(d) >= abs(b) + abs(c) else 1 / aspect


def _rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 3), in the colours that players take a frame to have that does not say."""
    guessed = frame.colorspace == _UNSPECIFIED and frame.height >= _HD
    matrix = Colorspace.ITU709 if guessed and not frame.format.is_rgb else None
    return np.asarray(frame.to_ndarray(format="rgb24", src_colorspace=matrix), np.uint8)


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """a, b, c, d, by which x' = a x + c y and y' = b x + d y are places on the display."""
    attached: Any = frame.side_data  # its types say that these are strings
    for data in attached:
        if data.type is SideData.DISPLAYMATRIX:  # stored as a b u, c d v, x y w
            a, b, _, c, d = np.frombuffer(bytes(data), np.int32, count=5).tolist()
            return a, b, c, d
    return 1, 0, 0, 1
