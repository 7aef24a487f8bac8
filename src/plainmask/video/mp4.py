"""The video with its results painted over it, as H.264 in an MP4 file. Imports PyAV.

Letters: H W image size.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias, cast

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from plainmask.atomic import COMMENT_MARK, cannot_write, check_replaceable, temporary_beside
from plainmask.errors import InputError
from plainmask.results import Result
from plainmask.video.frames import Frame

Picture: TypeAlias = NDArray[np.uint8]

_ENCODERS = {
    # As "veryfast" with coarser motion: files 6 % larger of equal looks, in 0.6 of the time.
    "libx264": {"preset": "superfast", "mbtree": "1", "rc-lookahead": "10", "crf": "20"},
    "libopenh264": {"rc_mode": "quality"},
}
"""In the order of preference, with their options."""
_TICKS = 90_000
"""Of the clock, per second: usual rates are whole numbers of them."""
_KEY_FRAMES = 25
"""Most frames between two key frames; what lies before the last is safe at any time."""


class OverlayVideo:
    """An MP4 of what `Result.draw` paints, with the times of the source.

    All frames have the size of the first, rounded up to even numbers; frames of another size are
    fitted into it. The file is written in fragments, so that whatever ends the writing, it can be
    played up to the last of them; in memory stays less than 100 bytes a frame, its index.
    """

    def __init__(self, path: Path):
        self._path = path
        check_replaceable(path)
        self._temporary = temporary_beside(path)
        self._size = (0, 0)
        self._last = -1
        self._gap = 0
        self._waiting: Packet[Any] | None = None
        self._failed = False
        self._container: OutputContainer | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("x+b", buffering=0)
        except OSError as cause:
            raise cannot_write(path, cause) from cause

    def write(self, frame: Frame, result: Result) -> None:
        """Add a frame."""
        picture = np.asarray(result.draw(frame.image))
        try:
            if self._container is None:
                self._begin(picture.shape[0], picture.shape[1], frame.pixel_aspect)
            self._mux(self._stream.encode(self._coded(picture, frame.seconds)))
        except (FFmpegError, OSError) as cause:
            self._failed = True
            raise self._error(cause) from cause

    def close(self) -> list[Path]:
        """Write what the encoder holds back and the index, and give the file its name."""
        if self._container is None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)
            return []
        failure: Exception | None = None
        try:
            self._mux(self._stream.encode(None))
            self._put(self._gap or _TICKS // 25)
        except (FFmpegError, OSError) as cause:
            failure = cause
        try:
            self._container.close()
        except (FFmpegError, OSError) as cause:
            failure = failure or cause
        self._file.close()
        kept = failure is None or _can_be_played(self._temporary)
        with suppress(OSError):
            self._temporary.replace(self._path) if kept else self._temporary.unlink()
        if failure is not None and not self._failed:
            raise self._error(failure) from failure
        return [self._path] if kept else []

    def _begin(self, height: int, width: int, pixel_aspect: Fraction) -> None:
        encoder = next((name for name in _ENCODERS if name in av.codecs_available), None)
        if encoder is None:
            raise InputError(
                f"this PyAV has none of the H.264 encoders {', '.join(_ENCODERS)}, which an MP4 "
                'needs; pip install "av" as a wheel has one'
            )
        self._size = (height + height % 2, width + width % 2)
        # Fragments until the end, then one index for all: playable everywhere, and after a crash.
        self._container = av.open(
            self._file, "w", format="mp4", options={"movflags": "hybrid_fragmented+frag_keyframe"}
        )
        self._container.metadata["comment"] = COMMENT_MARK
        added = self._container.add_stream(encoder, rate=25, options=_ENCODERS[encoder])
        stream = cast(VideoStream, added)
        stream.height, stream.width = self._size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        stream.time_base = context.time_base = Fraction(1, _TICKS)
        context.gop_size = _KEY_FRAMES
        # Frames that wait for later ones would put off the first: the clock begins with 0.
        context.max_b_frames = 0
        if pixel_aspect != 1:
            context.sample_aspect_ratio = pixel_aspect
        # 1 is BT.709 in each of these.
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = ColorRange.MPEG
        self._stream: VideoStream = stream

    def _coded(self, picture: Picture, seconds: float) -> VideoFrame:
        """The frame as the encoder takes it."""
        frame = VideoFrame.from_ndarray(fitted(picture, self._size), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        ticks = max(round(seconds * _TICKS), self._last + 1)
        if self._last >= 0:
            self._gap = min(self._gap or _TICKS * 3600, ticks - self._last)
        self._last = frame.pts = ticks
        frame.time_base = Fraction(1, _TICKS)
        return frame

    def _mux(self, packets: Sequence[Packet[Any]]) -> None:
        """Write all but the last, which waits until it is known how long its frame is shown."""
        for packet in packets:
            if self._waiting is not None and packet.pts is not None:
                self._put(packet.pts - (self._waiting.pts or 0))
            self._waiting = packet

    def _put(self, duration: int) -> None:
        """Write the packet that waits; the last frame of all is shown for the shortest time."""
        if self._waiting is not None and self._container is not None:
            self._waiting.duration = duration
            self._container.mux(self._waiting)
        self._waiting = None

    def _error(self, cause: Exception) -> InputError:
        if isinstance(cause, OSError):
            return cannot_write(self._path, cause)
        return InputError(f"{self._path} cannot be written: {cause}")


def _can_be_played(path: Path) -> bool:
    try:
        with av.open(f"file:{path}", "r") as container:
            return any(packet.size for packet in container.demux(video=0))
    except FFmpegError:
        return False


def fitted(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture (h, w, 3) in a frame of this (H, W): as it is, or scaled between black bars.

    A missing row or column, which makes a side even, repeats the last.
    """
    height, width = picture.shape[:2]
    if (height + height % 2, width + width % 2) == size:
        return np.pad(picture, ((0, size[0] - height), (0, size[1] - width), (0, 0)), mode="edge")
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new("RGB", (size[1], size[0]))
    scaled = Image.fromarray(picture).resize(inner, Image.Resampling.BILINEAR)
    canvas.paste(scaled, ((size[1] - inner[0]) // 2, (size[0] - inner[1]) // 2))
    return np.asarray(canvas)
