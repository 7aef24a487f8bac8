"""Which video a frame belongs to: metrics take frames one by one and must know where one ends."""

from __future__ import annotations

from plainmask.errors import InputError


class VideoOrder:
    """Notices where a new video begins in a row of frames."""

    def __init__(self) -> None:
        self.current: str | None = None
        self._seen: set[str] = set()

    def begins(self, video: str) -> bool:
        """Whether this frame is the first of its video.

        Raises:
            InputError: frames of other videos came since the last one of this.
        """
        if video == self.current:
            return False
        if video in self._seen:
            raise InputError(
                f"frames of the video {video!r} come again after frames of {self.current!r}; "
                "give all frames of a video, in order, before the next one"
            )
        self._seen.add(video)
        self.current = video
        return True
