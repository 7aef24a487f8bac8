"""Frames that a damaged or cut file has lost without a trace in its pictures.

Formats without an index (Matroska, WebM, MPEG-TS, FLV) go on behind a hole as if nothing had been
there. It shows in the times, which jump, at a place where the bytes do not join either.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from plainmask.video.frames import RATE, Damaged

_WITHOUT_INDEX = {"matroska", "webm", "mpegts", "flv"}
"""FFmpeg's names of these formats."""

_BETWEEN = 128
"""Most bytes that stand between two packets: their headers, and those of what groups them."""

_NEAR = 1.0
"""Seconds between a place where bytes do not join and the hole in the times that belongs to it."""

_NOTICEABLE = 1.0
"""Seconds by which pictures may end before their file says, where its sound goes on."""


class LostFrames:
    """Counts the frames that are lost, from what a container gives; in constant memory."""

    def __init__(self, container: InputContainer, stream: VideoStream):
        names = set(container.format.name.split(","))
        self.watches = bool(names & _WITHOUT_INDEX)
        """Whether packets of all streams are needed."""
        self._joins = "mpegts" not in names  # its packets lie in pieces between each other
        self._step = 1 / float(stream.average_rate or stream.guessed_rate or RATE)
        self._stated, self._slack = _stated_end(container, stream, self._step)
        self._breaks: deque[float] = deque(maxlen=64)
        self._end_of_bytes: int | None = None
        self._broken = False
        self._first: float | None = None
        self._last = 0.0
        self._lost = 0
        self._hole = 0.0

    def packet(self, packet: Packet[Any], is_picture: bool) -> None:
        """Take the next packet of the file."""
        if packet.pos is not None and packet.size:
            ends, self._end_of_bytes = self._end_of_bytes, packet.pos + packet.size
            if self._joins and ends is not None and not 0 <= packet.pos - ends <= _BETWEEN:
                self._broken = True
        self._broken = self._broken or packet.is_corrupt
        if is_picture and self._broken and packet.pts is not None and packet.time_base:
            self._breaks.append(float(packet.pts * packet.time_base))
            self._broken = False

    def frame(self, time: float | None) -> None:
        """Take the time of the next frame, as the file has it."""
        if time is None:
            return
        if self._first is None:
            self._first = self._last = time
            return
        if time < self._last:  # behind a hole they may come out of order
            self._lost = max(0, self._lost - 1)
        jump = round((time - self._last) / self._step) - 1
        if jump > 0 and any(self._last - _NEAR <= at <= time + _NEAR for at in self._breaks):
            self._hole = self._hole or time
            self._lost += jump
        self._last = max(self._last, time)

    def found(self, damaged: int) -> list[Damaged]:
        """An entry for each lost frame, besides those that were told of as damaged."""
        lost = max(0, self._lost - damaged)
        reason = f"the file is damaged at about {self._hole - (self._first or 0.0):.1f} s"
        if self._first is None:
            return []
        # Some formats count from the first frame, some from 0.
        ends = max(self._last, self._last - self._first) + self._step
        missing = self._stated - ends
        if missing > self._slack:
            shown = f"{ends:.1f} s of {self._stated:.1f} s"
            cut = f"its pictures end at {shown}; the file may be cut off"
            reason = f"{reason}, and {cut}" if lost else cut
            lost += max(1, round(missing / self._step))
        return [Damaged(reason, lost=True)] * lost


def _stated_end(container: InputContainer, stream: VideoStream, step: float) -> tuple[float, float]:
    """When the pictures end as the file says, 0 where it does not, and what that may be off by."""
    exact = 1.5 * step
    if "DURATION" in stream.metadata:  # of Matroska and WebM, as 00:00:01.600000000
        return _seconds(stream.metadata["DURATION"]), exact
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base), max(exact, _NOTICEABLE)
    stated = (container.duration or 0) / 1_000_000
    alone = len(container.streams) == 1
    return stated, exact if alone else max(_NOTICEABLE, 0.05 * stated)


def _seconds(text: str) -> float:
    """Seconds of a time as hours:minutes:seconds; 0 where it is none."""
    try:
        hours, minutes, seconds = (float(part) for part in text.split(":"))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds
