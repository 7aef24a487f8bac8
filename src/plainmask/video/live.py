"""Cameras and addresses: frames that come as they happen, or from a file elsewhere."""

from __future__ import annotations

import _thread
import sys
from collections.abc import Generator
from contextlib import closing, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.error import FFmpegError

from plainmask.errors import InputError
from plainmask.video.container import picture_stream, rate_of, read_stream, said
from plainmask.video.frames import RATE, BreakOffError, Damaged, Frame, Video

_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
_ADVICE = "connect it again"

_TIMEOUT = 10.0
"""Seconds without an answer after which a source counts as gone."""

_CAMERAS = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}:none"),
    "win32": ("vfwcap", "{}"),
}
"""Platform -> FFmpeg's name for its cameras, and how it writes their numbers."""


def open_camera(number: int) -> Video:
    """Open a camera of this computer by its number, from 0.

    Raises:
        InputError: there is none of that number, or it may not be used.
    """
    driver, place = _CAMERAS.get(sys.platform, _CAMERAS["linux"])
    options = {"framerate": "30"} if driver == "avfoundation" else {}
    try:
        container = av.open(place.format(number), "r", format=driver, options=options)
    except (FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"camera {number} cannot be opened ({said(error)}); check that it is plugged in and "
            "that no other program uses it"
        ) from error
    return _live(container, f"camera {number}")


def open_address(address: str) -> Video:
    """Open a stream (rtsp://, http://, …), or a video file on a server.

    Raises:
        InputError: it is no address of these kinds, nothing answers, or there is no video.
    """
    scheme = urlsplit(address).scheme.lower()
    if scheme not in _SCHEMES:
        raise InputError(f"{address}: an address begins with {'://, '.join(_SCHEMES)}://")
    container = _connected(address)
    if container.duration is None:
        return _live(container, without_password(address))
    with container:
        stream = picture_stream(container, without_password(address))
        rate = rate_of(stream)
        count = stream.frames or round(container.duration / av.time_base * (rate or RATE))
    read = partial(_read_remote, address)
    return Video(without_password(address), read, rate=rate, count=count or None)


def _connected(address: str) -> InputContainer:
    # Over TCP no packet is lost, so that no frame is damaged.
    options = {"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {}
    try:
        return av.open(address, "r", options=options, timeout=_TIMEOUT)
    except (FFmpegError, OSError) as error:
        raise InputError(
            f"{without_password(address)} cannot be opened ({said(error)}); check the address, "
            "and that the camera or server is on"
        ) from error


def without_password(address: str) -> str:
    """An address as it may be shown."""
    user, at, _ = urlsplit(address).netloc.rpartition("@")
    return address.replace(f"{user}{at}", "", 1) if at else address


def _read_remote(address: str) -> Generator[Frame | Damaged]:
    with _connected(address) as container:
        stream = picture_stream(container, without_password(address))
        yield from read_stream(container, stream, advice="check the connection")


def _live(container: InputContainer, name: str) -> Video:
    """An open source that cannot be opened twice, as it is what happens now."""
    try:
        rate = rate_of(picture_stream(container, name, live=True))
    except InputError:
        container.close()
        raise
    unread = [container]

    def read() -> Generator[Frame | Damaged]:
        if not unread:
            raise InputError(f"{name} has been read; open it again")
        return newest(_read_live(unread.pop(), name))

    def release() -> None:
        if unread:
            unread.pop().close()

    return Video(name, read, live=True, rate=rate, repeatable=False, release=release)


def _read_live(container: InputContainer, name: str) -> Generator[Frame | Damaged]:
    with container:
        stream = picture_stream(container, name, live=True)
        yield from read_stream(container, stream, advice=_ADVICE)
    raise BreakOffError(f"no more frames come; {_ADVICE}")


def newest(items: Generator[Frame | Damaged]) -> Generator[Frame | Damaged]:
    """What a thread reads, without the frames that a newer one overtook before it was asked for.

    So results stay live however long they take, and the source is never kept waiting.
    """
    waiting: SimpleQueue[Frame | Damaged | BaseException | None] = SimpleQueue()
    stopped: list[bool] = []

    def read() -> None:
        try:
            with closing(items):
                for item in items:
                    if isinstance(item, Frame):
                        drop_frames(waiting)
                    waiting.put(item)
                    if stopped:
                        break
            waiting.put(None)
        except BaseException as error:  # raised again where the frames are used
            waiting.put(error)

    _thread.start_new_thread(read, ())
    try:
        while isinstance(item := waiting.get(), (Frame, Damaged)):
            yield item
        if item is not None:
            raise item
    finally:
        stopped.append(True)


def drop_frames(waiting: SimpleQueue[Any]) -> None:
    """Take the frames out; damaged ones stay, as they are few, and counted."""
    others: list[Any] = []
    with suppress(Empty):
        while True:
            item = waiting.get_nowait()
            if not isinstance(item, Frame):
                others.append(item)
    for item in others:
        waiting.put(item)
