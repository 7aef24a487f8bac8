"""Videos in and out: where frames come from, and where their results go."""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.video.frames import Frame, Video
    from plainmask.video.sinks import open_sinks
    from plainmask.video.sources import open_video

__all__ = [
    "Frame",
    "Video",
    "open_sinks",
    "open_video",
]

__getattr__ = resolver(
    __name__,
    {
        "Frame": "video.frames",
        "Video": "video.frames",
        "open_sinks": "video.sinks",
        "open_video": "video.sources",
    },
)
